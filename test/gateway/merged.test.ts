import { describe, expect, it } from 'vitest'
import { readDigests } from '../../src/gateway/read-digests.js'
import { callText, connect, PROGRAM } from './child-support.js'
import { GatewayWorld, NOTES_KEY, rpc, startUpstream } from './gateway-support.js'

/** A gateway in front of the test program, `notes`, and the built-in search, `search`. */
async function startBoth(era: string): Promise<GatewayWorld> {
  const api = await startUpstream((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end('{"results":[]}')
  })
  const world = await GatewayWorld.create()
  world.env.SCAVIO_BASE_URL = api.url
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const env = { NOTES_KEY: '${vault:notes_key}' }
  const notes = { command: process.execPath, args: [PROGRAM, era], env }
  await world.start({ mcpServers: { notes, search: { builtin: 'scavio', credential: 'notes_key' } } })
  return world
}

describe('all servers as one at /mcp', () => {
  it('have their tools under their names, for tokens what they are alone, and for the audit log where they are', async () => {
    const world = await startBoth('both')
    const tools = ['notes/echo', 'notes/who', 'web_search']
    for (const era of ['legacy', 'modern'] as const) {
      const client = await connect(world, era, { path: '/mcp', tools })
      const { tools: listed } = await client.listTools()
      expect(listed.map(({ name }) => name)).toEqual(['notes__echo', 'notes__who', 'search__web_search'])
      expect(await callText(client, 'notes__echo', { value: era })).toBe(era)
      expect(await callText(client, 'notes__who')).toContain('[redacted]')
      for (const name of ['notes__env', 'other__echo', 'echo', '__echo']) {
        expect(await callText(client, name)).toBe('Unauthorized or expired token')
      }
    }
    const [called] = world.audit().filter(({ tool }) => tool === 'echo')
    expect(called).toMatchObject({
      event: 'call',
      upstream: 'notes',
      place: 'node',
      credentials: [{ name: 'notes_key' }],
    })
    const refused = world.audit().filter(({ event }) => event === 'refused')
    expect(refused[0]).toMatchObject({ upstream: 'notes', tool: 'env' })
    expect(refused[1]).toMatchObject({ upstream: 'mcp', tool: 'other__echo' })
    const [listed] = world.audit().filter(({ method }) => method === 'tools/list')
    expect(listed).toMatchObject({ upstream: 'mcp', place: expect.stringMatching(/^node 127\.0\.0\.1:\d+$/) })
    expect(world.log.join('')).not.toContain(NOTES_KEY)
  })

  it('take a token that is pinned to the definition of a tool, as long as it is that', async () => {
    const world = await startBoth('legacy')
    const digests = await readDigests(['notes/echo'], world.configPlace, world.serveWorld())
    const options = { path: '/mcp', tools: ['notes/echo', 'notes/who'] }
    const client = await connect(world, 'modern', { ...options, digests })
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['notes__echo', 'notes__who'])
    expect(await callText(client, 'notes__echo', { value: 1 })).toBe('1')
    const other = [['notes/echo', digests[0]?.[1].replace(/.$/, (last) => (last === '0' ? '1' : '0')) ?? '']] as const
    const stale = await connect(world, 'modern', { ...options, digests: other })
    expect((await stale.listTools()).tools.map(({ name }) => name)).toEqual(['notes__who'])
    expect(await callText(stale, 'notes__echo', { value: 1 })).toBe('Unauthorized or expired token')
    expect(world.audit().at(-1)).toMatchObject({ event: 'refused', upstream: 'notes', tool: 'echo', reason: 'digest' })
  })

  it('pass progress, and what a server asks first', async () => {
    const world = await startBoth('modern')
    const client = await connect(world, 'modern', { path: '/mcp', capabilities: { elicitation: {} } })
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
    expect(await callText(client, 'notes__confirm')).toContain('"action":"accept"')
    const seen: number[] = []
    const call = { name: 'notes__wait', arguments: { ms: 20 } }
    await client.callTool(call, { onprogress: ({ progress }) => void seen.push(progress) })
    expect(seen).toEqual([1])
    const older = await connect(world, 'legacy', { path: '/mcp' })
    await expect(callText(older, 'notes__odd')).rejects.toThrow(/what its protocol cannot carry/)
  })

  it('have no resources and no prompts there', async () => {
    const world = await startBoth('both')
    const token = await world.token({ methods: ['tools', 'resources', 'prompts', 'completion'] })
    const headers = { 'mcp-protocol-version': '2025-11-25' }
    for (const method of ['resources/list', 'prompts/get', 'completion/complete', 'logging/setLevel']) {
      const answer = await (await world.post(rpc(method, {}), { token, path: '/mcp', headers })).json()
      expect(answer, method).toMatchObject({ error: { code: -32601, message: expect.stringContaining('tools alone') } })
    }
  })
})
