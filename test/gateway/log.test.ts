import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { call, GatewayWorld, NOTES_KEY, sendResult, startUpstream } from './gateway-support.js'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`

/** An upstream whose tool `a` answers, and whose tool `b` ends the connection. */
async function inFrontOfUpstream() {
  const upstream = await startUpstream((received, response) => {
    if (received.body.includes('"name":"b"')) response.destroy()
    else sendResult(received, response, { content: [{ type: 'text', text: 'the answer itself' }] })
  })
  const world = await GatewayWorld.inFrontOf(upstream.url)
  return { upstream, world, token: await world.token({ tools: ['notes/a', 'notes/b'] }) }
}

describe('a trace', () => {
  it('goes on to the upstream as it came, and its id is in the audit log', async () => {
    const { upstream, world, token } = await inFrontOfUpstream()
    const headers = { traceparent: TRACEPARENT, tracestate: 'vendor=1' }
    await world.post(call('a'), { token, headers })
    expect(upstream.received[0]?.headers).toMatchObject(headers)
    const inBody = { ...call('a'), params: { name: 'a', _meta: { traceparent: TRACEPARENT } } }
    await world.post(inBody, { token })
    expect(JSON.parse(upstream.received[1]?.body ?? '')).toEqual(inBody)
    await world.post(call('a'), { token, headers: { traceparent: 'no trace\tat all' } })
    const traces = world.audit().flatMap(({ event, trace }) => (event === 'call' ? [trace] : []))
    expect(traces).toEqual([TRACE, TRACE, undefined])
  })
})

describe("the gateway's log", () => {
  it('has one line of JSON an event, and nothing of what was sent, answered or kept', async () => {
    const { world, token } = await inFrontOfUpstream()
    const args = { text: 'an argument\nof two lines' }
    expect((await world.post(call('a', args), { token })).status).toBe(200)
    await world.post(call('b', args), { token })
    await world.post(call('c', args), { token })
    writeFileSync(world.configPath, '{ "mcpServers": ')
    world.signal('SIGHUP')
    for (const line of world.log) expect(line).toMatch(/^\{[^\n]+\}\n$/)
    const events = world.log.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(events.map(({ msg }) => msg)).toEqual([
      'serving',
      'a call of "notes" failed',
      'the configuration was not reloaded: the one before stays in use',
    ])
    for (const event of events) expect(event).toMatchObject({ level: expect.any(String), time: expect.any(String) })
    for (const kept of [token, NOTES_KEY, 'an argument', 'the answer itself']) {
      expect(world.log.join('')).not.toContain(kept)
    }
  })
})
