import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
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

  it('is neither recorded as made nor decrypted for when its token is revoked while its body is on the way', async () => {
    const upstream = await startUpstream((received, response) => sendResult(received, response, { content: [] }))
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const authorization = `Bearer ${await world.token()}`
    const headers = { authorization, 'content-type': 'application/json', expect: '100-continue' }
    const request = httpRequest(`${world.origin}/mcp/notes`, { method: 'POST', headers })
    request.flushHeaders()
    await once(request, 'continue')
    await world.revokeAll()
    request.end(JSON.stringify(call('a')))
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    expect(response.statusCode).toBe(401)
    expect(upstream.received).toHaveLength(0)
    expect(world.audit().map(({ event, reason }) => [event, reason])).toEqual([['refused', 'revoked']])
  })

  it('gets each event of a stream as it comes, and one that has ended at once as a whole', async () => {
    const event = (text: string): string =>
      `event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"text":"${text}"}}\n\n`
    let goOn = (): void => {}
    const upstream = await startUpstream((received, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const [first, last] = [event('one'), event('two')]
      if (received.body.includes('"at-once"')) return response.end(first + last)
      goOn = () => void response.end(last)
      return response.write(first)
    })
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    const slow = await world.post(call('a'), { token })
    const reader = slow.body?.getReader()
    const read = async (): Promise<string> => Buffer.from((await reader?.read())?.value ?? []).toString()
    expect(await read()).toBe(event('one'))
    goOn()
    expect(await read()).toBe(event('two'))
    expect(await read()).toBe('')
    const whole = await world.post(call('a', {}, 'at-once'), { token })
    expect(whole.headers.get('content-type')).toBe('text/event-stream')
    expect(await whole.text()).toBe(event('one') + event('two'))
    expect(world.audit().filter(({ event: kind, outcome }) => kind === 'result' && outcome === 'ok')).toHaveLength(2)
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
