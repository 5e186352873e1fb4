/**
 * A program behind one client that has it for itself: like is fronted with like, message by message, so whatever the two
 * agree on passes through: both eras, sampling, elicitation, logging. The client is one that speaks stdio too, or a
 * session of the older protocol over HTTP.
 *
 * A process that ends by itself, or whose credential was rotated, gets a successor that is told what the one before knew
 * of the client.
 */

import { basename } from 'node:path'
import { VaultError } from '../errors.js'
import type { ChildParts } from './child-link.js'
import { ClientMemory } from './client-memory.js'
import type { StdioUpstreamConfig } from './config.js'
import type { Frame } from './frame.js'
import { MessageQueue } from './message-queue.js'
import { RelayChild } from './relay-child.js'
import { RestartPause } from './restart-pause.js'
import type { CredentialUse, ServerEvent, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.js'

const RETIRED_GRACE_MS = 30_000
/** How often it is looked whether a credential was rotated while nobody calls. */
const FOLLOW_MS = 1000

/** What a relay needs beside its configuration. */
export interface StdioRelayParts extends ChildParts {
  /** Told when other versions are held than before. */
  readonly onHolding: () => void
  /** How long an answer may take, in milliseconds; without it as long as the client likes. */
  readonly timeoutMs?: number
}

/** Relays between one client and one program. */
export class StdioRelay implements Upstream {
  readonly name: string
  readonly place: string
  readonly speaksFirst = true
  readonly #config: StdioUpstreamConfig
  readonly #parts: StdioRelayParts
  readonly #events: MessageQueue
  readonly #old = new Set<RelayChild>()
  readonly #memory = new ClientMemory()
  readonly #pause: RestartPause
  readonly #follow: NodeJS.Timeout
  #running: RelayChild | undefined
  #starting: Promise<RelayChild> | undefined
  #restart: NodeJS.Timeout | undefined
  /** The process that is being told what the one before knew. */
  #introduced: RelayChild | undefined
  #started = 0
  #isClosed = false

  constructor(config: StdioUpstreamConfig, parts: StdioRelayParts) {
    this.name = config.name
    this.place = basename(config.command)
    this.#config = config
    this.#parts = parts
    this.#pause = new RestartPause(() => parts.world.monotonicMs())
    this.#events = new MessageQueue(
      onceOnly(() => parts.log.warn(`messages of "${config.name}" that nobody reads were dropped`)),
    )
    this.#follow = setInterval(() => this.#followRotation(), FOLLOW_MS)
    this.#follow.unref()
  }

  get allTools(): readonly string[] {
    return [`${this.name}/*`]
  }

  tokenTool(tool: string): string {
    return `${this.name}/${tool}`
  }

  credentials(): readonly CredentialUse[] {
    return this.#running?.uses ?? this.#parts.loader.uses(this.#config.credentials)
  }

  get holding(): readonly CredentialUse[] {
    return [...this.#old, ...(this.#running === undefined ? [] : [this.#running])].flatMap(({ uses }) => uses)
  }

  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer> {
    const { verb, frame, signal } = request
    if (verb === 'GET') return { status: 200, headers: {}, body: { type: 'events', events: this.#events.read(signal) } }
    if (frame === undefined) return { status: 200, headers: {}, body: { type: 'none' } }
    const child = await this.#child()
    request.checkAgain()
    if (frame.kind === 'request') return this.#ask(child, frame, signal)
    this.#tell(child, frame)
    return { status: 202, headers: {}, body: { type: 'none' } }
  }

  endStreams(): void {
    this.#events.end()
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#follow)
    clearTimeout(this.#restart)
    void this.#introduced?.retire(0)
    const starting = await this.#starting?.catch(() => undefined)
    const children = new Set([...this.#old, this.#running, starting].filter((child) => child !== undefined))
    await Promise.all([...children].map((child) => child.retire(graceMs)))
    this.#events.end()
  }

  async #ask(child: RelayChild, frame: Frame, signal: AbortSignal): Promise<UpstreamAnswer> {
    const id = frame.id as string | number
    const queue = child.ask(frame, { onAnswer: (text) => this.#memory.noteAnswered(frame, text) })
    const gone = (): void => child.cancel(id, false)
    if (signal.aborted) gone()
    signal.addEventListener('abort', gone, { once: true })
    const done = (): void => signal.removeEventListener('abort', gone)
    const first = await queue.next().finally(() => queue.isOver && done())
    // Cancelled: there is no answer any more.
    if (first === undefined) return { status: 202, headers: {}, body: { type: 'none' } }
    if (!queue.isOver)
      return { status: 200, headers: {}, body: { type: 'events', events: readAll(first, queue, done) } }
    return { status: 200, headers: {}, body: { type: 'message', text: first } }
  }

  #tell(child: RelayChild, frame: Frame): void {
    const { kind, method, params, id } = frame
    const all = [child, ...this.#old]
    if (kind === 'response') {
      all.find((one) => one.hasAsked(id))?.answer(frame)
      return
    }
    const requestId = params?.requestId as string | number | undefined
    // The program that was asked may be an older one by now.
    const asked = method === 'notifications/cancelled' ? all.find((one) => one.isAsked(requestId)) : undefined
    if (asked !== undefined && requestId !== undefined) asked.cancel(requestId, true)
    ;(asked ?? child).send(frame)
    this.#memory.noteSent(frame)
  }

  /** Gives the process that takes new requests. */
  async #child(): Promise<RelayChild> {
    const running = this.#alive()
    if (running === undefined) return this.#start()
    if (this.#isFresh(running)) return running
    // A value that may still be used goes on until the successor has answered.
    const starting = this.#start()
    starting.catch(() => {})
    return this.#parts.loader.areLive(running.uses) ? running : starting
  }

  #alive(): RelayChild | undefined {
    return this.#running?.hasEnded === false ? this.#running : undefined
  }

  /** Whether a process has the values that the next would have. */
  #isFresh({ uses }: RelayChild): boolean {
    const fresh = this.#parts.loader.uses(this.#config.credentials)
    return fresh.every(({ version }, index) => version === uses[index]?.version)
  }

  #start(): Promise<RelayChild> {
    if (this.#isClosed)
      return Promise.reject(new VaultError('UPSTREAM', `cannot call "${this.name}": it is being ended`))
    if (this.#starting !== undefined) return this.#starting
    clearTimeout(this.#restart)
    const starting = this.#startOne().finally(() => {
      this.#starting = undefined
    })
    this.#starting = starting
    return starting
  }

  async #startOne(): Promise<RelayChild> {
    await this.#pause.pass(this.name)
    const before = this.#running
    try {
      const child = await this.#introduce()
      this.#running = child
      if (before !== undefined) void this.#retire(before)
      this.#parts.onHolding()
      return child
    } catch (error) {
      const reason = error instanceof VaultError ? error.message : 'it did not answer'
      this.#parts.log.warn(`a process of "${this.name}" could not be started: ${reason}`)
      this.#plan(this.#pause.begin())
      throw error
    }
  }

  /** Starts a process and tells it what the client has told the one before. */
  async #introduce(): Promise<RelayChild> {
    const startedMs = this.#parts.world.monotonicMs()
    let own: RelayChild | undefined
    const child = await RelayChild.start(this.#config, this.#parts, {
      number: this.#started,
      timeoutMs: this.#parts.timeoutMs,
      onMessage: (text) => (this.#events.isRead ? this.#events : (own?.latest ?? this.#events)).push(text),
      onEnd: (how) => this.#ended(own, how, startedMs),
    })
    own = child
    this.#introduced = child
    this.#started += 1
    try {
      await this.#memory.tell(child)
    } catch (error) {
      void child.retire(0)
      throw error
    } finally {
      this.#introduced = undefined
    }
    return child
  }

  #ended(child: RelayChild | undefined, how: string, startedMs: number): void {
    this.#parts.onHolding()
    if (this.#isClosed || child === undefined || child !== this.#running) return
    this.#parts.log.warn(`"${this.name}" has ended by itself: ${how}`)
    this.#plan(this.#pause.begin(startedMs))
  }

  /** The client may wait for what it has subscribed to, and ask for nothing. */
  #plan(pauseMs: number): void {
    clearTimeout(this.#restart)
    if (this.#isClosed) return
    this.#restart = setTimeout(() => {
      if (this.#alive() === undefined) this.#start().catch(() => {})
    }, pauseMs)
    this.#restart.unref()
  }

  #followRotation(): void {
    const running = this.#alive()
    if (running === undefined || this.#starting !== undefined || !this.#pause.isOver) return
    try {
      if (!this.#isFresh(running)) this.#start().catch(() => {})
    } catch {
      // The next request is told.
    }
  }

  async #retire(child: RelayChild): Promise<void> {
    this.#old.add(child)
    await child.retire(RETIRED_GRACE_MS)
    this.#old.delete(child)
    this.#parts.onHolding()
  }
}

async function* readAll(first: string, queue: MessageQueue, done: () => void): AsyncGenerator<ServerEvent> {
  try {
    for (let data: string | undefined = first; data !== undefined; data = await queue.next()) yield { data }
  } finally {
    done()
  }
}

function onceOnly(run: () => void): () => void {
  let hasRun = false
  return () => {
    if (!hasRun) run()
    hasRun = true
  }
}
