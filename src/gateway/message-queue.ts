import type { ServerEvent } from './upstream.js'

/** What may wait for somebody to read it, in characters. */
const MOST_WAITING = 8 * 1024 * 1024

/** Messages of a server until somebody reads them. */
export class MessageQueue {
  readonly #waiting: string[] = []
  readonly #onDropped: () => void
  #length = 0
  #wake: (() => void) | undefined
  #hasEnded = false
  #error: unknown
  #reader = 0
  #isRead = false

  /** @param onDropped told when nobody reads and the oldest message had to give way. */
  constructor(onDropped: () => void = () => {}) {
    this.#onDropped = onDropped
  }

  /** Whether somebody reads it now. */
  get isRead(): boolean {
    return this.#isRead
  }

  /** Whether nothing is in it and nothing will come. */
  get isOver(): boolean {
    return this.#hasEnded && this.#waiting.length === 0 && this.#error === undefined
  }

  push(text: string): void {
    if (this.#hasEnded) return
    this.#waiting.push(text)
    this.#length += text.length
    while (this.#length > MOST_WAITING && this.#waiting.length > 1) {
      this.#length -= this.#waiting.shift()?.length ?? 0
      this.#onDropped()
    }
    this.#wake?.()
  }

  /** Nothing comes any more; whoever reads to the end is thrown the error, if there is one. */
  end(error?: unknown): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#error = error
    this.#wake?.()
  }

  /** Gives the next message, undefined at the end. @throws what it was ended with */
  async next(isOver: () => boolean = () => false): Promise<string | undefined> {
    for (;;) {
      if (isOver()) return undefined
      const text = this.#waiting.shift()
      if (text !== undefined) {
        this.#length -= text.length
        return text
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#hasEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Reads to the end, or until the signal; a later reader takes over from the one before. */
  async *read(signal: AbortSignal): AsyncGenerator<ServerEvent> {
    this.#reader += 1
    this.#isRead = true
    const own = this.#reader
    const isOver = (): boolean => signal.aborted || own !== this.#reader
    const wake = (): void => {
      if (own === this.#reader) this.#isRead = false
      this.#wake?.()
    }
    this.#wake?.()
    signal.addEventListener('abort', wake, { once: true })
    try {
      for (let data = await this.next(isOver); data !== undefined; data = await this.next(isOver)) yield { data }
    } finally {
      signal.removeEventListener('abort', wake)
      if (own === this.#reader) this.#isRead = false
    }
  }
}
