/** What a client gets where nothing was called. */

import type { ClientAnswer } from './client.js'
import { type Demand, isModern } from './decide.js'
import type { Frame } from './frame.js'
import { formatRpcError, formatToolError, RPC_CODES, type RpcError, UNAUTHORIZED } from './rpc.js'

/** Answers where the token as a whole is refused. */
export function unauthorized(): ClientAnswer {
  // Without `resource_metadata`: a client that is shown OAuth stops sending its own header.
  return {
    status: 401,
    headers: { 'www-authenticate': 'Bearer error="invalid_token"', 'content-type': 'application/json' },
    body: formatRpcError(RPC_CODES.refused, UNAUTHORIZED, null),
  }
}

/** Answers with an error of the gateway's own. */
export function rpcAnswer({ code, message, status, id }: RpcError): ClientAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: formatRpcError(code, message, id) }
}

/** Answers where a live token does not allow what was asked: a refusal names no other tool, and not why. */
export function refusalTo(frame: Frame | undefined, { tool }: Demand): ClientAnswer {
  const id = frame?.id ?? null
  const headers = { 'content-type': 'application/json' }
  if (tool === undefined) return { status: 200, headers, body: formatRpcError(RPC_CODES.refused, UNAUTHORIZED, id) }
  return { status: 200, headers, body: formatToolError(UNAUTHORIZED, id, isModern(frame?.params)) }
}
