/** What a tool's definition is now, for tokens that are pinned to one: the upstream is asked each time. */

import { digestTool } from '../tokens/digest.js'
import { isModern } from './decide.js'
import type { Frame } from './frame.js'
import type { AnswerBody, Upstream, UpstreamRequest } from './upstream.js'

const MOST_PAGES = 50
const LIST_ID = 'mcpvault-tools-list'

/**
 * Gives the digest of a tool's definition as its upstream lists it to this client.
 *
 * @param call the request that calls the tool: the list is asked for in its session and protocol.
 * @returns undefined if the upstream does not list it.
 * @throws what `exchange` throws.
 */
export async function currentDigest(
  upstream: Upstream,
  tool: string,
  call: UpstreamRequest,
): Promise<string | undefined> {
  if (upstream.definition !== undefined) {
    const found = await upstream.definition(tool)
    return found && digestTool(found)
  }
  let cursor: string | undefined
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await upstream.exchange({
      ...call,
      frame: listFrame(call.frame, cursor),
      headers: listHeaders(call),
    })
    const result = findResult(await readMessages(answer.body))
    const found = result?.tools?.find((one) => isNamed(one, tool))
    if (found !== undefined) return digestTool(found)
    cursor = result?.nextCursor
    if (cursor === undefined) return undefined
  }
  return undefined
}

function listFrame(call: Frame | undefined, cursor: string | undefined): Frame {
  // In a protocol without sessions the request itself says who asks, and in which version.
  const meta = isModern(call?.params) ? { _meta: call?.params?._meta } : {}
  const params = { ...meta, ...(cursor === undefined ? {} : { cursor }) }
  const message = { jsonrpc: '2.0', id: LIST_ID, method: 'tools/list', params }
  const { id, method } = message
  return { text: JSON.stringify(message), kind: 'request', id, method, params, hasTwins: false }
}

function listHeaders({ headers }: UpstreamRequest): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => name !== 'mcp-name' && !name.startsWith('mcp-param-'))
  return Object.fromEntries(kept.map(([name, value]) => [name, name === 'mcp-method' ? 'tools/list' : value]))
}

async function readMessages(body: AnswerBody): Promise<readonly string[]> {
  if (body.type === 'message') return [body.text]
  if (body.type !== 'events') return []
  const messages: string[] = []
  for await (const { data } of body.events) {
    messages.push(data)
    if (findResult([data]) !== undefined) break
  }
  return messages
}

interface ListResult {
  readonly tools?: readonly unknown[]
  readonly nextCursor?: string
}

function findResult(messages: readonly string[]): ListResult | undefined {
  for (const text of messages) {
    const message = parse(text)
    if (message?.id !== LIST_ID || typeof message.result !== 'object' || message.result === null) continue
    const { tools, nextCursor } = message.result as Readonly<Record<string, unknown>>
    return {
      ...(Array.isArray(tools) ? { tools } : {}),
      ...(typeof nextCursor === 'string' ? { nextCursor } : {}),
    }
  }
  return undefined
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}

function isNamed(tool: unknown, name: string): tool is { readonly name: string } {
  return typeof tool === 'object' && tool !== null && 'name' in tool && tool.name === name
}
