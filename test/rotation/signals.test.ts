import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { KEY, nativeWorld, succeed, VAULT } from '../cli/commands/support.js'
import { launcher } from '../support/built.js'
import { need } from '../support/need.js'

const isRunning = (pid: number): boolean => {
  const path = `/proc/${pid}/stat`
  return existsSync(path) && !/\) [ZX] /.test(readFileSync(path, 'utf8'))
}

it('a provider and all that it started end with the mcpvault that a signal ends', async (context) => {
  need(context, existsSync('/proc/self'), 'there is no /proc')
  const world = await nativeWorld()
  const pids = join(world.directory, 'pids')
  const provider = join(world.directory, 'provider')
  writeFileSync(provider, `#!/bin/sh\nsleep 1000 &\necho "$$ $! ." > pids\nwait\n`)
  chmodSync(provider, 0o755)
  world.stdin = 'old value'
  await succeed(world, 'store', 'api_key', '--stdin')
  await succeed(world, 'policy', 'set', 'api_key', '--provider', `command:["${provider}"]`)
  const env = { PATH: '/usr/bin:/bin', HOME: world.directory, MCP_ENCRYPTION_KEY: KEY }
  const argv = [launcher(), 'rotate', 'api_key', '--vault', join(world.directory, VAULT)]
  const child = spawn(process.execPath, argv, { env, stdio: 'ignore' })
  const ended = once(child, 'exit')
  while (!existsSync(pids) || !readFileSync(pids, 'utf8').includes('.')) await sleep(5)
  const started = readFileSync(pids, 'utf8').split(' ').slice(0, 2).map(Number)
  expect(started.map(isRunning)).toEqual([true, true])
  child.kill('SIGTERM')
  expect(await ended).toEqual([null, 'SIGTERM'])
  for (const pid of started) while (isRunning(pid)) await sleep(5)
})
