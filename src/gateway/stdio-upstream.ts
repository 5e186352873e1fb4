/**
 * An MCP server that is a program, in front of which the gateway speaks HTTP. A session of the older protocol has a
 * process of its own (`stdio-sessions.ts`); one process serves all other requests. It is started again when it has ended,
 * and replaced when a credential in its environment has been rotated.
 */

import { basename } from 'node:path'
import { VaultError } from '../errors.js'
import type { ChildParts } from './child-link.js'
import { type ChangedList, ChildServer, EndedEarly } from './child-server.js'
import type { StdioUpstreamConfig } from './config.js'
import { SdkFront } from './sdk-front.js'
import type { Frame } from './frame.js'
import { whileOpen } from './event-stream.js'
import { isModern } from './decide.js'
import { RPC_CODES, RpcError } from './rpc.js'
import { StdioSessions } from './stdio-sessions.js'
import { withTrace } from './trace.js'
import { WatchedResources } from './watched-resources.js'
import { plainCall, plainError, plainResult } from './plain-call.js'
import { RestartPause } from './restart-pause.js'
import type { CredentialUse, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.js'

/** How long a process that was replaced may go on with what it has. */
const RETIRED_GRACE_MS = 30_000
/** How often it is looked whether a credential was rotated while nobody calls. */
const FOLLOW_MS = 1000

/** What changes a process for all who share it. */
const OF_SESSIONS = new Set(['logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'])

/** What a stdio upstream needs beside its configuration. */
export interface StdioUpstreamParts extends ChildParts {
  /** Told what went wrong, without anything of a message. */
  readonly report: (what: string, error: unknown) => void
  /** Told when other versions are held than before. */
  readonly onHolding: () => void
}

/** Serves a program that speaks MCP over stdio. */
export class StdioUpstream implements Upstream {
  readonly name: string
  readonly place: string
  readonly #config: StdioUpstreamConfig
  readonly #parts: StdioUpstreamParts
  readonly #front: SdkFront
  readonly #sessions: StdioSessions
  readonly #watched: WatchedResources
  readonly #retired = new Set<ChildServer>()
  readonly #pause: RestartPause
  readonly #closing = new AbortController()
  #current: ChildServer | undefined
  #starting: Promise<ChildServer> | undefined
  #isLegacy = false
  #isClosed = false
  #restart: NodeJS.Timeout | undefined
  readonly #follow: NodeJS.Timeout

  constructor(config: StdioUpstreamConfig, parts: StdioUpstreamParts) {
    this.name = config.name
    this.place = basename(config.command)
    this.#config = config
    this.#parts = parts
    this.#pause = new RestartPause(() => parts.world.monotonicMs())
    this.#sessions = new StdioSessions(config, parts)
    this.#watched = new WatchedResources((error) =>
      parts.report(`a resource of "${config.name}" is not watched`, error),
    )
    this.#front = new SdkFront((error) => parts.report(`"${config.name}" could not be served`, error))
    this.#follow = setInterval(() => this.#followRotation(), FOLLOW_MS)
    this.#follow.unref()
  }

  get allTools(): readonly string[] {
    return [`${this.name}/*`]
  }

  tokenTool(tool: string): string {
    return `${this.name}/${tool}`
  }

  credentials(_tool?: string, session?: string): readonly CredentialUse[] {
    return (
      this.#sessions.credentials(session) ?? this.#current?.uses ?? this.#parts.loader.uses(this.#config.credentials)
    )
  }

  /** The versions that processes hold now. */
  get holding(): readonly CredentialUse[] {
    const running = [...this.#retired, ...(this.#current === undefined ? [] : [this.#current])]
    return [...running.flatMap(({ uses }) => uses), ...this.#sessions.holding]
  }

  /** Holds that the credentials can be used. @throws {VaultError} as `lease` */
  rehearse(): void {
    const { loader, onLeak } = this.#parts
    const lease = loader.lease(this.#config.credentials, { onLeak })
    try {
      for (const name of this.#config.credentials) lease.value(name)
    } finally {
      lease.release()
    }
  }

  /** Starts the program, so that the first client need not wait for it; a failure is reported. */
  begin(): void {
    this.#ready().catch(() => {})
  }

  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer> {
    const answer = this.#sessions.has(request) ? await this.#sessions.exchange(request) : undefined
    if (answer !== undefined) return answer
    const child = await this.#ready()
    request.checkAgain()
    const plain = plainCall(request)
    if (plain !== undefined) return this.#callPlainly(child, plain, request)
    const uris = child.canWatch ? listenedUris(request.frame) : []
    const release = uris.length === 0 ? () => {} : await this.#watched.add(uris, child)
    try {
      const { body, ...head } = await this.#translate(child, request)
      if (body.type === 'events') return { ...head, body: { ...body, events: whileOpen(body.events, release) } }
      release()
      return { ...head, body }
    } catch (error) {
      release()
      throw error
    }
  }

  #translate(child: ChildServer, request: UpstreamRequest): Promise<UpstreamAnswer> {
    let failure: unknown
    const { frame, headers } = request
    const isOfModern = isModern(frame?.params)
    const ask: Parameters<ChildServer['createServer']>[0] = async ({ method, params }, { mcpReq }) => {
      if (OF_SESSIONS.has(method)) throw new RpcError(RPC_CODES.unknownMethod, 'Method not found: it takes a session')
      // The SDK has taken out who the client is, what it can do and what it has answered; a child of that protocol is told.
      const whole = isOfModern && !child.isLegacy ? { ...frame?.params } : params
      try {
        const result = await child.ask({ method, params: withTrace(whole, headers) }, mcpReq)
        return isOfModern ? result : this.#complete(result)
      } catch (error) {
        if (error instanceof VaultError) failure = error
        throw error
      }
    }
    return this.#front.exchange(request, child.createServer(ask, isOfModern), () => failure)
  }

  async #callPlainly(child: ChildServer, frame: Frame, request: UpstreamRequest): Promise<UpstreamAnswer> {
    const message = { method: 'tools/call', params: withTrace({ ...frame.params }, request.headers) }
    try {
      return plainResult(frame, this.#complete(await child.ask(message, { signal: request.signal })))
    } catch (error) {
      if (error instanceof VaultError || request.signal.aborted) throw error
      return plainError(frame, error)
    }
  }

  /** A client of the older protocol cannot be asked in an answer. @throws {RpcError} if it is asked all the same */
  #complete(result: Record<string, unknown>): Record<string, unknown> {
    if (result.resultType !== 'input_required') return result
    throw new RpcError(RPC_CODES.upstream, `"${this.name}" asks the client what its protocol cannot carry`)
  }

  endStreams(): void {
    this.#sessions.endStreams()
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    this.#closing.abort()
    clearInterval(this.#follow)
    clearTimeout(this.#restart)
    await this.#front.close()
    const sessions = this.#sessions.close(graceMs)
    const starting = await this.#starting?.catch(() => undefined)
    const current = this.#current
    this.#current = undefined
    const children = new Set([...this.#retired, current, starting].filter((child) => child !== undefined))
    await Promise.all([sessions, ...[...children].map((child) => child.retire(graceMs))])
  }

  /** Gives the process that takes new requests. */
  async #ready(): Promise<ChildServer> {
    this.#followRotation()
    const current = this.#usable()
    if (current !== undefined) return current
    // After a crash the next start has its time; who comes too early waits for it, but not for long.
    if (this.#starting === undefined) await this.#pause.pass(this.name)
    return this.#usable() ?? this.#starting ?? this.#start()
  }

  /** Starts a successor when a credential has another value than the running process was given. */
  #followRotation(): void {
    const current = this.#current
    if (this.#isClosed || this.#starting !== undefined || current?.isAlive !== true) return
    if (!this.#pause.isOver) return
    try {
      const fresh = this.#parts.loader.uses(this.#config.credentials)
      if (fresh.every(({ version }, index) => version === current.uses[index]?.version)) return
      this.#start().catch(() => {})
    } catch (error) {
      this.#parts.report(`the credentials of "${this.name}" cannot be looked up`, error)
    }
  }

  /** The running process, unless its values may not be used any more; while they may, its successor is not waited for. */
  #usable(): ChildServer | undefined {
    const current = this.#current
    return current?.isAlive === true && this.#parts.loader.areLive(current.uses) ? current : undefined
  }

  #start(): Promise<ChildServer> {
    if (this.#isClosed)
      return Promise.reject(new VaultError('UPSTREAM', `cannot call "${this.name}": it is being ended`))
    clearTimeout(this.#restart)
    const starting = this.#startOne()
    this.#starting = starting
    const done = (): void => {
      if (this.#starting === starting) this.#starting = undefined
    }
    starting.then(done, done)
    return starting
  }

  async #startOne(): Promise<ChildServer> {
    try {
      const child = await this.#startInEra()
      this.#isLegacy = child.isLegacy
      const before = this.#current
      this.#current = child
      this.#watched.moveTo(child)
      this.#parts.onHolding()
      if (before !== undefined) void this.#retire(before)
      return child
    } catch (error) {
      this.#parts.report(`"${this.name}" could not be started`, error)
      this.#plan(this.#pause.begin())
      throw error
    }
  }

  /** Some programs end at any message before `initialize`: those are asked in the older protocol alone. */
  async #startInEra(): Promise<ChildServer> {
    const startedMs = this.#parts.world.monotonicMs()
    const start = async (isLegacy: boolean): Promise<ChildServer> => {
      let child: ChildServer | undefined
      const onEnd = (how: string): void => this.#ended(child, how, startedMs)
      const { notify } = this.#front
      const { signal } = this.#closing
      const onListChanged = (list: ChangedList): void => notify[`${list}Changed`]()
      const onUpdated = (uri: string): void => notify.resourceUpdated(uri)
      child = await ChildServer.start(this.#config, this.#parts, { isLegacy, signal, onEnd, onListChanged, onUpdated })
      return child
    }
    if (this.#isLegacy) return start(true)
    return start(false).catch((error: unknown) => {
      if (error instanceof VaultError && error.cause instanceof EndedEarly) return start(true)
      throw error
    })
  }

  #ended(child: ChildServer | undefined, how: string, startedMs: number): void {
    this.#parts.onHolding()
    if (child === undefined || this.#current !== child) return
    this.#current = undefined
    if (this.#isClosed) return
    this.#parts.log.warn(`"${this.name}" has ended by itself: ${how}`)
    this.#plan(this.#pause.begin(startedMs))
  }

  #plan(pauseMs: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#restart)
    this.#restart = setTimeout(() => this.begin(), pauseMs)
    this.#restart.unref()
  }

  async #retire(child: ChildServer): Promise<void> {
    this.#retired.add(child)
    try {
      await child.retire(RETIRED_GRACE_MS)
    } finally {
      this.#retired.delete(child)
      this.#parts.onHolding()
    }
  }
}

/** The resources that a client of the protocol without sessions wants to hear of. */
function listenedUris(frame: Frame | undefined): readonly string[] {
  if (frame?.method !== 'subscriptions/listen' || !isModern(frame.params)) return []
  const wanted = frame.params?.notifications as Readonly<Record<string, unknown>> | undefined
  const uris = wanted?.resourceSubscriptions
  return Array.isArray(uris) ? [...new Set(uris.filter((uri) => typeof uri === 'string'))] : []
}
