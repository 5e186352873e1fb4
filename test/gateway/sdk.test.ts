import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { GatewayWorld, NOTES_KEY } from './gateway-support.js'

/** A server of the SDK, which speaks both eras; its tools tell the Authorization that it got. */
async function startSdkServer(): Promise<{ url: string; authorizations: Set<string | undefined> }> {
  const authorizations = new Set<string | undefined>()
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'notes', version: '1.0.0' })
    server.registerTool('add', { inputSchema: z.object({ a: z.number(), b: z.number() }) }, ({ a, b }) => ({
      content: [{ type: 'text', text: `${a + b}` }],
    }))
    server.registerTool('count', { inputSchema: z.object({}) }, async (_args, context) => {
      const { progressToken } = context.mcpReq._meta ?? {}
      for (const progress of [1, 2, 3]) {
        if (progressToken === undefined) break
        const params = { progressToken, progress, message: `the key is ${NOTES_KEY}` }
        await context.mcpReq.notify({ method: 'notifications/progress', params })
      }
      return { content: [{ type: 'text', text: 'counted' }] }
    })
    server.registerTool('secret', { inputSchema: z.object({}) }, () => ({
      content: [{ type: 'text', text: `${NOTES_KEY} ${Buffer.from(NOTES_KEY).toString('base64')}` }],
      isError: true,
    }))
    server.registerPrompt('hello', {}, () => ({
      messages: [{ role: 'user', content: { type: 'text', text: 'hello' } }],
    }))
    return server
  })
  const listener = toNodeHandler(handler)
  const server = createServer((request, response) => {
    authorizations.add(request.headers.authorization)
    void listener(request as Parameters<typeof listener>[0], response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, authorizations }
}

async function connect(world: GatewayWorld, token: string, mode: 'legacy' | { pin: string }): Promise<Client> {
  const client = new Client({ name: 'tester', version: '1.0.0' }, { versionNegotiation: { mode } })
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(`${world.origin}/mcp/notes`), { requestInit }))
  onTestFinished(() => client.close())
  return client
}

describe.each([
  ['2025-11-25', 'legacy'],
  ['2026-07-28', { pin: '2026-07-28' }],
] as const)("the SDK's client, in protocol %s", (version, mode) => {
  it('lists, calls and follows progress through the gateway, and sees no credential', async () => {
    const { url, authorizations } = await startSdkServer()
    const world = await GatewayWorld.inFrontOf(url)
    const tools = ['notes/add', 'notes/count', 'notes/secret']
    const client = await connect(world, await world.token({ tools }), mode)
    expect(client.getNegotiatedProtocolVersion()).toBe(version)
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['add', 'count', 'secret'])
    const sum = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } })
    expect(sum).toMatchObject({ content: [{ type: 'text', text: '5' }] })
    const seen: string[] = []
    const onprogress = ({ progress, message = '' }: { progress: number; message?: string | undefined }): void =>
      void seen.push(`${progress} ${message}`)
    await client.callTool({ name: 'count', arguments: {} }, { onprogress })
    expect(seen).toEqual(['1 the key is [redacted]', '2 the key is [redacted]', '3 the key is [redacted]'])
    const leaked = await client.callTool({ name: 'secret', arguments: {} })
    expect(leaked).toMatchObject({ content: [{ text: '[redacted] [redacted]' }], isError: true })
    expect([...authorizations]).toEqual([`Bearer ${NOTES_KEY}`])
  })

  it('sees only what its token allows', async () => {
    const { url } = await startSdkServer()
    const world = await GatewayWorld.inFrontOf(url)
    const client = await connect(world, await world.token({ tools: ['notes/add'] }), mode)
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['add'])
    expect(client.getServerCapabilities()).not.toHaveProperty('prompts')
    expect(await client.callTool({ name: 'secret', arguments: {} })).toMatchObject({
      content: [{ type: 'text', text: 'Unauthorized or expired token' }],
      isError: true,
    })
    await world.revokeAll()
    await expect(client.callTool({ name: 'add', arguments: { a: 1, b: 1 } })).rejects.toThrow()
  })
})
