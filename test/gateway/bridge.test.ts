import { renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { describe, expect, it, vi } from 'vitest'
import { callText, connect, inFrontOfChild } from './child-support.js'
import { GatewayWorld, rpc } from './gateway-support.js'

const URI = 'notes://one'
const METHODS = ['tools', 'resources', 'prompts'] as const
const sampled = { type: 'text', text: 'so' } as const

interface Answer {
  readonly result: { readonly content: readonly { readonly text: string }[] }
}

/** A session of a client that reads no stream; gives what sends its messages. */
async function bareSession(world: GatewayWorld): Promise<(message: object, signal?: AbortSignal) => Promise<Response>> {
  const token = await world.token({ tools: ['*'] })
  const clientInfo = { name: 'bare', version: '1' }
  const params = { protocolVersion: '2025-11-25', capabilities: { sampling: {} }, clientInfo }
  const begun = await world.post(rpc('initialize', params), { token })
  expect(begun.headers.get('mcp-session-id')).toBeTruthy()
  const headers = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
  const send = (message: object, signal?: AbortSignal): Promise<Response> =>
    world.post(message, { token, headers, ...(signal !== undefined && { signal }) })
  expect((await send({ jsonrpc: '2.0', method: 'notifications/initialized' })).status).toBe(202)
  return send
}

async function pidOf(client: Client): Promise<number> {
  return (JSON.parse(await callText(client, 'who')) as { pid: number }).pid
}

describe('HTTP in front of a program, for a session of the older protocol', () => {
  it('tells a client what is wrong with its initialize, and gives the next one a session', async () => {
    const world = await inFrontOfChild('both')
    const token = await world.token({ tools: ['*'] })
    const answer = await world.post(rpc('initialize', { protocolVersion: 7 }), { token })
    expect(await answer.text()).toContain('"error"')
    expect(answer.headers.get('mcp-session-id')).toBeNull()
    const send = await bareSession(world)
    expect((await send(rpc('tools/list', {}))).status).toBe(200)
  })

  it('carries questions to the client, its levels and subscriptions, and what the program says by itself', async () => {
    const world = await inFrontOfChild('legacy')
    const capabilities = { sampling: {}, elicitation: {}, roots: {} }
    const client = await connect(world, 'legacy', { capabilities, methods: METHODS })
    const told: string[] = []
    client.setRequestHandler('sampling/createMessage', () => ({ model: 'm', role: 'assistant', content: sampled }))
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
    client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///here' }] }))
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void told.push(params.uri))
    client.setNotificationHandler('notifications/message', ({ params }) => void told.push(String(params.data)))
    for (const list of ['tools', 'prompts', 'resources'] as const) {
      client.setNotificationHandler(`notifications/${list}/list_changed`, () => void told.push(list))
    }
    expect(await callText(client, 'ask')).toBe(JSON.stringify(sampled))
    expect(await callText(client, 'confirm')).toContain('"action":"accept"')
    expect(await callText(client, 'roots')).toContain('file:///here')
    await client.setLoggingLevel('info')
    await client.subscribeResource({ uri: URI })
    expect(JSON.parse(await callText(client, 'state'))).toMatchObject({ level: 'info', subscribed: [URI] })
    await callText(client, 'touch', { uri: URI })
    await vi.waitFor(() => expect(told.sort()).toEqual([URI, 'prompts', 'resources', 'tools', `touched ${URI}`]))
    // All of that in a process of its own, which ends with the session.
    const other = await connect(world, 'legacy')
    const [pid = 0, otherPid] = await Promise.all([client, other].map(pidOf))
    expect(pid).not.toBe(otherPid)
    await (client.transport as { terminateSession?: () => Promise<void> }).terminateSession?.()
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(/ESRCH/), 10_000)
    expect(await pidOf(other)).toBe(otherPid)
    const token = await world.token({ tools: ['*'] })
    expect((await world.post(rpc('ping'), { token, headers: { 'mcp-session-id': 'none' } })).status).toBe(404)
  })

  it('brings them on the answer where the client reads no stream, and ends a call that is cancelled or closed', async () => {
    const world = await inFrontOfChild('legacy')
    const send = await bareSession(world)
    const asked = await send(rpc('tools/call', { name: 'ask', arguments: {} }, 2))
    expect(asked.headers.get('content-type')).toBe('text/event-stream')
    const reader = asked.body?.getReader()
    const question = Buffer.from((await reader?.read())?.value ?? []).toString()
    const { id, method } = JSON.parse(question.replace(/^data: /, '')) as { id: number; method: string }
    expect(method).toBe('sampling/createMessage')
    const result = { model: 'm', role: 'assistant', content: sampled }
    expect((await send({ jsonrpc: '2.0', id, result })).status).toBe(202)
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain('"id":2')
    const cancelled = async (): Promise<unknown> => {
      const answer = (await (await send(rpc('tools/call', { name: 'state', arguments: {} }, 9))).json()) as Answer
      return JSON.parse(answer.result.content[0]?.text ?? '{}').cancelled
    }
    const wait = (id: number, signal?: AbortSignal): Promise<Response> =>
      send(rpc('tools/call', { name: 'wait', arguments: { ms: 60_000 }, _meta: { progressToken: id } }, id), signal)
    const byMessage = await wait(2)
    await send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 2 } })
    expect(await byMessage.text()).not.toContain('"id":2')
    await vi.waitFor(async () => expect(await cancelled()).toBe(1))
    const gone = new AbortController()
    await wait(3, gone.signal)
    gone.abort()
    await vi.waitFor(async () => expect(await cancelled()).toBe(2))
  })
})

