/** What a message asks for, in a token's words; decided on the body alone. */

import type { Arguments } from '../tokens/argument-rules.js'
import type { Method } from '../tokens/caveats.js'
import type { Refusal } from '../tokens/verify.js'
import type { Frame } from './frame.js'
import { RPC_CODES, RpcError } from './rpc.js'
import type { TokenDemand } from './token-guard.js'

/** The features of MCP that a token names, by the methods that they are made of. Undefined: any live token. */
const FEATURES: Readonly<Record<string, Method | undefined>> = {
  initialize: undefined,
  ping: undefined,
  'server/discover': undefined,
  'logging/setLevel': undefined,
  'subscriptions/listen': undefined,
  'tools/list': 'tools',
  'tools/call': 'tools',
  'tasks/get': 'tools',
  'tasks/result': 'tools',
  'tasks/update': 'tools',
  'tasks/cancel': 'tools',
  'resources/list': 'resources',
  'resources/templates/list': 'resources',
  'resources/read': 'resources',
  'resources/subscribe': 'resources',
  'resources/unsubscribe': 'resources',
  'prompts/list': 'prompts',
  'prompts/get': 'prompts',
  'completion/complete': 'completion',
}

/** Where the name that `Mcp-Name` repeats stands in the params. */
const NAMED_BY: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
}

/** What the token of a message is asked to allow, and the tool that is to be called as the upstream names it. */
export interface Demand extends TokenDemand {
  readonly tool?: string | undefined
}

/** What a stream, the end of a session or a notification asks for: any live token. */
export const GENERAL_DEMAND: Demand = { feature: undefined }

/**
 * Says what a message asks for.
 *
 * @param tokenTool how tokens name a tool of the upstream.
 * @throws {RpcError} -32601 if the method is none that is passed on, -32602 if a call does not name its tool.
 */
export function demandOf(frame: Frame, tokenTool: (tool: string) => string): Demand {
  const { method, params } = frame
  if (method === undefined || frame.kind === 'notification') return GENERAL_DEMAND
  if (!Object.hasOwn(FEATURES, method)) throw unknownMethod(frame)
  if (method === 'tools/call') return callDemand(frame, tokenTool)
  return { feature: method === 'subscriptions/listen' ? listenFeature(params) : FEATURES[method] }
}

function callDemand({ id, params, hasTwins }: Frame, tokenTool: (tool: string) => string): Demand {
  const tool = params?.name
  if (typeof tool !== 'string') {
    throw new RpcError(RPC_CODES.invalidParams, 'Invalid params: the name of the tool is missing', { id: id ?? null })
  }
  const given = params?.arguments ?? {}
  const isObject = typeof given === 'object' && !Array.isArray(given)
  // A parser that matches names without case may read other arguments than we do: a token that limits them refuses.
  const args = isObject && !hasTwins ? (given as Arguments) : undefined
  return { feature: 'tools', tool, call: { method: 'tools', tool: tokenTool(tool), args } }
}

/** A stream of changes to resources is a use of resources. */
function listenFeature(params: Frame['params']): Method | undefined {
  const filter = params?.notifications
  const wanted = typeof filter === 'object' && filter !== null ? filter : {}
  const names = Object.keys(wanted).concat(Object.keys(params ?? {}))
  return names.some((name) => name.startsWith('resource')) ? 'resources' : undefined
}

function unknownMethod({ id, params }: Frame): RpcError {
  const status = isModern(params) ? 404 : 200
  return new RpcError(RPC_CODES.unknownMethod, 'Method not found', { id: id ?? null, status })
}

/** Whether a request is of the protocol that has no sessions (2026-07-28 and later): it says so itself. */
export function isModern(params: Frame['params']): boolean {
  const meta = params?._meta
  return typeof meta === 'object' && meta !== null && 'io.modelcontextprotocol/protocolVersion' in meta
}

/** Refusals of one call by a token that is otherwise alive; all others are of the token itself. */
const OF_THE_CALL: ReadonlySet<Refusal> = new Set(['method', 'tool', 'args', 'rate', 'digest'])

/** Whether a token was refused as a whole (401), rather than for what it was used for. */
export function isTokenRefused(reason: Refusal): boolean {
  return !OF_THE_CALL.has(reason)
}

/**
 * Holds the headers that repeat the body against it. Intermediaries route by them, so they must not say something else.
 *
 * @throws {RpcError} 400 and -32020
 */
export function checkHeaders(frame: Frame, headers: Readonly<Record<string, string | undefined>>): void {
  const { method, params, id } = frame
  const mismatch = (name: string): RpcError =>
    new RpcError(RPC_CODES.headerMismatch, `Bad Request: the header ${name} and the body disagree`, {
      status: 400,
      id: id ?? null,
    })
  const named = headers['mcp-method']
  if (named !== undefined && named !== method) throw mismatch('Mcp-Method')
  const name = headers['mcp-name']
  if (name === undefined) return
  if (decodeHeader(name) !== nameOf({ method, params })) throw mismatch('Mcp-Name')
}

/** Gives what a message is about, as `Mcp-Name` repeats it: a tool, a prompt, a resource, a task. */
export function nameOf({ method, params }: Pick<Frame, 'method' | 'params'>): string | undefined {
  const source = method !== undefined && Object.hasOwn(NAMED_BY, method) ? NAMED_BY[method] : undefined
  const value = source === undefined ? undefined : params?.[source]
  return typeof value === 'string' ? value : undefined
}

const SENTINEL = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/

/** Reads a header value that may be written in base64 (2026-07-28, "Standard Request Headers"). */
function decodeHeader(text: string): string {
  const encoded = SENTINEL.exec(text)?.[1]
  return encoded === undefined ? text : Buffer.from(encoded, 'base64').toString('utf8')
}
