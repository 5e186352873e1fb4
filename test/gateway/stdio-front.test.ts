import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { readDigests } from '../../src/gateway/read-digests.js'
import { intersectCaveats } from '../../src/tokens/caveats.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { openVault } from '../../src/vault/open.js'
import { callText, withProgram } from './child-support.js'
import { GatewayWorld, NOTES_KEY, startUpstream } from './gateway-support.js'
import { ProgramHome } from './program-support.js'
import { connectRemote, connectStdio } from './stdio-support.js'

const PROGRAM = fileURLToPath(new URL('child-program.mjs', import.meta.url))

describe('serve NAME --stdio', () => {
  it.each([
    ['legacy', 'legacy'],
    ['modern', 'both'],
  ] as const)('relays the %s protocol to a program, as far as the token goes', async (era, childEra) => {
    const world = await withProgram(childEra)
    const token = await world.token({ tools: ['notes/echo', 'notes/who', 'notes/ask'] })
    const client = await connectStdio(world, token, { era, capabilities: { sampling: {} } })
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo', 'who', 'ask'])
    expect(await callText(client, 'who')).toContain('[redacted]')
    expect(await callText(client, 'env')).toBe('Unauthorized or expired token')
    if (era === 'legacy') {
      const content = { type: 'text', text: 'so' } as const
      client.setRequestHandler('sampling/createMessage', () => ({ model: 'm', role: 'assistant', content }))
      expect(await callText(client, 'ask')).toBe(JSON.stringify(content))
    }
    await world.revokeAll()
    await expect(client.callTool({ name: 'echo', arguments: { value: 1 } })).rejects.toThrow(/Unauthorized or expired/)
  })
})

describe('connect', () => {
  it('makes itself one token for an hour, for the tools that are named', async () => {
    const world = await withProgram('legacy')
    for (let time = 0; time < 2; time += 1) {
      const client = await connectStdio(world, { tools: ['echo'] }, { era: 'legacy' })
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo'])
      expect(await callText(client, 'echo', { value: time })).toBe(String(time))
      await client.close()
    }
    const tokens = world.audit().flatMap(({ token }) => (token === undefined ? [] : [token]))
    expect(new Set(tokens).size).toBe(1)
  })

  it('relays a server at a URL that answers with streams', async () => {
    const upstream = await startUpstream(({ body }, response) => {
      const { id, method, params = {} } = JSON.parse(body) as { id?: number; method: string; params?: object }
      if (id === undefined) return response.writeHead(202).end()
      const hello = { capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' }, ...params }
      const result = method === 'initialize' ? hello : { content: [{ type: 'text', text: 'streamed' }] }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      return response.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`)
    })
    const world = await GatewayWorld.create()
    await world.configure({ mcpServers: { notes: { url: `${upstream.url}/mcp` } } })
    const client = await connectStdio(world, { tools: undefined }, { era: 'legacy' })
    expect(await callText(client, 'read')).toBe('streamed')
  })

  it('is the one server that there is, or all of them as one, where none is named', async () => {
    const world = await withProgram('legacy')
    const alone = await connectStdio(world, { tools: undefined }, { era: 'legacy', server: null })
    expect(await callText(alone, 'echo', { value: 'alone' })).toBe('alone')
    const server = { command: process.execPath, args: [PROGRAM, 'both'] }
    await world.configure({ mcpServers: { notes: server, mail: server } })
    for (const era of ['legacy', 'modern'] as const) {
      const all = await connectStdio(world, { tools: undefined }, { era, server: null })
      const names = (await all.listTools()).tools.map(({ name }) => name)
      expect(names).toEqual(expect.arrayContaining(['notes__echo', 'mail__echo']))
      expect(await callText(all, 'mail__echo', { value: era })).toBe(era)
      await all.close()
    }
    const some = await connectStdio(world, { tools: ['notes__echo', 'mail/who'] }, { era: 'legacy', server: null })
    expect((await some.listTools()).tools.map(({ name }) => name).sort()).toEqual(['mail__who', 'notes__echo'])
  })

  it('makes a token for all tools of that server, and for no other, where none are named', async () => {
    const world = await withProgram('legacy')
    const client = await connectStdio(world, { tools: undefined }, { era: 'legacy' })
    expect(await callText(client, 'echo', { value: 1 })).toBe('1')
    const records = TokenRecords.open(world.vault.access().store, openVault(world.vault.access()))
    expect(records.all().map(({ caveats }) => intersectCaveats(caveats).tools)).toEqual([['notes/*']])
    records.close()
  })

  it('reaches a gateway elsewhere with a token and without a vault', async () => {
    const world = await withProgram('both', { isServed: true })
    const token = await world.token({ tools: ['notes/echo'] })
    for (const era of ['legacy', 'modern'] as const) {
      const client = await connectRemote(`${world.origin}/mcp/notes`, token, { era })
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo'])
      expect(await callText(client, 'echo', { value: 'far' })).toBe('far')
      // A client that goes while it listens, or has a session, leaves nothing behind: the end of this test waits for it.
      if (era === 'modern') await client.listen({ toolsListChanged: true })
      await client.close()
    }
    const count = (what: string): number => world.log.filter((line) => line.includes(`"msg":"${what}"`)).length
    await vi.waitFor(() => expect([count('started'), count('ended')]).toEqual([2, 1]), 10_000)
  })
})

describe('a token that is pinned to the definition of a tool', () => {
  it('takes what the server says, and is void for a tool that is another by now', async () => {
    const world = await withProgram('legacy')
    const digests = await readDigests(['notes/echo'], world.configPlace, world.serveWorld())
    await expect(readDigests(['notes/none'], world.configPlace, world.serveWorld())).rejects.toThrow(/has no such tool/)
    const token = await world.token({ tools: ['notes/echo'], digests })
    const calls = async (): Promise<string> =>
      callText(await connectStdio(world, token, { era: 'legacy' }), 'echo', { value: 1 })
    expect(await calls()).toBe('1')
    world.env.CHILD_DESCRIPTION = 'does more'
    expect(await calls()).toBe('Unauthorized or expired token')
  })
})

describe('the program', () => {
  it('serves over its stdin and stdout, pins tokens, and prints the header of the same token each time', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
    const notes = { command: process.execPath, args: [PROGRAM, 'legacy'], env: { NOTES_KEY: '${vault:notes_key}' } }
    const home = ProgramHome.create({ notes_key: NOTES_KEY }, { notes })
    const token = home.run(['token', 'create', '--tools', 'notes/echo', '--pin']).trim()
    const client = await home.connect(['serve', 'notes', '--stdio'], { env: { MCPVAULT_TOKEN: token } })
    expect(await callText(client, 'echo', { value: 1 })).toBe('1')
    const printed = home.run(['headers', 'notes', '--tools', 'echo,who'])
    expect(JSON.parse(printed)).toEqual({ Authorization: expect.stringMatching(/^Bearer mcpv_/) })
    expect(home.run(['headers', 'notes', '--tools', 'echo,who'])).toBe(printed)
    expect(() => home.run(['headers', 'notes', '--tools', 'other/echo'])).toThrow(/another server/)
  })
})
