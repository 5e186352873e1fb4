import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { emptyTutorialWorld, fail, KEY, nativeWorld, store, succeed, VAULT, write } from '../cli/commands/support.js'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import type { TestWorld } from '../support/context.js'
import { startHttp } from '../support/loopback.js'

vi.setConfig({ testTimeout: 60_000 })

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

/** Starts a rotation in a process of its own, which waits for its value on stdin. */
async function startWaiting(world: TestWorld): Promise<ChildProcess> {
  const argv = [program.launcher, 'rotate', 'name', '--stdin', '--vault', 'mcp_credentials.enc']
  const env = { PATH: process.env.PATH, HOME: world.directory, MCP_ENCRYPTION_KEY: KEY }
  const child = spawn(process.execPath, argv, { cwd: world.directory, env, stdio: ['pipe', 'ignore', 'ignore'] })
  await vi.waitUntil(
    async () => {
      await world.run('rotate', 'name', '--abort')
      return world.stderr.includes('it is being rotated')
    },
    { timeout: 30_000, interval: 50 },
  )
  return child
}

test('while a rotation waits for its value a second one is refused, and everybody else can write', async () => {
  const world = await nativeWorld()
  await store(world, 'name', 'first')
  const child = await startWaiting(world)
  const refused = await fail(world, 'rotate', 'name', '--generate')
  expect(refused).toMatchObject({ status: 7, code: 'LOCKED' })
  expect(refused.message).toContain(`process ${child.pid}`)
  expect(refused.message).toContain('version 1 is live')
  for (const way of ['--resume', '--abort']) expect((await fail(world, 'rotate', 'name', way)).status).toBe(7)
  // What is under way is not stuck.
  expect(await world.run('rotation-due')).toBe(1)
  await store(world, 'other', 'value')
  child.stdin?.end('second\n')
  await once(child, 'exit')
  expect(child.exitCode).toBe(0)
  expect(await succeed(world, 'load', 'name')).toBe('second\n')
  expect(await succeed(world, 'load', 'other')).toBe('value\n')
})

test('when its process was killed the next one says nothing is lost, and simply begins anew', async () => {
  const world = await nativeWorld()
  await store(world, 'name', 'first')
  const child = await startWaiting(world)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await succeed(world, 'rotation-due')).toContain('stuck rotation')
  await succeed(world, 'rotate', 'name', '--generate')
  expect(await succeed(world, 'load', 'name', '--version', 'previous')).toBe('first\n')
  expect(await world.run('rotation-due')).toBe(1)
})

/** Rotates in a process of its own, ends it with SIGTERM once `isReached`, and gives what it said. */
async function interrupt(world: TestWorld, flags: readonly string[], isReached: () => boolean): Promise<string> {
  const argv = [program.launcher, 'rotate', ...flags, '--vault', VAULT]
  const { SCAVIO_BASE_URL } = world.env
  const env = { PATH: process.env.PATH, HOME: world.directory, MCP_ENCRYPTION_KEY: KEY, SCAVIO_BASE_URL }
  const child = spawn(process.execPath, argv, { cwd: world.directory, env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const closed = once(child, 'close')
  await vi.waitUntil(isReached, { timeout: 30_000, interval: 20 })
  child.kill('SIGTERM')
  await closed
  expect(child.signalCode ?? child.exitCode).toBe('SIGTERM')
  return said
}

test('when a signal ends it at a program it says where it stopped, what is live and which way leads out', async () => {
  const world = await nativeWorld()
  await store(world, 'name', 'first')
  write(world, 'probe', '#!/bin/sh\necho > started\nexec sleep 60\n', 0o700)
  const isStarted = (): boolean => existsSync(join(world.directory, 'started'))
  const said = await interrupt(world, ['name', '--generate', '--verify', 'command:./probe'], isStarted)
  expect(said).toContain('the rotation of "name" stopped at the stage "verify"')
  expect(said).toContain('version 1 is live (mcpvault rotate name --resume; or mcpvault rotate name --abort)')
  await succeed(world, 'rotate', 'name', '--abort')
})

test('and so it does at a request that mcpvault sends itself', async () => {
  let requests = 0
  // It never answers.
  const server = await startHttp(() => requests++)
  onTestFinished(() => server.close())
  const { url } = server
  const world = await nativeWorld({ env: { SCAVIO_BASE_URL: url } })
  await store(world, 'name', 'first')
  write(world, 'probe.json', JSON.stringify({ url: `${url}/{{value}}` }), 0o600)
  const said = await interrupt(world, ['name', '--generate', '--verify', 'scavio'], () => requests === 1)
  expect(said).toContain('the rotation of "name" stopped at the stage "verify"')
  expect(said).toContain('version 1 is live (mcpvault rotate name --resume; or mcpvault rotate name --abort)')
  await succeed(world, 'rotate', 'name', '--abort')
  // With --json, too.
  const again = await interrupt(
    world,
    ['name', '--generate', '--verify', 'http:@probe.json', '--json'],
    () => requests === 2,
  )
  expect(JSON.parse(again).warning.message).toContain('the rotation of "name" stopped at the stage "verify"')
})

test('and at a revocation: for its own sake, or for that of a rotation that needs the place', async () => {
  const world = await nativeWorld({ env: { PATH: process.env.PATH } })
  await store(world, 'name', 'first')
  const provider = (revoke: string): string =>
    write(
      world,
      'provider',
      `#!/bin/sh\nread -r r\ncase $r in *create*) echo '{"value":"v-'$$'"}';; *) ${revoke};; esac\n`,
      0o700,
    )
  provider('echo > started; exec sleep 60')
  await succeed(world, 'policy', 'set', 'name', '--provider', 'command:./provider', '--grace', '0s')
  await succeed(world, 'rotate', 'name')
  const isStarted = (): boolean => existsSync(join(world.directory, 'started'))
  const alone = await interrupt(world, ['--due'], isStarted)
  expect(alone).toContain(
    'version 1 of "name" may still work at the provider; version 2 is live (mcpvault rotate --due)',
  )
  rmSync(join(world.directory, 'started'))
  const within = await interrupt(world, ['name'], isStarted)
  expect(within).toContain('the rotation of "name" stopped at the stage "verify"')
  provider("echo '{}'")
  await succeed(world, 'rotate', 'name', '--resume')
})

test('in the tutorial format it says what is live, and that a key may be left at the provider', async () => {
  const world = await emptyTutorialWorld()
  await store(world, 'name', 'first')
  write(world, 'provider', '#!/bin/sh\necho > started\nexec sleep 60\n', 0o700)
  const isStarted = (): boolean => existsSync(join(world.directory, 'started'))
  const said = await interrupt(world, ['name', '--provider', 'command:./provider'], isStarted)
  expect(said).toContain(
    'the rotation of "name" was interrupted; the previous value is live; its provider may have made',
  )
})
