import { describe, expect, it } from 'vitest'
import { call, GatewayWorld, NOTES_KEY, rpc, sendResult, startUpstream } from './gateway-support.js'

const TOOLS = ['a', 'b', 'c'].map((name) => ({ name, inputSchema: { type: 'object' } }))

describe('a request through the gateway', () => {
  it('reaches the upstream with the credential and without the token', async () => {
    const upstream = await startUpstream((received, response) => sendResult(received, response, { content: [] }))
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    const response = await world.post(call('a'), { token, headers: { cookie: 'a=b', 'x-api-key': 'mine' } })
    expect(await response.json()).toEqual({ jsonrpc: '2.0', id: 1, result: { content: [] } })
    expect(upstream.received).toHaveLength(1)
    expect(upstream.received[0]?.headers).toMatchObject({ authorization: `Bearer ${NOTES_KEY}` })
    expect(JSON.stringify(upstream.received)).not.toMatch(new RegExp(`${token}|cookie|x-api-key`))
  })

  it('is refused without a token, before its body is read', async () => {
    const upstream = await startUpstream((received, response) => sendResult(received, response, {}))
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const response = await world.post('not JSON at all')
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
    expect(upstream.received).toHaveLength(0)
  })

  it('is refused at the very next request after its token was revoked', async () => {
    const upstream = await startUpstream((received, response) => sendResult(received, response, { content: [] }))
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    expect((await world.post(call('a'), { token })).status).toBe(200)
    await world.revokeAll()
    expect((await world.post(call('a'), { token })).status).toBe(401)
    expect(upstream.received).toHaveLength(1)
  })

  it('lists only the tools that its token allows, and calls no other', async () => {
    const upstream = await startUpstream((received, response) =>
      sendResult(received, response, { tools: TOOLS, cacheScope: 'public' }),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token({ tools: ['notes/b'] })
    const list = await world.post(rpc('tools/list'), { token })
    expect(await list.json()).toMatchObject({ result: { tools: [{ name: 'b' }], cacheScope: 'private' } })
    const refused = await world.post(call('a'), { token })
    expect(await refused.json()).toEqual({
      jsonrpc: '2.0',
      id: 1,
      result: { content: [{ type: 'text', text: 'Unauthorized or expired token' }], isError: true },
    })
    expect(upstream.received).toHaveLength(1)
    expect(world.audit().at(-1)).toMatchObject({ event: 'refused', tool: 'a', reason: 'tool' })
  })

  it('brings no credential back, however it is written', async () => {
    const upstream = await startUpstream((received, response) =>
      sendResult(received, response, { content: [{ type: 'text', text: received.headers.authorization }] }),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const response = await world.post(call('a'), { token: await world.token() })
    expect(await response.json()).toMatchObject({ result: { content: [{ text: 'Bearer [redacted]' }] } })
    expect(world.audit().map(({ event }) => event)).toEqual(['call', 'leak', 'result'])
  })
})
