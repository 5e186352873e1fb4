/**
 * The MCP gateway: judges the token of every request, records it, lets an upstream carry it with the credential put in,
 * and hands the answer on without the credential and without what the token may not see.
 *
 * `frame.ts` reads messages, `decide.ts` says what they ask for, `token-guard.ts` judges; `upstream.ts` is what stands
 * behind; `http-front.ts` is what clients see; `serve.ts` puts it all together.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { AuditLog, AuditResult } from './audit.js'
import type { ClientAnswer, ClientRequest } from './client.js'
import type { TokenScope } from '../tokens/caveats.js'
import { RateKeeper, type RateLimit } from '../tokens/rate.js'
import type { Refusal } from '../tokens/verify.js'
import { currentDigest } from './definition.js'
import { checkHeaders, type Demand, demandOf, GENERAL_DEMAND, isTokenRefused } from './decide.js'
import { createFilter, filterEvent, type MessageFilter } from './filter.js'
import { type Frame, parseFrame } from './frame.js'
import type { Metrics } from './metrics.js'
import { formatRpcError, RPC_CODES, RpcError, UNAUTHORIZED } from './rpc.js'
import { EVENTS_HEADERS, formatEvent } from './sse.js'
import { type Admission, PresentedToken, type TokenGuard } from './token-guard.js'
import { refusalTo, rpcAnswer, unauthorized } from './refusals.js'
import { traceOf } from './trace.js'
import {
  destination,
  isWhole,
  type ServerEvent,
  type Upstream,
  type UpstreamAnswer,
  type UpstreamRequest,
} from './upstream.js'

/** What the gateway is made of. */
export interface GatewayParts {
  readonly guard: TokenGuard
  readonly audit: AuditLog
  readonly metrics: Metrics
  /** Told what goes wrong on our side; never anything of a message. */
  readonly report: (what: string, error: unknown) => void
  /** A clock that never goes back, in milliseconds. */
  readonly monotonicMs: () => number
}

/** Which token began a session; sessions are forgotten oldest first. */
const MOST_SESSIONS = 10_000

/** Carries requests to upstreams. */
export class Gateway {
  readonly #parts: GatewayParts
  readonly #sessions = new Map<string, string>()
  readonly #strangers: RateKeeper

  constructor(parts: GatewayParts) {
    this.#parts = parts
    this.#strangers = new RateKeeper(parts.monotonicMs)
  }

  /** Answers a client's request; never throws. */
  async handle(upstream: Upstream, request: ClientRequest): Promise<ClientAnswer> {
    try {
      const call = new Call(this.#parts, upstream, { request, sessions: this.#sessions, strangers: this.#strangers })
      return await call.answer()
    } catch (error) {
      return this.#explain(upstream, error)
    }
  }

  #explain(upstream: Upstream, error: unknown): ClientAnswer {
    if (error instanceof Unauthorized) return unauthorized()
    if (error instanceof RpcError) return rpcAnswer(error)
    if (!(error instanceof VaultError)) this.#parts.report('a request broke the gateway', error)
    else this.#parts.report(`cannot serve "${upstream.name}"`, error)
    return rpcAnswer(new RpcError(RPC_CODES.unavailable, 'The gateway cannot work now', { status: 503 }))
  }
}

/** The token as a whole is refused. */
class Unauthorized extends Error {}

interface CallOptions {
  readonly request: ClientRequest
  /** Session id to token id. */
  readonly sessions: Map<string, string>
  readonly strangers: RateKeeper
}

/**
 * How long the look at the records on arrival serves a body that came at once, in milliseconds; they are looked at again
 * just before anything is sent, whatever happened.
 */
const SAME_LOOK_MS = 1

/** How many refusals of requests without a token that is known are recorded. */
const STRANGERS: RateLimit = { key: 'strangers', rate: { calls: 60, per: 'm' } }

/** One request on its way. */
class Call {
  readonly #parts: GatewayParts
  readonly #upstream: Upstream
  readonly #request: ClientRequest
  readonly #sessions: Map<string, string>
  readonly #strangers: RateKeeper
  readonly #token: PresentedToken
  #lookedMs = 0
  #tokenId = ''
  #auditId = ''
  #where = ''
  #startMs = 0

  constructor(parts: GatewayParts, upstream: Upstream, { request, sessions, strangers }: CallOptions) {
    this.#parts = parts
    this.#upstream = upstream
    this.#request = request
    this.#token = new PresentedToken(request.token)
    this.#sessions = sessions
    this.#strangers = strangers
  }

