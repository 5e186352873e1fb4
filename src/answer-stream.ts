/** The body of an answer as it comes. */

/** A reason that was found here and not by the HTTP client; its message is safe to show. */
export class Refusal extends Error {}

/** What slows an answer down and ends it. */
export interface AnswerController {
  readonly paused: boolean
  pause(): void
  resume(): void
  abort(reason: Error): void
}

/** How much of a body waits to be read before the upstream is slowed down, in bytes. */
const MOST_WAITING = 1024 * 1024

/** The body of an answer as a stream of chunks; read by one reader. */
export class AnswerStream implements AsyncIterable<Buffer> {
  readonly #controller: AnswerController
  readonly #chunks: Buffer[] = []
  #waiting = 0
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(controller: AnswerController) {
    this.#controller = controller
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#waiting += chunk.length
    if (this.#waiting > MOST_WAITING) this.#controller.pause()
    this.#wake?.()
  }

  end(error?: unknown): void {
    this.#end ??= error === undefined ? {} : { error }
    this.#wake?.()
  }

  /** Takes what there is of a body that has ended in order by now; undefined if more may come, or it was cut short. */
  takeWhole(): Buffer | undefined {
    if (this.#end === undefined || 'error' in this.#end) return undefined
    const chunks = this.#chunks.splice(0)
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
  }

  /** Ends the request; `reason` is in closed words. */
  cancel(reason = 'cancelled'): void {
    if (this.#end === undefined) this.#controller.abort(new Refusal(reason))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift()
        if (chunk !== undefined) {
          this.#waiting -= chunk.length
          if (this.#controller.paused && this.#waiting <= MOST_WAITING) this.#controller.resume()
          yield chunk
        } else if (this.#end === undefined) await this.#more()
        else if ('error' in this.#end) throw this.#end.error
        else return
      }
    } finally {
      this.cancel()
    }
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }
}
