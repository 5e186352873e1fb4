import { VaultError } from '../errors.js'

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 30_000
/** A request waits for a start that is due within this time; else it is told. */
const MOST_WAIT_MS = 5000
/** A process that has lived this long has not failed to start. */
const SETTLED_MS = 10_000

/** When a program that has ended may be started again: each time later, until one has lived for a while. */
export class RestartPause {
  readonly #monotonicMs: () => number
  #failures = 0
  #notBeforeMs = Number.NEGATIVE_INFINITY

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  /** Whether the next start may be now. */
  get isOver(): boolean {
    return this.#monotonicMs() >= this.#notBeforeMs
  }

  /** Notes that a process has ended by itself, or could not be started; gives the pause in milliseconds. */
  begin(startedMs = this.#monotonicMs()): number {
    if (this.#monotonicMs() - startedMs > SETTLED_MS) this.#failures = 0
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures)
    this.#failures += 1
    this.#notBeforeMs = this.#monotonicMs() + pauseMs
    return pauseMs
  }

  /** Waits for the next start, but not for long. @throws {VaultError} UPSTREAM if it is too far away */
  async pass(name: string): Promise<void> {
    const waitMs = this.#notBeforeMs - this.#monotonicMs()
    if (waitMs <= 0) return
    if (waitMs > MOST_WAIT_MS) {
      const seconds = Math.ceil(waitMs / 1000)
      throw new VaultError('UPSTREAM', `cannot call "${name}": it keeps ending; the next start is in ${seconds} s`)
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
}