  async answer(): Promise<ClientAnswer> {
    const { verb, headers } = this.#request
    // Before the body is read: nobody without a token may make us hold 4 MiB.
    const scope = this.#judge(GENERAL_DEMAND, undefined)?.status.scope
    this.#checkSession(headers['mcp-session-id'])
    if (verb !== 'POST') return this.#carry(undefined, GENERAL_DEMAND)
    const frame = parseFrame(await this.#request.readBody())
    try {
      checkHeaders(frame, headers)
      const demand = demandOf(frame, (tool) => this.#upstream.tokenTool(tool))
      return await this.#carry(frame, await this.#pin(frame, demand, scope))
    } catch (error) {
      if (error instanceof RpcError) throw withId(error, frame)
      if (error instanceof VaultError) return this.#explainTo(frame, error)
      throw error
    }
  }

  async #carry(frame: Frame | undefined, demand: Demand): Promise<ClientAnswer> {
    const admission = await this.#accept(frame, demand)
    if (admission === undefined) return refusalTo(frame, demand)
    this.#recordIntent(frame, demand)
    try {
      const answer = await this.#upstream.exchange(this.#requestOf(frame, demand))
      this.#bindSession(frame, answer)
      return this.#handOn(frame, answer, admission.status.scope)
    } catch (error) {
      this.#recordFailure(error)
      throw error
    }
  }

  #requestOf(frame: Frame | undefined, demand: Demand): UpstreamRequest {
    const { verb, headers, signal } = this.#request
    return { verb, frame, headers, signal, checkAgain: () => this.#checkAgain(demand, frame) }
  }

  /** Looks up what a tool's definition is now, if the token is pinned to one. */
  async #pin(frame: Frame, demand: Demand, scope: TokenScope | undefined): Promise<Demand> {
    const { feature, tool, call } = demand
    if (feature === undefined || tool === undefined || call === undefined || scope === undefined) return demand
    const isPinned = scope.methods.includes(feature) && scope.digests.some(([name]) => name === call.tool)
    if (!isPinned) return demand
    const general = { feature, tool }
    this.#recordIntent(undefined, general, 'tools/list')
    try {
      const digest = await currentDigest(this.#upstream, tool, this.#requestOf(frame, general))
      this.#recordResult({ outcome: 'ok' })
      return { ...demand, call: { ...call, digest } }
    } catch (error) {
      this.#recordFailure(error)
      throw error
    }
  }

  /**
   * Judges what is asked for and spends a call of the token; gives undefined if a live token does not allow it.
   *
   * @throws {Unauthorized} if the token is refused as a whole.
   */
  async #accept(frame: Frame | undefined, demand: Demand): Promise<Admission | undefined> {
    const admission = this.#judge(demand, frame)
    const allowance = admission?.allowance
    if (allowance === undefined) return admission
    const { guard } = this.#parts
    if (!guard.takeRate(allowance)) return this.#denied('rate', frame, demand)
    return (await guard.spend(allowance)) ? admission : this.#denied('calls', frame, demand)
  }

  #judge(demand: Demand, frame: Frame | undefined): Admission | undefined {
    const { guard, monotonicMs } = this.#parts
    const nowMs = monotonicMs()
    const isSeen = this.#lookedMs > 0 && nowMs - this.#lookedMs < SAME_LOOK_MS
    const verdict = isSeen ? guard.judgeAsSeen(this.#token, demand) : guard.judge(this.#token, demand)
    if (!isSeen) this.#lookedMs = nowMs
    if (!verdict.allowed) return this.#denied(verdict.reason, frame, demand)
    this.#tokenId = verdict.status.id
    return verdict
  }

