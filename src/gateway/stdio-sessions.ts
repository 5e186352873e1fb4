/**
 * Sessions of the older protocol over HTTP, in front of a program: each has a process of its own, as it would have over
 * stdio. The program's questions, logging level and subscriptions are of one connection, and nothing in them says which
 * of several clients they are for.
 */

import { randomUUID } from 'node:crypto'
import type { StdioUpstreamConfig } from './config.js'
import { isModern } from './decide.js'
import { readAll, whileOpen } from './event-stream.js'
import { RPC_CODES, RpcError } from './rpc.js'
import { StdioRelay, type StdioRelayParts } from './stdio-relay.js'
import { withTrace } from './trace.js'
import type { CredentialUse, UpstreamAnswer, UpstreamRequest } from './upstream.js'

const SESSION_HEADER = 'mcp-session-id'
/** Of one program. */
const MOST_SESSIONS = 32
/** How long a session lives of which nobody reads the stream and nobody asks anything. */
const IDLE_MS = 30 * 60_000
const SWEEP_MS = 60_000
const END_GRACE_MS = 2000
/** How a program says that it does not know `initialize`, or none of its versions (2026-07-28, "Versioning"). */
const NO_SESSIONS: readonly number[] = [-32601, -32022]

interface Session {
  readonly relay: StdioRelay
  lastMs: number
  /** Requests and streams that are open. */
  open: number
}

/** The sessions of one program. */
export class StdioSessions {
  readonly #config: StdioUpstreamConfig
  readonly #parts: StdioRelayParts
  readonly #sessions = new Map<string, Session>()
  readonly #sweep: NodeJS.Timeout
  #hasNoSessions = false

  constructor(config: StdioUpstreamConfig, parts: StdioRelayParts) {
    this.#config = config
    this.#parts = { ...parts, timeoutMs: config.totalTimeoutMs }
    this.#sweep = setInterval(() => this.#endIdle(), SWEEP_MS)
    this.#sweep.unref()
  }

  /** The versions that processes of sessions hold now. */
  get holding(): readonly CredentialUse[] {
    return [...this.#sessions.values()].flatMap(({ relay }) => relay.holding)
  }

  /** What a session's process was started with. */
  credentials(session: string | undefined): readonly CredentialUse[] | undefined {
    return session === undefined ? undefined : this.#sessions.get(session)?.relay.credentials()
  }

  /** Whether a request begins a session or belongs to one; any other is answered without. */
  has({ verb, frame, headers }: UpstreamRequest): boolean {
    const isOf = headers[SESSION_HEADER] !== undefined
    if (verb !== 'POST') return isOf
    if (frame === undefined || isModern(frame.params)) return false
    return frame.method === 'initialize' ? !this.#hasNoSessions : isOf
  }

  /**
   * Carries a request that `has` was true for.
   *
   * @returns undefined if the program does not know the older protocol.
   * @throws {RpcError} 404 for a session that is not, 503 when there are too many; as `exchange` of a relay.
   */
  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer | undefined> {
    if (request.frame?.method === 'initialize') return this.#begin(request)
    const id = request.headers[SESSION_HEADER] ?? ''
    const session = this.#sessions.get(id)
    if (session === undefined) throw new RpcError(RPC_CODES.badHttp, 'Session not found', { status: 404 })
    if (request.verb !== 'DELETE') return this.#carry(session, request)
    void this.#end(id, END_GRACE_MS)
    return { status: 200, headers: {}, body: { type: 'none' } }
  }

  endStreams(): void {
    for (const { relay } of this.#sessions.values()) relay.endStreams()
  }

  async close(graceMs: number): Promise<void> {
    clearInterval(this.#sweep)
    await Promise.all([...this.#sessions.keys()].map((id) => this.#end(id, graceMs)))
  }

  async #begin(request: UpstreamRequest): Promise<UpstreamAnswer | undefined> {
    this.#makeRoom()
    const session: Session = { relay: new StdioRelay(this.#config, this.#parts), lastMs: 0, open: 0 }
    const id = randomUUID()
    this.#sessions.set(id, session)
    try {
      const { status, headers, body } = await this.#carry(session, request)
      const events = body.type === 'events' ? await readAll(body.events) : undefined
      const whole = events === undefined ? body : ({ type: 'events', events } as const)
      const failure = failureOf(events?.at(-1)?.data ?? (body.type === 'message' ? body.text : '{}'))
      if (failure === undefined) return { status, headers: { ...headers, [SESSION_HEADER]: id }, body: whole }
      void this.#end(id, 0)
      // Any other error is of this client's request, and the next one may have its session.
      if (!NO_SESSIONS.includes(failure)) return { status, headers, body: whole }
      this.#hasNoSessions = true
      return undefined
    } catch (error) {
      void this.#end(id, 0)
      throw error
    }
  }

  async #carry(session: Session, request: UpstreamRequest): Promise<UpstreamAnswer> {
    const { monotonicMs } = this.#parts.world
    session.open += 1
    const done = (): void => {
      session.open -= 1
      session.lastMs = monotonicMs()
    }
    try {
      const answer = await session.relay.exchange(traced(request))
      if (answer.body.type === 'events') {
        return { ...answer, body: { type: 'events', events: whileOpen(answer.body.events, done) } }
      }
      done()
      return answer
    } catch (error) {
      done()
      throw error
    }
  }

  /** A client that has gone without a word has to make room for one that comes. */
  #makeRoom(): void {
    if (this.#sessions.size < MOST_SESSIONS) return
    const idle = [...this.#sessions].filter(([, { open }]) => open === 0)
    const [longest] = idle.sort(([, one], [, other]) => one.lastMs - other.lastMs)
    if (longest === undefined) {
      throw new RpcError(RPC_CODES.unavailable, `Too many sessions of "${this.#config.name}"`, { status: 503 })
    }
    void this.#end(longest[0], 0)
  }

  #endIdle(): void {
    const latestMs = this.#parts.world.monotonicMs() - IDLE_MS
    for (const [id, { open, lastMs }] of this.#sessions) if (open === 0 && lastMs < latestMs) void this.#end(id, 0)
  }

  async #end(id: string, graceMs: number): Promise<void> {
    const session = this.#sessions.get(id)
    this.#sessions.delete(id)
    try {
      await session?.relay.close(graceMs)
    } catch (error) {
      const what = error instanceof Error ? error.name : 'failure'
      this.#parts.log.warn(`a process of "${this.#config.name}" did not end as it should: ${what}`)
    }
    this.#parts.onHolding()
  }
}

/** A trace that came in a header goes on in the message (specification, "Trace context"). */
function traced(request: UpstreamRequest): UpstreamRequest {
  const { frame, headers } = request
  if (frame?.kind !== 'request' || headers.traceparent === undefined) return request
  const params = withTrace(frame.params, headers)
  if (params === frame.params) return request
  return { ...request, frame: { ...frame, params, text: JSON.stringify({ ...JSON.parse(frame.text), params }) } }
}

/** The code of an error; undefined of a result. */
function failureOf(json: string): number | undefined {
  const answer = JSON.parse(json) as { readonly result?: object; readonly error?: { readonly code: number } }
  return answer.result === undefined ? (answer.error?.code ?? RPC_CODES.upstream) : undefined
}
