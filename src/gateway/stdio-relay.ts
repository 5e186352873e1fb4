/**
 * A program behind a client that speaks stdio too: like is fronted with like, message by message. The client has the
 * program for itself, so whatever the two agree on passes through: both eras, sampling, elicitation, logging.
 */

import { basename } from 'node:path'
import { VaultError } from '../errors.js'
import type { ChildParts } from './child-link.js'
import type { StdioUpstreamConfig } from './config.js'
import type { Frame } from './frame.js'
import { EventQueue, RelayChild } from './relay-child.js'
import type { CredentialUse, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.js'

const RETIRED_GRACE_MS = 30_000

/** Relays between one client and one program. */
export class StdioRelay implements Upstream {
  readonly name: string
  readonly place: string
  readonly speaksFirst = true
  readonly #config: StdioUpstreamConfig
  readonly #parts: ChildParts
  readonly #events = new EventQueue()
  readonly #old = new Set<RelayChild>()
  /** How the client has introduced itself, for a successor. */
  #initialize: Frame | undefined
  #initialized: Frame | undefined
  #current: Promise<RelayChild> | undefined
  #running: RelayChild | undefined
  #succession: Promise<void> | undefined

  constructor(config: StdioUpstreamConfig, parts: ChildParts) {
    this.name = config.name
    this.place = basename(config.command)
    this.#config = config
    this.#parts = parts
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
    if (frame.method === 'initialize') this.#initialize = frame
    if (frame.method === 'notifications/initialized') this.#initialized = frame
    if (frame.kind !== 'request') {
      child.send(frame)
      // The program that was asked may be an older one by now.
      if (frame.method === 'notifications/cancelled') for (const old of this.#old) old.send(frame)
      return { status: 202, headers: {}, body: { type: 'none' } }
    }
    return { status: 200, headers: {}, body: { type: 'message', text: await child.ask(frame) } }
  }

  async close(graceMs: number): Promise<void> {
    const child = await this.#current?.catch(() => undefined)
    this.#current = undefined
    await Promise.all([...this.#old, ...(child === undefined ? [] : [child])].map((one) => one.retire(graceMs)))
    this.#events.end()
  }

  async #child(): Promise<RelayChild> {
    this.#current ??= this.#start()
    const child = await this.#current
    if (child.hasEnded) throw new VaultError('UPSTREAM', `cannot call "${this.name}": its process has ended`)
    const { loader } = this.#parts
    const fresh = loader.uses(this.#config.credentials)
    if (fresh.every(({ version }, index) => version === child.uses[index]?.version)) return child
    this.#succession ??= this.#succeed(child).finally(() => {
      this.#succession = undefined
    })
    // A value that may still be used goes on until the successor has answered.
    if (!loader.areLive(child.uses)) await this.#succession
    return this.#running ?? child
  }

  async #start(): Promise<RelayChild> {
    const child = await RelayChild.start(this.#config, this.#parts, (message) => this.#events.push(message))
    this.#running = child
    return child
  }

  /** Starts a program with the new values and introduces the client to it as it has introduced itself. */
  async #succeed(before: RelayChild): Promise<void> {
    try {
      const child = await RelayChild.start(this.#config, this.#parts, (message) => this.#events.push(message))
      try {
        if (this.#initialize !== undefined) await child.replay(this.#initialize)
        if (this.#initialized !== undefined) child.send(this.#initialized)
      } catch (error) {
        void child.retire(0)
        throw error
      }
      this.#running = child
      this.#current = Promise.resolve(child)
      this.#old.add(before)
      void before.retire(RETIRED_GRACE_MS).finally(() => this.#old.delete(before))
    } catch (error) {
      const reason = error instanceof VaultError ? error.message : 'it did not answer'
      this.#parts.log.warn(`"${this.name}" goes on with the value before: its successor failed: ${reason}`)
    }
  }
}
