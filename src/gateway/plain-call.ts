/**
 * The call of a tool by a client of the older protocol, answered without the SDK's server: one request, one answer, and
 * nothing in between. That is most of what is asked, and the server that is made for it costs more than all the rest.
 */

import { isModern } from './decide.js'
import type { Frame } from './frame.js'
import type { UpstreamAnswer, UpstreamRequest } from './upstream.js'

/** Versions that the SDK serves without an envelope in each request; whatever is odd is left to it. */
const PLAIN_VERSIONS: ReadonlySet<string | undefined> = new Set(['2025-06-18', '2025-11-25'])
/** Before 2025-11-25 a missing resource had a code of its own, which the SDK translates. */
const RESOURCE_MISSING = -32002
const INVALID_PARAMS = -32602
const INTERNAL_ERROR = -32603

/** Gives the message of a request that can be answered so; undefined for all others. */
export function plainCall({ verb, frame, headers }: UpstreamRequest): Frame | undefined {
  if (verb !== 'POST' || frame?.kind !== 'request' || frame.method !== 'tools/call') return undefined
  if (isModern(frame.params) || !PLAIN_VERSIONS.has(headers['mcp-protocol-version'])) return undefined
  const accept = headers.accept ?? ''
  if (!accept.includes('application/json') || !accept.includes('text/event-stream')) return undefined
  const meta = frame.params?._meta
  const hasProgress = typeof meta === 'object' && meta !== null && 'progressToken' in meta
  return hasProgress ? undefined : frame
}

/** Prints a result as the SDK's server does. */
export function plainResult({ id }: Frame, result: unknown): UpstreamAnswer {
  return messageOf({ jsonrpc: '2.0', id, result })
}

/** Prints what a server has thrown, as the SDK's server does. */
export function plainError({ id }: Frame, error: unknown): UpstreamAnswer {
  const { code, message, data } = error as { code?: unknown; message?: string; data?: unknown }
  const known = Number.isSafeInteger(code) ? code : INTERNAL_ERROR
  const told = { code: known === RESOURCE_MISSING ? INVALID_PARAMS : known, message: message ?? 'Internal error' }
  return messageOf({ jsonrpc: '2.0', id, error: { ...told, ...(data !== undefined && { data }) } })
}

function messageOf(message: object): UpstreamAnswer {
  return { status: 200, headers: {}, body: { type: 'message', text: JSON.stringify(message) } }
}