  #denied(reason: Refusal, frame: Frame | undefined, demand: Demand): undefined {
    this.#recordRefusal(reason, frame, demand)
    if (isTokenRefused(reason)) throw new Unauthorized()
    return undefined
  }

  #checkAgain(demand: Demand, frame: Frame | undefined): void {
    const verdict = this.#parts.guard.judge(this.#token, demand)
    // The call that is being made has been spent by now, perhaps as the last one.
    if (verdict.allowed || verdict.reason === 'calls' || verdict.reason === 'counters') return
    this.#denied(verdict.reason, frame, demand)
    throw new RpcError(RPC_CODES.refused, UNAUTHORIZED, { id: frame?.id ?? null })
  }

  /** A session belongs to the token that began it: its id is no second way in. */
  #checkSession(session: string | undefined): void {
    const owner = session === undefined ? undefined : this.#sessions.get(this.#sessionKey(session))
    if (owner === undefined || owner === this.#tokenId) return
    throw new RpcError(RPC_CODES.badHttp, 'Session not found', { status: 404 })
  }

  #bindSession(frame: Frame | undefined, { headers }: UpstreamAnswer): void {
    const session = headers['mcp-session-id']
    if (session === undefined || frame?.method !== 'initialize') return
    this.#sessions.set(this.#sessionKey(session), this.#tokenId)
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= MOST_SESSIONS) return
      this.#sessions.delete(oldest)
    }
  }

  #sessionKey(session: string): string {
    return `${this.#upstream.name} ${session}`
  }

  #handOn(frame: Frame | undefined, { status, headers, body }: UpstreamAnswer, scope: TokenScope): ClientAnswer {
    const filter = createFilter(frame, { scope, upstream: this.#upstream })
    const end = (result: Omit<AuditResult, 'ms'>): void => this.#recordResult({ status, ...result })
    if (body.type === 'events') {
      const own = { ...headers, ...EVENTS_HEADERS }
      const { events } = body
      if (!isWhole(events)) return { status, headers: own, body: this.#stream(events, filter, end) }
      const text = events.map((event) => formatEvent(filterEvent(event, filter))).join('')
      end({ outcome: 'ok' })
      return { status, headers: own, body: text }
    }
    end({ outcome: status < 400 ? 'ok' : 'error' })
    if (body.type === 'none') return { status, headers, body: undefined }
    const contentType = body.type === 'message' ? 'application/json' : body.contentType
    const text = body.type === 'message' && filter !== undefined ? filter(body.text) : body.text
    return {
      status,
      headers: { ...headers, 'content-type': contentType, 'x-content-type-options': 'nosniff' },
      body: text,
    }
  }

  async *#stream(
    events: AsyncIterable<ServerEvent>,
    filter: MessageFilter | undefined,
    end: (result: Omit<AuditResult, 'ms'>) => void,
  ): AsyncGenerator<string> {
    let result: Omit<AuditResult, 'ms'> = { outcome: 'cancelled' }
    try {
      for await (const event of events) {
        // A stream may live for hours, and its token be revoked meanwhile.
        if (!this.#parts.guard.judge(this.#token, GENERAL_DEMAND).allowed) {
          result = { outcome: 'cancelled', reason: 'the token was refused' }
          return
        }
        yield formatEvent(filterEvent(event, filter))
      }
      result = { outcome: 'ok' }
    } catch (error) {
      const reason = error instanceof VaultError ? error.message : 'internal'
      if (!this.#request.signal.aborted) result = { outcome: 'failed', reason }
      throw error
    } finally {
      end(result)
    }
  }

  #explainTo({ id, kind }: Frame, error: VaultError): ClientAnswer {
    const isMissing = error.code === 'NOT_FOUND'
    if (error.code !== 'UPSTREAM' && !isMissing) throw error
    this.#parts.report(`a call of "${this.#upstream.name}" failed`, error)
    const message = isMissing ? 'Credential not configured' : error.message
    const code = isMissing ? RPC_CODES.unavailable : RPC_CODES.upstream
    const status = kind === 'request' ? 200 : 502
    return { status, headers: { 'content-type': 'application/json' }, body: formatRpcError(code, message, id ?? null) }
  }

  #recordIntent(frame: Frame | undefined, { tool }: Demand, method = methodOf(frame, this.#request.verb)): void {
    this.#startMs = this.#parts.monotonicMs()
    const where = destination(this.#upstream, tool)
    this.#where = where.upstream
    this.#auditId = this.#parts.audit.intent({
      token: this.#tokenId,
      ...where,
      method,
      credentials: this.#upstream.credentials(tool, this.#request.headers['mcp-session-id']),
      request: frame?.id,
      trace: traceOf(frame?.params, this.#request.headers),
    })
  }

  #recordFailure(error: unknown): void {
    const reason = error instanceof VaultError ? error.message : error instanceof RpcError ? 'refused' : 'internal'
    this.#recordResult({ outcome: this.#request.signal.aborted ? 'cancelled' : 'failed', reason })
  }

  /** The call has been made: that its result cannot be recorded is reported, and the next intent will fail. */
  #recordResult(result: Omit<AuditResult, 'ms'>): void {
    const ms = Math.round(this.#parts.monotonicMs() - this.#startMs)
    this.#parts.metrics.countCall(this.#where, result.outcome, ms)
    try {
      this.#parts.audit.result(this.#auditId, { ...result, ms })
    } catch (error) {
      this.#parts.report('a result could not be recorded', error)
    }
  }

  #recordRefusal(reason: string, frame: Frame | undefined, { tool }: Demand): void {
    this.#parts.metrics.countRefusal(reason)
    const method = methodOf(frame, this.#request.verb)
    const trace = traceOf(frame?.params, this.#request.headers)
    const token = this.#tokenId === '' ? undefined : this.#tokenId
    const where = destination(this.#upstream, tool)
    // Whoever has no token must not be able to fill the disk; the metrics count all.
    if (token === undefined && !this.#strangers.take([STRANGERS])) return
    try {
      this.#parts.audit.refusal({ token, upstream: where.upstream, method, tool: where.tool, reason, trace })
    } catch (error) {
      this.#parts.report('a refusal could not be recorded', error)
    }
  }
}

function methodOf(frame: Frame | undefined, verb: string): string {
  if (frame === undefined) return verb
  return frame.method ?? 'response'
}

function withId(error: RpcError, { id }: Frame): RpcError {
  if (error.id !== null || id === undefined) return error
  return new RpcError(error.code, error.message, { status: error.status, id })
}
