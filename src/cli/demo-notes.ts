import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

const TOOLS = [
  { name: 'read_note', description: 'Reads a note.', inputSchema: { type: 'object' } },
  { name: 'delete_note', description: 'Deletes a note for good.', inputSchema: { type: 'object' } },
] as const

/** The MCP server of the demo: notes, for whoever has a key. */
export interface NotesServer {
  /** `http://127.0.0.1:PORT/mcp`. */
  readonly url: string
  /** The keys that it takes, with the number that each has in the vault: what a person would change at the provider. */
  readonly accepted: Map<string, number>
  /** How many tool calls came with each version since it was last emptied. */
  readonly used: Map<number, number>
  /** Ends it at once, open connections included. */
  close(): Promise<void>
}

/** Starts a stateless MCP server (2026-07-28) on a free port of 127.0.0.1; it checks `Authorization` at each request. */
export async function startNotes(): Promise<NotesServer> {
  const accepted = new Map<string, number>()
  const used = new Map<number, number>()
  const server = createServer((request, response) => {
    const version = accepted.get((request.headers.authorization ?? '').replace('Bearer ', ''))
    const send = (status: number, body: unknown): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    readRequest(request).then(
      ({ id, method, params }) => {
        if (version === undefined) return send(401, { error: 'invalid key' })
        if (method === 'tools/call') used.set(version, (used.get(version) ?? 0) + 1)
        send(200, { jsonrpc: '2.0', id, ...answer(method, params?.name) })
      },
      () => send(400, { error: 'expected a JSON-RPC request' }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    accepted,
    used,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

interface RpcRequest {
  readonly id: unknown
  readonly method: string
  readonly params?: { readonly name?: string }
}

async function readRequest(request: IncomingMessage): Promise<RpcRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as RpcRequest
}

function answer(method: string, tool: string | undefined): object {
  if (method === 'tools/list') {
    return { result: { resultType: 'complete', tools: TOOLS, ttlMs: 0, cacheScope: 'private' } }
  }
  if (method !== 'tools/call') return { error: { code: -32601, message: 'Method not found' } }
  const text = tool === 'read_note' ? 'Water the plants on Friday.' : 'The note is gone.'
  return { result: { resultType: 'complete', content: [{ type: 'text', text }] } }
}
