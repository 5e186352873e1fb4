import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import { fail, json, KEY, nativeWorld, rotate, store, succeed, tutorialWorld, VAULT, write } from './support.js'

const VALUE = 'sk-live/0123456789+abcdef=='
const OLD = 'sk-old/9876543210'

interface Report {
  readonly findings: readonly { file: string; line: number; column: number; credential: string; version: number }[]
  readonly files: number
  readonly unread: readonly { path: string }[]
}

/** A vault with a rotated credential, and a project folder beside it. */
async function projectWorld(): Promise<TestWorld & { readonly project: string }> {
  const world = await nativeWorld()
  await store(world, 'api_key', OLD)
  await rotate(world, 'api_key', VALUE)
  mkdirSync(join(world.directory, 'project/deep/er'), { recursive: true })
  return Object.assign(world, { project: join(world.directory, 'project') })
}

/** Runs a scan that finds something, and gives what it says. */
async function scan(world: TestWorld, ...argv: readonly string[]): Promise<Report> {
  const status = await world.run('scan', ...argv, '--json')
  expect(status, world.stderr).toBe(4)
  return JSON.parse(world.stdout) as Report
}

function git(world: TestWorld & { readonly project: string }, ...argv: readonly string[]): string {
  const env = { PATH: process.env.PATH, HOME: world.directory, GIT_CONFIG_NOSYSTEM: '1', MCP_ENCRYPTION_KEY: KEY }
  const names = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'init.defaultBranch=main']
  const { status, stdout, stderr } = spawnSync('git', [...names, ...argv], {
    cwd: world.project,
    env,
    encoding: 'utf8',
  })
  return status === 0 ? stdout : `FAILED ${stderr}`
}

describe('scan', () => {
  it('names file, line, column, credential and version of each value, and never the value', async () => {
    const world = await projectWorld()
    write(world, 'project/.env', `# keys\nA=1\nKEY="${VALUE}" OLD=${OLD}\n`)
    write(world, 'project/deep/er/b64.txt', Buffer.from(`user:${VALUE}`).toString('base64'))
    write(world, 'project/clean.txt', VALUE.slice(0, -1))
    expect(await world.run('scan', 'project')).toBe(4)
    expect(world.stdout.trim().split('\n').sort()).toEqual([
      'project/.env:3:39\tapi_key\t1',
      'project/.env:3:6\tapi_key\t2',
      'project/deep/er/b64.txt:1:8\tapi_key\t2',
    ])
    expect(`${world.stdout}${world.stderr}`).not.toContain(VALUE)
    expect(world.stderr).toContain('found 3 values of the vault in 3 files')
  })

  it('makes a credential due whose current value was found, once, and not for a dry run or an old value', async () => {
    const world = await projectWorld()
    write(world, 'project/old', OLD)
    await scan(world, 'project')
    write(world, 'project/new', VALUE)
    await scan(world, 'project', '--dry-run')
    expect(await world.run('rotation-due', 'api_key')).toBe(1)
    await scan(world, 'project')
    expect(await world.run('rotation-due', 'api_key')).toBe(0)
    expect(world.stdout).toContain('leak')
    await scan(world, 'project')
    const log = JSON.parse(await succeed(world, 'log', 'show')) as { action: string; reason?: string }[]
    expect(log.filter(({ action }) => action === 'leaked')).toMatchObject([{ reason: 'found by a scan' }])
  })

  it('gives 0 where there is nothing, and takes the current folder', async () => {
    const world = await projectWorld()
    write(world, 'project/clean.txt', 'nothing')
    expect(await json<Report>(world, 'scan', 'project')).toMatchObject({ findings: [], files: 1, unread: [] })
    write(world, 'left.txt', VALUE)
    expect((await scan(world)).findings.map(({ file }) => file)).toEqual(['left.txt'])
  })

  it('follows no links, opens no FIFOs, and says what it could not read', async () => {
    const world = await projectWorld()
    write(world, 'outside', VALUE)
    symlinkSync(join(world.directory, 'outside'), join(world.project, 'link'))
    spawnSync('mkfifo', [join(world.project, 'fifo')])
    expect(await json<Report>(world, 'scan', 'project')).toMatchObject({ findings: [], files: 0 })
    await succeed(world, 'scan', 'project/fifo', 'project/link')
    expect(world.stderr).toContain('"project/fifo" was not looked through'.replace('project', world.project))
    expect(world.stderr).toContain('it is a link')
    expect(await fail(world, 'scan', 'nowhere')).toMatchObject({ status: 3, code: 'NOT_FOUND' })
  })

  it('says which values are too short to be looked for', async () => {
    const world = await projectWorld()
    await store(world, 'pin', '1234567')
    write(world, 'project/a', '1234567')
    await succeed(world, 'scan', 'project')
    expect(world.stderr).toContain('a value of "pin" is too short to be looked for')
  })

  it('works on a tutorial vault, which has no place for leaks', async () => {
    const world = tutorialWorld('python')
    const [name, value] = Object.entries(world.values).find(([, text]) => text.length > 12) ?? ['', '']
    write(world, 'found.txt', value)
    expect((await scan(world, 'found.txt')).findings).toContainEqual(
      expect.objectContaining({ credential: name, file: 'found.txt', line: 1, column: 1, version: null }),
    )
    expect(world.stderr).toContain('rotate it')
  })

  it('refuses what does not go together', async () => {
    const world = await projectWorld()
    expect(await fail(world, 'scan', '--staged', '--history')).toMatchObject({ status: 2 })
    expect(await fail(world, 'scan', '--staged', 'project')).toMatchObject({ status: 2 })
    expect(await fail(world, 'scan', '--staged')).toMatchObject({ status: 2, code: 'INPUT' })
  })
})

