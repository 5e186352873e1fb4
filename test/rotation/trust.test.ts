import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { drawIdentity } from '../../src/vault/age-key.js'
import { DAY_MS, fail, json, read, succeed, VAULT, withStdin, write } from '../cli/commands/support.js'
import { TestWorld } from '../support/context.js'
import { linesOf, placePrograms } from './staged-support.js'

let world: TestWorld

/** A vault that opens with an identity of age, as its maker has left it. */
beforeEach(async () => {
  world = new TestWorld({ env: { PATH: process.env.PATH } })
  placePrograms(world.directory)
  const { identity } = await drawIdentity()
  world.env.MCP_ENCRYPTION_KEY_FILE = write(world, 'me.txt', `${identity.revealText()}\n`)
  await succeed(world, 'init', '--vault', VAULT)
  await withStdin(world, 'first', 'store', 'name', '--stdin')
})

/** The same files on a machine that has never seen the vault. */
const arrive = (): void => {
  world.env.XDG_STATE_HOME = join(world.directory, 'another-machine')
}
const lines = (name: string): readonly string[] => linesOf(world.directory, name)
const ran = (): readonly string[] => ['calls', 'probed', 'reloads'].flatMap(lines)
const policy = (...flags: readonly string[]): Promise<string> => succeed(world, 'policy', 'set', 'name', ...flags)

async function expectRefusal(...argv: readonly string[]): Promise<void> {
  const before = ran()
  const failure = await fail(world, ...argv)
  expect(failure).toMatchObject({ status: 4, code: 'UNSAFE' })
  expect(failure.message).toContain('nobody has confirmed this vault')
  expect(failure.hints.join()).toContain('--trust-new-key')
  expect(ran()).toEqual(before)
}

describe('a vault that nobody has confirmed on this machine', () => {
  test.each([
    ['a provider', ['--provider', 'command:./provider']],
    ['a probe', ['--provider', 'generate:20', '--verify', 'command:./probe']],
    ['a target', ['--provider', 'generate:20', '--target', 'file:planted']],
    ['a hook', ['--provider', 'generate:20', '--on-rotate', './hook']],
  ])('does not use %s, begins nothing, and does once it is confirmed', async (_what, flags) => {
    await policy(...flags)
    arrive()
    await expectRefusal('rotate', 'name')
    expect(lines('planted')).toEqual([])
    expect(await json(world, 'load', 'name')).toMatchObject({ value: 'first' })
    await succeed(world, 'key', 'list', '--trust-new-key')
    await succeed(world, 'rotate', 'name')
    expect([...ran(), ...lines('planted')]).toHaveLength(1)
  })

  test('rotates what needs no program', async () => {
    arrive()
    await succeed(world, 'rotate', 'name', '--generate')
  })

  test('neither rotates nor revokes by a timer, and the provider is not held to have failed', async () => {
    await policy('--provider', 'command:./provider', '--max-age', '30d', '--grace', '1d')
    await succeed(world, 'rotate', 'name')
    world.nowMs += 31 * DAY_MS
    arrive()
    expect(await world.run('rotate', '--due', '--json')).toBe(8)
    const { failed } = JSON.parse(world.stdout) as { failed: readonly { code: string; message: string }[] }
    expect(failed.map(({ code }) => code)).toEqual(['UNSAFE', 'UNSAFE'])
    expect(failed[1]?.message).toContain('cannot revoke version 1')
    expect(lines('calls')).toEqual(['create'])
    expect(read(world, VAULT)).not.toContain('revoke_failed')
  })

  test('is neither resumed nor rolled back where a program would run', async () => {
    await policy('--provider', 'command:./provider', '--on-rotate', './hook')
    write(world, 'no-reload', '')
    await fail(world, 'rotate', 'name')
    arrive()
    await expectRefusal('rotate', 'name', '--resume')
    await expectRefusal('rollback', 'name')
    await succeed(world, 'key', 'list', '--trust-new-key')
    expect((await fail(world, 'rotate', 'name', '--resume')).status).toBe(8)
    expect(lines('reloads')).toHaveLength(2)
  })

  test('serves no configuration, although it is approved in it', async () => {
    write(world, 'mcpvault.json', '{"mcpServers":{"x":{"command":"./hook"}}}\n')
    await succeed(world, 'config', 'allow', '--yes')
    arrive()
    await expectRefusal('serve', '--listen', '127.0.0.1:0')
  })
})
