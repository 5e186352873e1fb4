import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { describe, expect, it, onTestFinished } from 'vitest'
import { SEARCH_DEFINITION } from '../../src/search/definition.js'
import { call, GatewayWorld, NOTES_KEY, rpc, startUpstream } from './gateway-support.js'

const PROGRAM = fileURLToPath(new URL('child-program.mjs', import.meta.url))

type Era = 'legacy' | 'modern'

/** A gateway in front of the test program, named `notes`. */
async function inFrontOfChild(era: Era | 'both', server: object = {}): Promise<GatewayWorld> {
  const world = await GatewayWorld.create()
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const env = { NOTES_KEY: '${vault:notes_key}' }
  await world.start({ mcpServers: { notes: { command: process.execPath, args: [PROGRAM, era], env, ...server } } })
  return world
}

/** The SDK's own client, connected through the gateway. */
async function connect(
  world: GatewayWorld,
  era: Era,
  { path = '/mcp/notes', tools = ['*'] }: { readonly path?: string; readonly tools?: readonly string[] } = {},
): Promise<Client> {
  const token = await world.token({ tools })
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy'
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(`${world.origin}${path}`), { requestInit }))
  onTestFinished(() => client.close())
  return client
}

async function callText(client: Client, name: string, args: object = {}): Promise<string> {
  const { content } = await client.callTool({ name, arguments: { ...args } })
  const [first] = content as { text: string }[]
  return first?.text ?? ''
}

describe('a program behind the gateway', () => {
  it.each([
    ['legacy', 'legacy'],
    ['legacy', 'modern'],
    ['modern', 'legacy'],
    ['modern', 'modern'],
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
