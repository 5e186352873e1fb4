import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import {
  fail,
  KEY,
  nativeWorld,
  read,
  rotate,
  store,
  succeed,
  tutorialWorld,
  VAULT,
  withStdin,
  write,
} from './support.js'

describe('a vault that is named by a link', () => {
  it('has its log, token records and git work tree beside the file, not beside the link', async () => {
    const world = await nativeWorld()
    mkdirSync(join(world.directory, 'real'))
    mkdirSync(join(world.directory, 'links'))
    renameSync(join(world.directory, VAULT), join(world.directory, 'real', VAULT))
    symlinkSync(join('..', 'real', VAULT), join(world.directory, 'links', 'here.enc'))
    world.env.MCPVAULT_FILE = 'links/here.enc'
    await store(world, 'a', 'value')
    await succeed(world, 'token', 'create', '--tools', 'web_search')
    expect(readdirSync(join(world.directory, 'links'))).toEqual(['here.enc'])
    expect(readdirSync(join(world.directory, 'real')).sort()).toEqual(
      ['mcp_credentials.enc', 'mcp_credentials.enc.bak', 'mcp_tokens.jsonl', 'rotation_log.json'].sort(),
    )
    world.env.MCPVAULT_FILE = join('real', VAULT)
    expect(await succeed(world, 'log', 'verify')).toContain('1 record holds together')
    // An older copy is only warned of where the file itself lies in a work tree.
    const old = read(world, join('real', VAULT))
    await rotate(world, 'a', 'newer')
    write(world, join('real', VAULT), old)
    world.env.MCPVAULT_FILE = 'links/here.enc'
    mkdirSync(join(world.directory, 'links', '.git'))
    expect((await fail(world, 'load', 'a')).code).toBe('RESTORED')
    mkdirSync(join(world.directory, 'real', '.git'))
    await succeed(world, 'load', 'a')
  })

  it('is made where a dangling link points', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    mkdirSync(join(world.directory, 'real'))
    symlinkSync(join('real', VAULT), join(world.directory, 'link.enc'))
    await succeed(world, 'init', '--vault', 'link.enc')
    world.env.MCPVAULT_FILE = 'link.enc'
    await store(world, 'a', 'value')
    expect(readdirSync(join(world.directory, 'real')).sort()).toContain('rotation_log.json')
    expect(existsSync(join(world.directory, 'rotation_log.json'))).toBe(false)
  })
})

describe('the place of a file that belongs to the vault', () => {
  const own = ['', '.bak', '.lock', '.tutorial.bak'].map((suffix) => `${VAULT}${suffix}`)

  it.each([...own, 'mcp_tokens.jsonl', 'alias'])('is no place for the rotation log: %s', async (place) => {
    const world = await nativeWorld()
    symlinkSync(VAULT, join(world.directory, 'alias'))
    const before = read(world, VAULT)
    world.stdin = 'value'
    const failure = await fail(world, 'store', 'a', '--stdin', '--log', place)
    expect(failure).toMatchObject({ status: 2, code: 'USAGE' })
    expect(failure.message).toMatch(/^cannot keep the rotation log in ".*": that is the place of /)
    expect(read(world, VAULT)).toBe(before)
    await withStdin(world, 'value', 'store', 'a', '--stdin', '--log', 'elsewhere.json')
  })

  it.each([...own, 'mcp_tokens.jsonl', 'rotation_log.json'])('is no place for an export: %s', async (place) => {
    const world = await nativeWorld()
    await store(world, 'a', 'value')
    const before = readdirSync(world.directory)
    const failure = await fail(world, 'export', '-o', place)
    expect(failure).toMatchObject({ status: 2, code: 'USAGE' })
    expect(failure.message).toMatch(/^cannot export to ".*": that is the place of /)
    expect(readdirSync(world.directory)).toEqual(before)
  })
})

describe('what an upgrade has kept', () => {
  it('is named whenever a value is taken out that it still holds', async () => {
    const world = tutorialWorld('python')
    const [name = '', other = ''] = Object.keys(world.values)
    const hint = `${VAULT}.tutorial.bak", from before the upgrade, still holds old values under the same key: rm -i`
    await succeed(world, 'upgrade')
    expect(world.stderr).toContain(
      `.tutorial.bak": delete it once you are sure, it holds every value under the same key`,
    )
    await rotate(world, name, 'second')
    expect(world.stderr).not.toContain('.tutorial.bak')
    await rotate(world, name, 'third')
    expect(world.stderr).toContain(hint)
    await succeed(world, 'rollback', name)
    expect(world.stderr).not.toContain('.tutorial.bak')
    await succeed(world, 'remove', other, '--yes')
    expect(world.stderr).toContain(hint)
    renameSync(join(world.directory, `${VAULT}.tutorial.bak`), join(world.directory, 'gone'))
    await succeed(world, 'remove', name, '--yes')
    expect(world.stderr).not.toContain('.tutorial.bak')
  })
})

describe('a key that a killed init has left behind', () => {
  it('is swept by the next one, whether or not that makes a key', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    const leave = (): string => {
      const path = write(world, '.project.key.tmp-0123456789abcdef', 'secret')
      utimesSync(path, world.nowMs / 1000 - 61, world.nowMs / 1000 - 61)
      return path
    }
    const left = leave()
    await succeed(world, 'init', '--vault', 'a/vault.enc', '--key-file', 'project.key')
    expect(existsSync(left)).toBe(false)
    leave()
    await succeed(world, 'init', '--vault', 'b/vault.enc', '--key-file', 'project.key')
    expect(existsSync(left)).toBe(false)
  })
})
