/** What the gateway answers beside MCP: whether it works, how it does, and what a token is. */

import type { Method } from '../tokens/caveats.js'
import type { AuditLog } from './audit.js'
import type { ClientAnswer } from './client.js'
import type { CredentialLoader } from './credentials.js'
import { bearerToken } from './guards.js'
import type { EndpointRequest } from './http-front.js'
import type { CredentialAge, Metrics } from './metrics.js'
import { rpcAnswer } from './refusals.js'
import { RpcError } from './rpc.js'
import { PresentedToken, type TokenGuard } from './token-guard.js'

/** What the endpoints look at. */
export interface EndpointParts {
  readonly guard: TokenGuard
  readonly loader: CredentialLoader
  readonly audit: AuditLog
  readonly metrics: Metrics
  /** The credentials of the configuration, with age and due. */
  readonly ages: () => readonly CredentialAge[]
  /** Told what goes wrong on our side. */
  readonly report: (what: string, error: unknown) => void
  /** Whether other machines can reach it: then metrics take a token too. */
  readonly isRemote: boolean
}

const JSON_TYPE = { 'content-type': 'application/json', 'cache-control': 'no-store' }
const LONGEST_FORM = 16 * 1024

/** Answers a request for an endpoint; undefined if there is no such place. Never throws. */
export async function answerEndpoint(
  request: EndpointRequest,
  parts: EndpointParts,
): Promise<ClientAnswer | undefined> {
  try {
    return await answerAt(request, parts)
  } catch (error) {
    if (error instanceof RpcError) return rpcAnswer(error)
    parts.report(`${request.path} could not be answered`, error)
    return { status: 503, headers: JSON_TYPE, body: '{"error":"unavailable"}\n' }
  }
}

async function answerAt(request: EndpointRequest, parts: EndpointParts): Promise<ClientAnswer | undefined> {
  switch (request.path) {
    case '/healthz':
      return health(parts)
    case '/metrics':
      return metricsPage(request, parts)
    case '/introspect':
      return introspect(request, parts)
    default:
      return undefined
  }
}

function health({ loader, audit }: EndpointParts): ClientAnswer {
  let reason: string | undefined
  try {
    loader.vault()
    if (!audit.isWritable()) reason = 'the audit log cannot be written'
  } catch {
    reason = 'the vault cannot be read'
  }
  const body = reason === undefined ? { status: 'ok' } : { status: 'failing', reason }
  return { status: reason === undefined ? 200 : 503, headers: JSON_TYPE, body: `${JSON.stringify(body)}\n` }
}

function metricsPage(request: EndpointRequest, parts: EndpointParts): ClientAnswer {
  if (parts.isRemote && !mayUse(callerToken(request), 'metrics', parts)) return unauthorized()
  return {
    status: 200,
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
    body: parts.metrics.format(parts.ages()),
  }
}

/** RFC 7662. A resource server cannot check arguments, budgets or rates: a token that has such limits is none to it. */
async function introspect(request: EndpointRequest, parts: EndpointParts): Promise<ClientAnswer> {
  if (request.method !== 'POST') return { status: 405, headers: { allow: 'POST' }, body: undefined }
  if (!mayUse(callerToken(request), 'introspect', parts)) return unauthorized()
  const form = await request.readBody()
  const token = form.length > LONGEST_FORM ? null : new URLSearchParams(form.toString('utf8')).get('token')
  const verdict = parts.guard.judge(new PresentedToken(token ?? undefined), { feature: undefined })
  if (!verdict.allowed || verdict.status.isLimited)
    return { status: 200, headers: JSON_TYPE, body: '{"active":false}\n' }
  const { id, label, scope, createdMs } = verdict.status
  const answer = {
    active: true,
    token_type: 'Bearer',
    client_id: label ?? id,
    sub: id,
    jti: id,
    scope: scope.methods.includes('tools') ? scope.tools.join(' ') : '',
    methods: scope.methods,
    iat: Math.floor(createdMs / 1000),
    ...(scope.beforeMs === undefined ? {} : { exp: Math.floor(scope.beforeMs / 1000) }),
  }
  return { status: 200, headers: JSON_TYPE, body: `${JSON.stringify(answer)}\n` }
}

function mayUse(token: string | undefined, feature: Method, { guard }: EndpointParts): boolean {
  return guard.judge(new PresentedToken(token), { feature }).allowed
}

/** Resource servers authenticate with a name and a password as often as with a bearer token; the token is the password. */
function callerToken({ headers }: EndpointRequest): string | undefined {
  const basic = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '')?.[1]
  if (basic === undefined) return bearerToken(headers)
  const pair = Buffer.from(basic, 'base64').toString('utf8')
  return decodeForm(pair.slice(pair.indexOf(':') + 1))
}

/** RFC 6749 section 2.3.1 has both parts encoded as in a form. */
function decodeForm(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

function unauthorized(): ClientAnswer {
  const headers = { ...JSON_TYPE, 'www-authenticate': 'Bearer error="invalid_token"' }
  return { status: 401, headers, body: '{"error":"invalid_token"}\n' }
}
