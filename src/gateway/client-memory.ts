import type { Frame } from './frame.js'

/** What a client tells a process that it is introduced to. */
export interface Introduced {
  /** @throws if it is answered with an error */
  askOwn(method: string, params: unknown): Promise<void>
  send(message: { readonly text: string }): void
}

const KEPT = new Set(['initialize', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'])

/** What a client of the protocol with sessions has told its server and the server goes on to know: for the next process. */
export class ClientMemory {
  #initialize: Frame | undefined
  #initialized: Frame | undefined
  #level: Frame | undefined
  readonly #subscriptions = new Map<unknown, Frame>()

  /** Notes a notification of the client. */
  noteSent(frame: Frame): void {
    if (frame.method === 'notifications/initialized') this.#initialized = frame
  }

  /** Notes a request of the client by its answer. */
  noteAnswered(frame: Frame, answer: string): void {
    const { method = '', params } = frame
    if (!KEPT.has(method) || 'error' in (JSON.parse(answer) as object)) return
    if (method === 'initialize') this.#initialize = frame
    else if (method === 'logging/setLevel') this.#level = frame
    else if (method === 'resources/subscribe') this.#subscriptions.set(params?.uri, frame)
    else this.#subscriptions.delete(params?.uri)
  }

  /** Tells another process all of it. @throws what `askOwn` throws for the introduction itself */
  async tell(successor: Introduced): Promise<void> {
    if (this.#initialize === undefined) return
    await successor.askOwn('initialize', this.#initialize.params)
    if (this.#initialized === undefined) return
    successor.send(this.#initialized)
    const known = [...(this.#level === undefined ? [] : [this.#level]), ...this.#subscriptions.values()]
    // A process may have lost what the one before had: the client has to find that out by itself.
    await Promise.all(known.map(({ method, params }) => successor.askOwn(method ?? '', params).catch(() => {})))
  }
}
