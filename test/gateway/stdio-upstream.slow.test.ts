import { describe, expect, it, vi } from 'vitest'
import { callText, connect, inFrontOfChild } from './child-support.js'

describe('a child process', () => {
  it('that hangs fails the call in time, is ended, and is started again', async () => {
    const world = await inFrontOfChild('legacy', { timeout: '1s' })
    const client = await connect(world, 'legacy')
    await expect(client.callTool({ name: 'hang', arguments: {} })).rejects.toThrow(/did not answer in time/)
    await vi.waitFor(() => expect(world.log.join('')).toContain('"how":"it did not answer"'), 10_000)
    expect(await callText(client, 'echo', { value: 'again' })).toBe('again')
  })

  it.each(['legacy', 'modern'] as const)(
    'of the %s protocol goes through thirty rotations without a failed call',
    async (era) => {
      const world = await inFrontOfChild(era)
      const client = await connect(world, era)
      let calls = 0
      let stop = false
      const pids = new Set<string>()
      const callers = Array.from({ length: 8 }, async () => {
        while (!stop || calls < 5000) {
          pids.add(await callText(client, 'who'))
          calls += 1
        }
      })
      for (let rotation = 1; rotation <= 30; rotation += 1) {
        await world.vault.rotate('notes_key', `sk_rotated_value_${rotation}`)
        await vi.waitFor(() => expect(pids.size).toBeGreaterThan(rotation), { timeout: 30_000, interval: 20 })
      }
      stop = true
      await Promise.all(callers)
      expect(pids.size).toBe(31)
      expect(world.audit().filter(({ outcome }) => outcome === 'failed')).toEqual([])
    },
    600_000,
  )
})
