/** One process of a relay: what it is asked, and what it says and asks by itself. */

import { VaultError } from '../errors.js'
import { ChildLink, type ChildParts } from './child-link.js'
import type { StdioUpstreamConfig } from './config.js'
import type { Frame } from './frame.js'
import { MessageQueue } from './message-queue.js'
import type { CredentialUse } from './upstream.js'

const START_MS = 60_000
const PING_MS = 5000

type Message = Readonly<Record<string, unknown>>
type Id = string | number

/** How a process is listened to. */
export interface RelayChildOptions {
  /** Which of the processes of one client it is, from 0: the questions of one must not be taken for another's. */
  readonly number: number
  /** How long an answer may take, in milliseconds; without it as long as the client likes. */
  readonly timeoutMs: number | undefined
  /** Takes what belongs to no request. */
  readonly onMessage: (text: string) => void
  /** Told when it has ended. */
  readonly onEnd: (how: string) => void
}

interface AskOptions {
  readonly onAnswer?: (text: string) => void
  /** Whether it is asked for the gateway itself: nothing else is to come on its stream. */
  readonly isOwn?: boolean
}

interface Pending {
  readonly onAnswer: ((text: string) => void) | undefined
  readonly queue: MessageQueue
  readonly progressToken: unknown
  readonly isOwn: boolean
  readonly timer: NodeJS.Timeout | undefined
}

/** A running process. */
export class RelayChild {
  readonly uses: readonly CredentialUse[]
  readonly #name: string
  readonly #link: ChildLink
  readonly #options: RelayChildOptions
  readonly #pending = new Map<Id, Pending>()
  /** What it has asked the client, by the id that the client knows it by. */
  readonly #questions = new Map<Id, unknown>()
  #ownIds = 0
  #onIdle: (() => void) | undefined

  /** Starts a process. @throws {VaultError} as `ChildLink` */
  static async start(config: StdioUpstreamConfig, parts: ChildParts, options: RelayChildOptions): Promise<RelayChild> {
    const link = new ChildLink(config, parts)
    const child = new RelayChild(config.name, link, options)
    try {
      await link.start()
    } catch (error) {
      link.release()
      throw error
    }
    return child
  }

  private constructor(name: string, link: ChildLink, options: RelayChildOptions) {
    this.#name = name
    this.#link = link
    this.#options = options
    this.uses = link.uses
    link.onText = (text, message) => this.#take(text, message as Message)
    link.onclose = () => this.#ended()
  }

  get hasEnded(): boolean {
    return this.#link.child?.hasEnded ?? true
  }

