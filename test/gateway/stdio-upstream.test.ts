import { describe, expect, it, vi } from 'vitest'
import { SEARCH_DEFINITION } from '../../src/search/definition.js'
import { callText, connect, inFrontOfChild, PROGRAM } from './child-support.js'
import { call, GatewayWorld, NOTES_KEY, rpc, startUpstream } from './gateway-support.js'

describe('a program behind the gateway', () => {
  it.each([
    ['legacy', 'modern'],
    ['modern', 'legacy'],
  ] as const)('answers clients of the %s protocol when it speaks the %s one', async (clientEra, childEra) => {
    const world = await inFrontOfChild(childEra)
    const client = await connect(world, clientEra)
    expect(client.getServerVersion()).toMatchObject({ name: 'child' })
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('echo')
    expect(await callText(client, 'echo', { value: 'hello' })).toBe('hello')
    const progress: number[] = []
    await client.callTool(
      { name: 'wait', arguments: { ms: 60 } },
      { onprogress: ({ progress: done }) => progress.push(done) },
    )
    expect(progress).toEqual([1])
    expect(await callText(client, 'who')).toContain('[redacted]')
    expect(world.log.join('')).not.toContain(NOTES_KEY)
  })

  it('answers a call of the older protocol in the same words whether or not the SDK stands between', async () => {
    const world = await inFrontOfChild('both')
    const token = await world.token({ tools: ['*'] })
    const ask = async (version: string, name: string, meta: object) => {
      const headers = { 'mcp-protocol-version': version }
      const params = { name, arguments: { value: 'hello' }, ...meta }
      const response = await world.post(rpc('tools/call', params, 'an id'), { token, headers })
      return { status: response.status, type: response.headers.get('content-type'), body: await response.json() }
    }
    // The SDK's server answers 2025-03-26, and what has a progress token.
    for (const name of ['echo', 'missing', 'meta']) {
      const plain = await ask('2025-11-25', name, {})
      expect(plain, name).toEqual(await ask('2025-03-26', name, {}))
      expect(plain.body, name).toMatchObject(name === 'missing' ? { error: { code: -32603 } } : { result: {} })
    }
    expect((await ask('2025-11-25', 'meta', { _meta: { progressToken: 1 } })).status).toBe(200)
  })
})

describe('the built-in search', () => {
  it.each(['legacy', 'modern'] as const)('is a tool of its own name for clients of the %s protocol', async (era) => {
    const api = await startUpstream((received, response) => {
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({ results: [{ title: `for ${received.headers['x-api-key']}`, url: '', snippet: '' }] }),
      )
    })
    const world = await GatewayWorld.create()
    world.env.SCAVIO_BASE_URL = api.url
    await world.vault.put('scavio_api_key', 'scavio-key-0123456789')
    await world.start({ mcpServers: { search: { builtin: 'scavio', credential: 'scavio_api_key' } } })
    const client = await connect(world, era, { path: '/mcp/search', tools: ['web_search'] })
    expect((await client.listTools()).tools).toEqual([SEARCH_DEFINITION])
    const args = { query: 'mcp', num_results: 3 }
    expect(await callText(client, 'web_search', args)).toBe(
      '{"results":[{"title":"for [redacted]","url":"","snippet":""}]}',
    )
    expect(api.received).toHaveLength(1)
    expect(api.received[0]).toMatchObject({
      body: JSON.stringify(args),
      headers: { 'x-api-key': 'scavio-key-0123456789' },
    })
    expect(await callText(client, 'web_search', { query: 'mcp', num_results: 21 })).toMatch(
      /^Invalid arguments: num_results/,
    )
    expect(world.audit().map(({ event }) => event)).toContain('leak')
  })

  it('is asked again with the other live version when it refuses a credential, once', async () => {
    const accepted = new Set(['scavio-key-0123456789'])
    const api = await startUpstream(({ headers }, response) => {
      if (!accepted.has(String(headers['x-api-key']))) return response.writeHead(401).end()
      return response.setHeader('content-type', 'application/json').end('{"results":[]}')
    })
    const world = await GatewayWorld.create()
    world.env.SCAVIO_BASE_URL = api.url
    await world.vault.put('scavio_api_key', 'scavio-key-0123456789')
    await world.start({ mcpServers: { search: { builtin: 'scavio', credential: 'scavio_api_key' } } })
    await world.vault.rotate('scavio_api_key', 'scavio-key-9876543210')
    const token = await world.token({ tools: ['web_search'] })
    const ask = async (): Promise<unknown> =>
      (await world.post(call('web_search', { query: 'a' }), { token, path: '/mcp/search' })).json()
    expect(await ask()).toMatchObject({ result: { content: [{ text: '{"results":[]}' }] } })
    const keys = api.received.map(({ headers }) => headers['x-api-key'])
    expect(keys).toEqual(['scavio-key-9876543210', 'scavio-key-0123456789'])
    const retries = world.audit().filter(({ event }) => event === 'retry')
    expect(retries).toMatchObject([{ upstream: 'search', credentials: [{ version: 1 }], request: 1 }])
    accepted.clear()
    expect(await ask()).toMatchObject({ error: { message: expect.stringContaining('refused the credential') } })
    expect(api.received).toHaveLength(4)
  })

  it('names a credential that the vault has lost, and a refusal by the API is an error of the call', async () => {
    const api = await startUpstream((_, response) => response.writeHead(401).end())
    const world = await GatewayWorld.create()
    world.env.SCAVIO_BASE_URL = api.url
    await world.vault.put('scavio_api_key', 'scavio-key-0123456789')
    await world.start({ mcpServers: { search: { builtin: 'scavio', credential: 'scavio_api_key' } } })
    const token = await world.token({ tools: ['web_search'] })
    const answer = await world.post(call('web_search', { query: 'a' }), { token, path: '/mcp/search' })
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining('refused the credential') } })
    expect(world.audit().at(-1)).toMatchObject({ event: 'result', outcome: 'failed' })
  })
})

