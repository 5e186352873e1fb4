/** JSON-RPC errors as the gateway gives them. Its own codes lie in -32000…-32019; others are the specification's. */

/** The id of a request; null where none could be read. */
export type RequestId = string | number | null

/** The specification's codes and ours. */
export const RPC_CODES = {
  parse: -32700,
  invalidRequest: -32600,
  unknownMethod: -32601,
  invalidParams: -32602,
  headerMismatch: -32020,
  /** The HTTP request itself cannot be taken: host, origin, media type, verb. */
  badHttp: -32000,
  /** The token does not allow it. */
  refused: -32003,
  /** The upstream failed, or answered with what cannot be handed on. */
  upstream: -32004,
  /** The gateway cannot work now: no audit record, no credential. */
  unavailable: -32005,
} as const satisfies Readonly<Record<string, number>>

/** What every refusal says, whatever its reason. */
export const UNAUTHORIZED = 'Unauthorized or expired token'

/** A message that is answered here, with a JSON-RPC error. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: number
  readonly status: number
  readonly id: RequestId

  /** @param options `status` is the HTTP status; 200 unless told. */
  constructor(code: number, message: string, options: { readonly status?: number; readonly id?: RequestId } = {}) {
    super(message)
    this.code = code
    this.status = options.status ?? 200
    this.id = options.id ?? null
  }
}

/** Prints an error as a JSON-RPC response. */
export function formatRpcError(code: number, message: string, id: RequestId): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } })
}

/** Prints a refused or failed tool call, as the tutorial's `handle_mcp_tool_call` answers: a result with `isError`. */
export function formatToolError(text: string, id: RequestId, isModern: boolean): string {
  const kind = isModern ? { resultType: 'complete' } : {}
  return JSON.stringify({ jsonrpc: '2.0', id, result: { ...kind, content: [{ type: 'text', text }], isError: true } })
}
