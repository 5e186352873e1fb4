/** What is looked at before a body is read: which host was asked for, and which page asks. */

import type { IncomingHttpHeaders } from 'node:http'

/** Which hosts and origins a front answers to. */
export interface FrontDoors {
  /** Host names in lower case, without a port. */
  readonly hosts: ReadonlySet<string>
  /** Origins of web pages, as browsers spell them; none by default. */
  readonly origins: ReadonlySet<string>
}

/** The names by which a machine calls itself. */
export const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]'] as const

/** Whether an address to listen on is reached from this machine alone. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/**
 * Gives why a request is refused: a page that has made its own name mean this machine (DNS rebinding) asks for another
 * host than ours, and a page of another origin says so. What comes from no page has no origin.
 */
export function refuseDoor(headers: IncomingHttpHeaders, { hosts, origins }: FrontDoors): string | undefined {
  const host = headers.host?.toLowerCase().replace(/:\d*$/, '')
  if (host === undefined || !hosts.has(host)) return 'Forbidden: this host is not served here'
  const { origin } = headers
  const isAllowed =
    origin === undefined || origins.has(origin) || isOwnOrigin(origin, headers.host?.toLowerCase() ?? '')
  return isAllowed ? undefined : 'Forbidden: this origin is not allowed'
}

/** Whether a page was itself loaded from the host that it asks, which was found to be ours (RFC 6454 section 5). */
function isOwnOrigin(origin: string, host: string): boolean {
  return [`http://${host}`, `https://${host}`].includes(origin.toLowerCase())
}

/** What may go on to an upstream; never Authorization, Cookie, Host or Origin. */
const FORWARDED = new Set([
  'accept',
  'accept-language',
  'last-event-id',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
  'traceparent',
  'tracestate',
])

/** Picks the headers that may go on. */
export function pickForwarded(headers: IncomingHttpHeaders): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && (FORWARDED.has(name) || name.startsWith('mcp-param-'))) picked[name] = value
  }
  return picked
}

/** Reads the token out of Authorization (RFC 6750 section 2.1). */
export function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  return /^bearer +([\w.~+/-]+=*) *$/i.exec(headers.authorization ?? '')?.[1]
}

const CORS_HEADERS = {
  'access-control-allow-methods': 'POST, GET, DELETE',
  'access-control-allow-headers':
    'authorization, content-type, last-event-id, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id, traceparent',
  'access-control-max-age': '600',
}

/** The headers without which a browser hands no answer to a page that may call; none where no page asks. */
export function corsHeaders(headers: IncomingHttpHeaders, { origins }: FrontDoors): Record<string, string> {
  const { origin } = headers
  if (origin === undefined || !origins.has(origin)) return {}
  const exposed = 'mcp-session-id, mcp-protocol-version, www-authenticate, retry-after'
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'origin' }
}

/** What a browser that asks before it calls is told; undefined if that is not what is asked. */
export function preflightHeaders(
  method: string | undefined,
  headers: IncomingHttpHeaders,
): Record<string, string> | undefined {
  const isAsked = method === 'OPTIONS' && headers.origin !== undefined
  return isAsked && headers['access-control-request-method'] !== undefined ? CORS_HEADERS : undefined
}
