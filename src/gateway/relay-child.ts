/** One process of a relay: what it is asked, and what it says by itself. */

import { VaultError } from '../errors.js'
import { ChildLink, type ChildParts } from './child-link.js'
import type { StdioUpstreamConfig } from './config.js'
import type { Frame } from './frame.js'
import type { CredentialUse, ServerEvent } from './upstream.js'

const REPLAY_ID = 'mcpvault-replay'
const START_MS = 60_000

type Message = Readonly<Record<string, unknown>>

/** One process of a relay. */
export class RelayChild {
  readonly uses: readonly CredentialUse[]
  readonly #name: string
  readonly #link: ChildLink
  readonly #pending = new Map<string | number, { resolve(text: string): void; reject(error: unknown): void }>()
  #onIdle: (() => void) | undefined

  static async start(
    config: StdioUpstreamConfig,
    parts: ChildParts,
    onMessage: (text: string) => void,
  ): Promise<RelayChild> {
    const link = new ChildLink(config, parts)
    const child = new RelayChild(config.name, link, onMessage)
    try {
      await link.start()
    } catch (error) {
      link.release()
      throw error
    }
    return child
  }

  private constructor(name: string, link: ChildLink, onMessage: (text: string) => void) {
    this.#name = name
    this.#link = link
    this.uses = link.uses
    link.onText = (text, message) => this.#take(text, message as Message, onMessage)
    link.onclose = () => this.#ended()
  }

  get hasEnded(): boolean {
    return this.#link.child?.hasEnded ?? true
  }

  send({ text }: Frame): void {
    if (!this.hasEnded) this.#link.child?.write(text)
  }

  ask(frame: Frame): Promise<string> {
    const { id } = frame
    return new Promise((resolve, reject) => {
      if (id === undefined || this.#pending.has(id)) {
        reject(new VaultError('UPSTREAM', `cannot call "${this.#name}": a request with this id is being answered`))
        return
      }
      this.#pending.set(id, { resolve, reject })
      try {
        this.#link.child?.write(frame.text)
      } catch (error) {
        this.#pending.delete(id)
        reject(error)
      }
    })
  }

  /** Asks what a client has asked another process, under an id of ours. */
  async replay({ text }: Frame): Promise<void> {
    const message = { ...(JSON.parse(text) as Message), id: REPLAY_ID }
    const frame = { kind: 'request', id: REPLAY_ID, text: JSON.stringify(message) } as Frame
    const timer = setTimeout(() => this.#link.child?.kill('it did not answer'), START_MS)
    await this.ask(frame).finally(() => clearTimeout(timer))
  }

  async retire(graceMs: number): Promise<void> {
    if (this.#pending.size > 0 && !this.hasEnded) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs)
        this.#onIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    await this.#link.close()
  }

  #take(text: string, message: Message, onMessage: (text: string) => void): void {
    const { id } = message
    const isAnswer = !('method' in message) && (typeof id === 'string' || typeof id === 'number')
    const asked = isAnswer ? this.#pending.get(id) : undefined
    if (asked === undefined || !isAnswer) {
      if (!isAnswer) onMessage(text)
      return
    }
    this.#pending.delete(id)
    asked.resolve(text)
    if (this.#pending.size === 0) this.#onIdle?.()
  }

  #ended(): void {
    for (const { reject } of this.#pending.values()) {
      reject(new VaultError('UPSTREAM', `cannot call "${this.#name}": its process has ended`))
    }
    this.#pending.clear()
    this.#onIdle?.()
  }
}

/** The program's own messages, until somebody reads them. */
export class EventQueue {
  readonly #waiting: string[] = []
  #wake: (() => void) | undefined
  #hasEnded = false

  push(text: string): void {
    this.#waiting.push(text)
    this.#wake?.()
  }

  end(): void {
    this.#hasEnded = true
    this.#wake?.()
  }

  async *read(signal: AbortSignal): AsyncGenerator<ServerEvent> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
    while (!signal.aborted && !this.#hasEnded) {
      const data = this.#waiting.shift()
      if (data !== undefined) {
        yield { data }
        continue
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (signal.aborted) resolve()
      })
    }
  }
}
