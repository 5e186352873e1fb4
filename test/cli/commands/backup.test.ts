import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  KEY,
  nativeWorld,
  OTHER_KEY,
  read,
  rotate,
  store,
  succeed,
  VAULT,
  write,
  PASSPHRASE,
  putPassphraseVault,
} from './support.js'

const FILES = [VAULT, 'rotation_log.json', 'mcp_tokens.jsonl']

/** A world with a backup `b` of `a` = 1, and `a` = 2 now. */
async function backedUp(makeWorld = nativeWorld): Promise<TestWorld> {
  const world = await makeWorld()
  await store(world, 'a', '1')
  await succeed(world, 'backup', 'b')
  world.nowMs += DAY_MS
  await rotate(world, 'a', '2')
  return world
}

describe('backup', () => {
  it('goes beside the vault under the time, and says what is in it and what is not', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    await succeed(world, 'backup')
    const directory = join(world.directory, 'mcpvault-backup-2026-11-22T12-00-00Z')
    expect(world.stderr).toBe(
      `backed up the vault and the log to "${directory}", verified with the key; values stay encrypted, and the key is not in it: keep a copy of it elsewhere\n`,
    )
    expect(await json(world, 'backup')).toMatchObject({ directory: `${directory}-2` })
    expect(await fail(world, 'backup', directory)).toMatchObject({ status: 4, code: 'EXISTS' })
    const made = await json(world, 'backup', 'sub/dir')
    expect(made).toMatchObject({
      directory: join(world.directory, 'sub/dir'),
      format: 'native',
      gen: 2,
      seq: 1,
      verified: true,
    })
    for (const file of readdirSync(directory))
      expect(read(world, join('mcpvault-backup-2026-11-22T12-00-00Z', file))).not.toContain(KEY.slice(0, 20))
  })

  it('needs no key; a wrong one is said, and is no obstacle', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await json(world, 'backup', 'b1')).toMatchObject({ verified: false })
    await succeed(world, 'backup', 'b2')
    expect(world.stderr).toContain(', not verified since no key was used; ')
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    await succeed(world, 'backup', 'b3')
    expect(world.stderr).toContain('warning: the copy was not verified: the key at hand is not that of the vault\n')
    world.env.MCP_ENCRYPTION_KEY = KEY
    for (const name of ['b1', 'b2', 'b3']) await succeed(world, 'restore', name, '--yes')
  })

  it('of a damaged vault is refused where the key shows it, and leaves nothing', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    write(world, VAULT, read(world, VAULT).replace('"ver":1', '"ver":2'))
    expect(await fail(world, 'backup', 'b')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(existsSync(join(world.directory, 'b'))).toBe(false)
    expect(await fail(world, 'backup', '--vault', 'nothing')).toMatchObject({ status: 3 })
  })
})