describe('HTTP in front of a program, for the protocol without sessions', () => {
  it.each(['modern', 'legacy'] as const)(
    'tells who listens of lists and resources of a %s program',
    async (childEra) => {
      const world = await inFrontOfChild(childEra)
      const client = await connect(world, 'modern', { methods: METHODS })
      const told: string[] = []
      client.setNotificationHandler('notifications/resources/updated', ({ params }) => void told.push(params.uri))
      client.setNotificationHandler('notifications/tools/list_changed', () => void told.push('tools'))
      const listening = await client.listen({ toolsListChanged: true, resourceSubscriptions: [URI] })
      await callText(client, 'touch', { uri: URI })
      await callText(client, 'touch', { uri: 'notes://two' })
      await vi.waitFor(() => expect(told.sort()).toEqual([URI, 'tools', 'tools']))
      await listening.close()
      if (childEra === 'modern') return
      await vi.waitFor(async () => expect(JSON.parse(await callText(client, 'state')).subscribed).toEqual([]))
    },
  )

  it('carries what a program of that protocol asks first, and the answers', async () => {
    const world = await inFrontOfChild('modern')
    const client = await connect(world, 'modern', { capabilities: { elicitation: {} } })
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
    const answer = JSON.parse(await callText(client, 'confirm'))
    expect(answer).toMatchObject({ sure: { action: 'accept' }, state: 'asked' })
  })

  it('says what it cannot carry with an error', async () => {
    const world = await inFrontOfChild('legacy')
    const client = await connect(world, 'modern', { capabilities: { elicitation: {}, sampling: {}, roots: {} } })
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
    await expect(callText(client, 'ask')).rejects.toThrow(/Method not found/)
    expect(await callText(client, 'confirm')).toMatch(/did not declare the required capability/)
    const token = await world.token({ tools: ['*'], methods: ['tools', 'resources'] })
    for (const [method, params] of [
      ['logging/setLevel', { level: 'info' }],
      ['resources/subscribe', { uri: URI }],
    ] as const) {
      const headers = { 'mcp-protocol-version': '2025-11-25' }
      const answer = await (await world.post(rpc(method, params), { token, headers })).json()
      expect(answer).toMatchObject({ error: { code: -32601, message: 'Method not found: it takes a session' } })
    }
  })
})

it('what a program of the newer protocol asks first cannot be carried to a client of the older one, and that is said', async () => {
  const world = await inFrontOfChild('modern')
  const client = await connect(world, 'legacy', { capabilities: { elicitation: {} } })
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
  await expect(callText(client, 'confirm')).rejects.toThrow(/capabilities do not declare/)
  await expect(callText(client, 'odd')).rejects.toThrow(/what its protocol cannot carry/)
  await expect(client.callTool({ name: 'odd' }, { onprogress: () => {} })).rejects.toThrow(
    /what its protocol cannot carry/,
  )
})

it('the session that was idle the longest makes room for one more than there may be', async () => {
  const world = await GatewayWorld.create()
  const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'small', version: '1' } }
  const answer = (what: object): string => `echo '${JSON.stringify({ jsonrpc: '2.0', id: 1, result: what })}'`
  const script = `while read -r line; do case "$line" in *initialize*) ${answer(result)};; *ping*) ${answer({})};; esac; done`
  await world.start({ mcpServers: { notes: { command: 'sh', args: ['-c', script] } } })
  const token = await world.token({ tools: ['*'] })
  const begin = async (): Promise<string> => {
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } }
    const begun = await world.post(rpc('initialize', params), { token })
    return begun.headers.get('mcp-session-id') ?? ''
  }
  const sessions: string[] = []
  for (let count = 0; count <= 32; count += 1) sessions.push(await begin())
  const status = async (session = ''): Promise<number> =>
    (await world.post(rpc('ping'), { token, headers: { 'mcp-session-id': session } })).status
  expect([await status(sessions[0]), await status(sessions[1]), await status(sessions[32])]).toEqual([404, 200, 200])
})

it.each(['modern', 'legacy'] as const)(
  'withholds what a program says while the vault cannot be read, ends it, and goes on later (%s)',
  async (era) => {
    const world = await inFrontOfChild(era)
    const client = await connect(world, era)
    expect(await callText(client, 'echo', { value: 'before' })).toBe('before')
    const vault = join(world.vault.directory, 'mcp_credentials.enc')
    const call = client.callTool({ name: 'wait', arguments: { ms: 300 } })
    // By now it waits in the program.
    await callText(client, 'echo', { value: 'meanwhile' })
    renameSync(vault, `${vault}.away`)
    await expect(call).rejects.toThrow()
    renameSync(`${vault}.away`, vault)
    const again = (): Promise<string> => callText(client, 'echo', { value: 'again' })
    await vi.waitFor(async () => expect(await again()).toBe('again'), { timeout: 10_000, interval: 200 })
  },
)
