import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, it, vi } from 'vitest'
import { ProgramGroups } from '../../src/cli/program-groups.js'

const listeners = (): number => process.listenerCount('SIGTERM')

it('signals are listened to before a program starts, and no longer than it is guarded', () => {
  const groups = new ProgramGroups(process)
  const before = listeners()
  let whileStarting = 0
  const group = groups.guard(() => {
    whileStarting = listeners()
    return 2 ** 30
  })
  expect(whileStarting).toBe(before + 1)
  expect(listeners()).toBe(before + 1)
  group.release()
  expect(listeners()).toBe(before)
})

it('a program that could not be started leaves no listener and is not killed', () => {
  const groups = new ProgramGroups(process)
  const before = listeners()
  groups.guard(() => undefined).kill()
  expect(() => groups.guard(() => expect.unreachable())).toThrow()
  expect(listeners()).toBe(before)
})

it('a group is ended whole', async () => {
  const groups = new ProgramGroups(process)
  const child = spawn('sh', ['-c', 'sleep 1000 & wait'], { detached: true, stdio: 'ignore' })
  const group = groups.guard(() => child.pid)
  group.kill()
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
  group.release()
})

it('work under way is told of the signal that ends mcpvault, and nothing is listened to once it is done', () => {
  const kills: unknown[] = []
  const told: string[] = []
  const self = { pid: 7, on: vi.fn(), off: vi.fn(), kill: (...words: readonly unknown[]) => kills.push(words) }
  const groups = new ProgramGroups(self)
  const stop = groups.watch(() => told.push('first'))
  groups.watch(() => told.push('second'))
  groups.guard(() => 2 ** 30)
  stop()
  const [, end] = self.on.mock.calls[1] ?? []
  end('SIGTERM')
  expect(told).toEqual(['second'])
  expect(kills).toEqual([
    [-(2 ** 30), 'SIGKILL'],
    [7, 'SIGTERM'],
  ])
})