describe('restore', () => {
  it('asks before it replaces, and needs --yes where it cannot ask', async () => {
    const world = await backedUp()
    expect(await fail(world, 'restore', 'b')).toMatchObject({ status: 2, code: 'USAGE', hints: ['add --yes'] })
    world.setTerminal(true)
    world.answers.push(false)
    expect(await world.run('restore', 'b')).toBe(130)
    expect(world.questions).toEqual([
      `Replace what is at "${join(world.directory, VAULT)}" by the backup of 2026-11-22T12:00:00.000Z?`,
    ])
    world.setTerminal(false)
    expect(await succeed(world, 'load', 'a')).toBe('2\n')
    world.setTerminal(true)
    world.answers.push(true)
    await succeed(world, 'restore', 'b')
    world.setTerminal(false)
    expect(await succeed(world, 'load', 'a')).toBe('1\n')
  })

  it('says what it did, what it kept and what was rotated since', async () => {
    const world = await backedUp()
    await succeed(world, 'restore', 'b', '--yes')
    const kept = join(world.directory, 'mcpvault-before-restore-2026-11-23T12-00-00Z')
    expect(world.stderr).toBe(
      [
        'mcpvault: warning: since this copy was made: "a" rotated at 2026-11-23T12:00:00.000Z\n',
        `restored "${join(world.directory, VAULT)}" from "${join(world.directory, 'b')}" as generation 5; `,
        `the files that were there are in "${kept}"; 1 later record listed above: rotate what changed since\n`,
      ].join(''),
    )
    expect(await succeed(world, 'log', 'verify')).toContain('3 records hold together')
    world.nowMs += 1000
    expect(await json(world, 'restore', kept, '--yes')).toEqual({
      vault: join(world.directory, VAULT),
      backup: kept,
      generation: 6,
      previous: join(world.directory, 'mcpvault-before-restore-2026-11-23T12-00-01Z'),
      revoked_tokens: 0,
      since: [{ name: null, action: 'restored', rotated_at: '2026-11-23T12:00:00.000Z', seq: 3 }],
    })
    expect(await succeed(world, 'load', 'a')).toBe('2\n')
  })

  it('fills an empty place without a question: where init would make a vault, or where it is told to', async () => {
    const world = await backedUp()
    const other = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    await succeed(other, 'restore', join(world.directory, 'b'))
    const home = join(other.directory, '.local/share/mcpvault')
    expect(readdirSync(home).sort()).toEqual([VAULT, 'rotation_log.json'])
    expect(await succeed(other, 'load', 'a')).toBe('1\n')
    await succeed(other, 'restore', join(world.directory, 'b'), '--vault', 'new/place.enc')
    expect(await succeed(other, 'load', 'a', '--vault', 'new/place.enc')).toBe('1\n')
    expect(await json(other, 'log', 'show', '--vault', 'new/place.enc')).toHaveLength(1)
  })

  it('needs the key that the backup lists, whatever the vault in place says', async () => {
    const world = await backedUp()
    write(world, VAULT, 'damaged beyond recognition')
    const env = { ...world.env }
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, 'restore', 'b', '--yes')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await fail(world, 'restore', 'b', '--yes')).toMatchObject({ status: 5, code: 'NO_KEY' })
    Object.assign(world.env, env)
    await succeed(world, 'restore', 'b', '--yes')
    expect(await succeed(world, 'load', 'a')).toBe('1\n')
  })

  it('opens a passphrase’s backup with the passphrase', async () => {
    const world = new TestWorld()
    world.setTerminal(true)
    putPassphraseVault(world)
    await succeed(world, 'backup', 'b')
    rmSync(join(world.directory, VAULT))
    world.answers.push(PASSPHRASE)
    await succeed(world, 'restore', 'b', '--vault', VAULT)
    expect(existsSync(join(world.directory, VAULT))).toBe(true)
  })

  it('refuses what is no backup, or not a whole one, naming the file', async () => {
    const world = await backedUp()
    mkdirSync(join(world.directory, 'empty'))
    expect(await fail(world, 'restore', 'empty', '--yes')).toMatchObject({ status: 3, code: 'NOT_FOUND' })
    expect(await fail(world, 'restore', 'nothing', '--yes')).toMatchObject({ status: 3 })
    for (const file of ['rotation_log.json', VAULT, 'manifest.json']) {
      const path = join('b', file)
      const text = read(world, path)
      write(world, path, text.slice(0, -1))
      const failure = await fail(world, 'restore', 'b', '--yes')
      expect(failure).toMatchObject({ status: 6, code: 'DAMAGED' })
      expect(failure.message).toContain(`"${file}"`)
      write(world, path, text)
    }
    expect(await succeed(world, 'load', 'a')).toBe('2\n')
  })

  it('revokes tokens that nobody can vouch for', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    world.env.MCPVAULT_TOKEN = (await succeed(world, 'token', 'create', '--tools', 'x', '--ttl', '10d')).trim()
    await succeed(world, 'backup', 'b')
    await succeed(world, 'token', 'create', '--tools', 'y')
    for (const file of FILES) rmSync(join(world.directory, file))
    await succeed(world, 'restore', 'b', '--vault', VAULT)
    expect(world.stderr).toContain('; 1 token revoked, since later revocations are lost\n')
    expect(await world.run('token', 'check', '--tool', 'x')).toBe(1)
  })

  it('puts a tutorial vault back, too, and the tutorial’s age with it', async () => {
    const world = await backedUp(emptyTutorialWorld)
    expect(await json(world, 'restore', 'b', '--yes')).toMatchObject({ generation: null, since: [{ name: 'a' }] })
    expect(await succeed(world, 'load', 'a')).toBe('1\n')
    const [row] = await json<{ since: string }[]>(world, 'list')
    expect(row?.since).toBe('2026-11-22T12:00:00.000Z')
  })
})