  /** What the latest request that waits for an answer is answered with. */
  get latest(): MessageQueue | undefined {
    return [...this.#pending.values()].findLast(({ isOwn }) => !isOwn)?.queue
  }

  /** Whether the client's request with this id waits for its answer. */
  isAsked(id: unknown): boolean {
    return this.#pending.has(id as Id)
  }

  /** Whether it waits for the client's answer to its question with this id. */
  hasAsked(id: unknown): boolean {
    return this.#questions.has(id as Id)
  }

  send({ text }: Pick<Frame, 'text'>): void {
    if (!this.hasEnded) this.#link.child?.write(text)
  }

  /** Hands on the client's answer to a question of the process. */
  answer({ id, text }: Frame): void {
    const asked = this.#questions.get(id as Id)
    this.#questions.delete(id as Id)
    for (const { timer } of this.#pending.values()) timer?.refresh()
    this.send(asked === id ? { text } : { text: JSON.stringify({ ...(JSON.parse(text) as Message), id: asked }) })
  }

  /** Asks; gives what comes for this request, the answer last. What goes wrong is the end of it. */
  ask(frame: Frame, { onAnswer, isOwn = false }: AskOptions = {}): MessageQueue {
    const queue = new MessageQueue()
    const { id, params } = frame
    if (id === undefined || this.#pending.has(id)) {
      queue.end(this.#failure('a request with this id is being answered'))
      return queue
    }
    const meta = params?._meta
    const progressToken = typeof meta === 'object' && meta !== null && 'progressToken' in meta ? meta.progressToken : {}
    this.#pending.set(id, { queue, progressToken, isOwn, onAnswer, timer: this.#limit(id) })
    try {
      if (this.hasEnded) throw this.#failure('its process has ended')
      this.#link.child?.write(frame.text)
    } catch (error) {
      this.#settle(id)?.end(error)
    }
    return queue
  }

  /** Asks for ourselves. @throws {VaultError} UPSTREAM if it answers with an error or not in time */
  async askOwn(method: string, params: unknown, timeoutMs = START_MS): Promise<void> {
    this.#ownIds += 1
    const id = `mcpvault-${this.#ownIds}`
    const text = JSON.stringify({ jsonrpc: '2.0', id, method, ...(params !== undefined && { params }) })
    const frame = { text, kind: 'request', id, method, params: undefined, hasTwins: false } as const
    const timer = setTimeout(() => this.#link.child?.kill('it did not answer'), timeoutMs)
    try {
      const answer = await this.ask(frame, { isOwn: true }).next()
      if (answer !== undefined && 'error' in (JSON.parse(answer) as Message))
        throw this.#failure('it answered with an error')
    } finally {
      clearTimeout(timer)
    }
  }

  /** Nobody waits for an answer any more. @param isTold whether the client tells the process so by itself. */
  cancel(id: Id, isTold: boolean): void {
    const queue = this.#settle(id)
    if (queue === undefined) return
    queue.end()
    const params = { requestId: id, reason: 'the client has gone away' }
    if (!isTold) this.send({ text: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }) })
  }

  /** Lets it finish what it has, at the longest for `graceMs`, and ends it. */
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

  #take(text: string, message: Message): void {
    const { id, method, params } = message
    if (!('method' in message)) {
      const asked = this.#pending.get(id as Id)
      asked?.onAnswer?.(text)
      asked?.queue.push(text)
      this.#settle(id as Id)?.end()
      return
    }
    if (method === 'notifications/progress') {
      const token = (params as Message | undefined)?.progressToken
      const asked = [...this.#pending.values()].find(({ progressToken }) => progressToken === token)
      asked?.timer?.refresh()
      asked?.queue.push(text)
      if (asked !== undefined) return
    }
    this.#options.onMessage(this.#known(text, message))
  }

  /** Writes ids of the process's own as the client is to know them. */
  #known(text: string, message: Message): string {
    const { number } = this.#options
    const outward = (id: unknown): Id => (number === 0 ? (id as Id) : `mcpvault-${number}-${JSON.stringify(id)}`)
    if ('id' in message) {
      const id = outward(message.id)
      this.#questions.set(id, message.id)
      return number === 0 ? text : JSON.stringify({ ...message, id })
    }
    const params = message.params as Message | undefined
    if (message.method !== 'notifications/cancelled' || params?.requestId === undefined) return text
    const requestId = outward(params.requestId)
    this.#questions.delete(requestId)
    return number === 0 ? text : JSON.stringify({ ...message, params: { ...params, requestId } })
  }

  #settle(id: Id): MessageQueue | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    clearTimeout(pending.timer)
    this.#pending.delete(id)
    if (this.#pending.size === 0) this.#onIdle?.()
    return pending.queue
  }

  #limit(id: Id): NodeJS.Timeout | undefined {
    const { timeoutMs } = this.#options
    if (timeoutMs === undefined) return undefined
    const timer = setTimeout(() => {
      // It waits for somebody to answer: people take their time.
      if (this.#questions.size > 0) timer.refresh()
      else this.#late(id, timeoutMs)
    }, timeoutMs)
    return timer
  }

  /** A process that leaves a call unanswered may be busy with it; one that answers no ping hangs. */
  #late(id: Id, timeoutMs: number): void {
    const queue = this.#pending.get(id)?.queue
    queue?.end(this.#failure('it did not answer in time'))
    this.cancel(id, false)
    this.askOwn('ping', undefined, Math.min(PING_MS, timeoutMs)).catch(() => {})
  }

  #ended(): void {
    const reason = 'its process has ended'
    for (const { queue, timer } of this.#pending.values()) {
      clearTimeout(timer)
      queue.end(this.#failure(reason))
    }
    this.#pending.clear()
    for (const requestId of this.#questions.keys()) {
      const params = { requestId, reason }
      this.#options.onMessage(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }))
    }
    this.#questions.clear()
    this.#onIdle?.()
    this.#options.onEnd(this.#link.how ?? 'it has ended')
  }

  #failure(reason: string): VaultError {
    return new VaultError('UPSTREAM', `cannot call "${this.#name}": ${reason}`)
  }
}
