import { chmodSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { inFrontOfChild } from './child-support.js'
import { call } from './gateway-support.js'

describe('the start of a program', () => {
  it('stands in the audit log with its credentials before it is made, and its end after', async () => {
    const world = await inFrontOfChild('legacy')
    const token = await world.token({ tools: ['notes/*'] })
    await world.post(call('crash'), { token })
    await expect.poll(() => world.audit().filter(({ event }) => event === 'start')).toHaveLength(2)
    const records = world.audit()
    const [first, second] = records.filter(({ event }) => event === 'start')
    const credentials = [{ name: 'notes_key', version: 1 }]
    expect(first).toEqual({
      at: expect.any(String),
      event: 'start',
      id: first?.id,
      upstream: 'notes',
      place: 'node',
      credentials,
    })
    expect(records.filter(({ id }) => id === first?.id).at(-1)).toMatchObject({
      event: 'result',
      outcome: 'failed',
      reason: 'it ended with status 3',
    })
    await world.stop()
    await expect
      .poll(() => world.audit().find(({ event, id }) => event === 'result' && id === second?.id))
      .toMatchObject({
        outcome: 'ok',
      })
  })

  it('is not made while it cannot be recorded', async () => {
    const world = await inFrontOfChild('legacy')
    const token = await world.token({ tools: ['notes/*'] })
    await world.post(call('echo', { value: 1 }), { token })
    const starts = (): number => world.log.filter((line) => line.includes('"started"')).length
    chmodSync(world.auditPath, 0o666)
    world.signal('SIGHUP')
    const { pid } = JSON.parse(world.log.find((line) => line.includes('"started"')) ?? '{}') as { pid: number }
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => world.log.join('')).toMatch(/could not be started.*|cannot write the audit log/)
    expect(starts()).toBe(1)
    expect((await world.post(call('echo', { value: 1 }), { token })).status).toBe(503)
    chmodSync(world.auditPath, 0o600)
    const again = async (): Promise<unknown> => (await world.post(call('echo', { value: 2 }), { token })).json()
    await expect.poll(again, { timeout: 5000 }).toMatchObject({ result: { content: [{ text: '2' }] } })
  })
})