describe('scan in a git repository', () => {
  it('looks through what is staged and not through what lies beside it', async () => {
    const world = await projectWorld()
    world.cwd = world.project
    const vault = ['--vault', join(world.directory, VAULT)]
    git(world, 'init')
    writeFileSync(join(world.project, 'a b.txt'), `x\n ${VALUE}`)
    expect(await json<Report>(world, 'scan', '--staged', ...vault)).toMatchObject({ findings: [], files: 0 })
    git(world, 'add', '-A')
    writeFileSync(join(world.project, 'a b.txt'), 'clean by now, but not in the index')
    const { findings } = await scan(world, '--staged', ...vault)
    expect(findings).toMatchObject([{ file: 'a b.txt', line: 2, column: 2, credential: 'api_key' }])
    git(world, 'commit', '-m', 'one')
    writeFileSync(join(world.project, 'other'), VALUE)
    git(world, 'rm', '--cached', 'a b.txt')
    git(world, 'add', 'other')
    expect((await scan(world, '--staged', ...vault)).findings.map(({ file }) => file)).toEqual(['other'])
  })

  it('looks through history: files of old commits, messages, and objects that no branch leads to', async () => {
    const world = await projectWorld()
    world.cwd = world.project
    git(world, 'init')
    writeFileSync(join(world.project, 'key.txt'), `first\n${VALUE}`)
    git(world, 'add', '-A')
    git(world, 'commit', '-m', 'one')
    const commit = git(world, 'rev-parse', 'HEAD').trim()
    git(world, 'rm', 'key.txt')
    git(world, 'commit', '-m', `used ${OLD}`)
    const message = git(world, 'rev-parse', 'HEAD').trim()
    writeFileSync(join(world.directory, 'loose'), `loose ${VALUE}`)
    const loose = git(world, 'hash-object', '-w', join(world.directory, 'loose')).trim()
    const { findings } = await scan(world, '--history', '--vault', join(world.directory, VAULT))
    expect(findings.map(({ file, line, column }) => `${file}:${line}:${column}`).sort()).toEqual(
      [`${commit.slice(0, 12)}:key.txt:2:1`, `commit ${message}:6:6`, `blob ${loose}:1:7`].sort(),
    )
  })

  it('writes a hook that stops a commit, and never changes one that is there', async () => {
    const world = await projectWorld()
    world.cwd = world.project
    const vault = ['--vault', join(world.directory, VAULT)]
    git(world, 'init')
    await succeed(world, 'scan', '--install-hook', ...vault)
    const hook = join(world.project, '.git/hooks/pre-commit')
    expect(statSync(hook).mode & 0o777).toBe(0o755)
    writeFileSync(join(world.project, 'clean.txt'), 'clean')
    git(world, 'add', '-A')
    expect(git(world, 'commit', '-m', 'clean')).not.toContain('FAILED')
    writeFileSync(join(world.project, 'key.txt'), VALUE)
    git(world, 'add', '-A')
    const refused = git(world, 'commit', '-m', 'a key')
    expect(refused).toContain('FAILED')
    expect(refused).toContain('"api_key" has leaked and is due')
    expect(refused).not.toContain(VALUE)
    const before = readFileSync(hook)
    expect(await fail(world, 'scan', '--install-hook', ...vault)).toMatchObject({ status: 4, code: 'EXISTS' })
    expect(readFileSync(hook)).toEqual(before)
  })

  it('is an error where git ends early, not a clean answer', async () => {
    const world = await projectWorld()
    world.cwd = world.project
    git(world, 'init')
    const path = join(world.directory, 'bin')
    mkdirSync(path)
    const broken =
      '#!/bin/sh\ncase "$1" in cat-file) printf "0123456789012345678901234567890123456789 blob 50\\nhalf";; *) exit 0;; esac\n'
    writeFileSync(join(path, 'git'), broken)
    chmodSync(join(path, 'git'), 0o755)
    world.env.PATH = `${path}:${process.env.PATH}`
    expect(existsSync(join(path, 'git'))).toBe(true)
    expect(await fail(world, 'scan', '--history', '--vault', join(world.directory, VAULT))).toMatchObject({
      status: 9,
      code: 'IO',
    })
  })
})