describe('a child process', () => {
  it('that ends by itself fails what it had, and is started again', async () => {
    const world = await inFrontOfChild('legacy')
    const client = await connect(world, 'legacy')
    const first = await callText(client, 'who')
    await expect(client.callTool({ name: 'crash', arguments: {} })).rejects.toThrow(/its process has ended/)
    const second = await callText(client, 'who')
    expect(second).toContain('pid')
    expect(second).not.toBe(first)
    const reasons = world.audit().flatMap(({ outcome, reason }) => (outcome === 'failed' ? [reason] : []))
    expect(reasons.sort()).toEqual(['cannot call "notes": its process has ended', 'it ended with status 3'])
  })

  it('that floods its stderr and chatters on its stdout stalls nobody, and its words are redacted', async () => {
    const world = await inFrontOfChild('legacy')
    const client = await connect(world, 'legacy')
    expect(await callText(client, 'flood', { bytes: 1_000_000 })).toBe('flooded')
    expect(await callText(client, 'chatter')).toBe('chatted')
    expect(await callText(client, 'echo', { value: 'calm' })).toBe('calm')
    const log = world.log.join('')
    expect(log).toContain('[redacted] xxx')
    expect(log).toContain('are no messages')
    expect(world.log.length).toBeLessThan(300)
    expect(log + JSON.stringify(world.audit())).not.toContain(JSON.stringify(NOTES_KEY).slice(1, -1))
    expect(world.audit().some(({ event }) => event === 'leak')).toBe(true)
  })

  it('finds nothing of mcpvault in its environment', async () => {
    const world = await GatewayWorld.create()
    Object.assign(world.env, { MCP_ENCRYPTION_KEY: 'k', MCP_ENCRYPTION_KEY_FILE: 'f', MCPVAULT_TOKEN: 't', OTHER: 'o' })
    await world.start({
      mcpServers: { notes: { command: process.execPath, args: [PROGRAM, 'legacy'], env: { OWN: 'a' } } },
    })
    const names = JSON.parse(await callText(await connect(world, 'legacy'), 'env')) as string[]
    expect(names).toEqual(expect.arrayContaining(['OTHER', 'OWN', 'PATH']))
    expect(names.filter((name) => name.startsWith('MCP'))).toEqual([])
  })

  it('is refused to a token at the very next call after it was revoked', async () => {
    const world = await inFrontOfChild('legacy')
    const client = await connect(world, 'legacy')
    expect(await callText(client, 'echo', { value: 1 })).toBe('1')
    await world.revokeAll()
    await expect(callText(client, 'echo', { value: 2 })).rejects.toThrow(/401|Unauthorized/)
  })

  it('gets a successor when its credential is rotated, and no call fails', async () => {
    const world = await inFrontOfChild('legacy')
    const client = await connect(world, 'legacy')
    const pids = new Set<string>()
    let stop = false
    const callers = Array.from({ length: 4 }, async () => {
      while (!stop) {
        pids.add(await callText(client, 'who'))
        await callText(client, 'wait', { ms: 5 })
      }
    })
    for (let rotation = 1; rotation <= 3; rotation += 1) {
      await world.vault.rotate('notes_key', `sk_rotated_value_${rotation}`)
      await vi.waitFor(() => expect(pids.size).toBeGreaterThan(rotation), { timeout: 20_000, interval: 20 })
    }
    stop = true
    await Promise.all(callers)
    expect(world.audit().filter(({ outcome }) => outcome === 'failed')).toEqual([])
    // The client's own process and the one that all share are left.
    const count = (what: string): number => world.log.filter((line) => line.includes(`"msg":"${what}"`)).length
    await vi.waitFor(() => expect(count('started') - count('ended')).toBe(2), 10_000)
    expect(count('ended')).toBeGreaterThanOrEqual(3)
  })

  it('ends with the gateway', async () => {
    const world = await inFrontOfChild('legacy')
    const { pid } = JSON.parse(await callText(await connect(world, 'legacy'), 'who')) as { pid: number }
    await world.stop()
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
  })
})
