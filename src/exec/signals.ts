/** Catches the signals that reach mcpvault in the place of the program that it runs. */

import { constants } from 'node:os'
import { VaultError } from '../errors.js'

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGWINCH', 'SIGCONT'] as const
const ENDING: readonly string[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']

/** Calls a listener at each signal that reaches this process, until the function that it gives is called. */
export type OnSignal = (name: NodeJS.Signals, listener: () => void) => () => void

/** Tells whether a signal asks to end. */
export function isEnding(name: NodeJS.Signals): boolean {
  return ENDING.includes(name)
}

/**
 * Catches signals from its making until `end`, so that nothing is left behind by whoever is killed: before there is a
 * program the wish to end is remembered, then the program is told, and after it there is only tidying up to be done.
 */
export class SignalRelay {
  readonly #listening: readonly (() => void)[]
  #tell: ((name: NodeJS.Signals) => void) | undefined
  #cancelledBy: NodeJS.Signals | undefined

  constructor(onSignal: OnSignal) {
    this.#listening = FORWARDED.map((name) => onSignal(name, () => this.#take(name)))
  }

  /** @throws {VaultError} CANCELLED if a signal has come that asks to end */
  throwIfCancelled(): void {
    if (this.#cancelledBy === undefined) return
    throw new VaultError('CANCELLED', 'cancelled', { exitCode: 128 + constants.signals[this.#cancelledBy] })
  }

  /** Has signals told from now on. */
  tell(tell: (name: NodeJS.Signals) => void): void {
    this.#tell = tell
  }

  /** Lets signals do again what they do. */
  end(): void {
    for (const end of this.#listening) end()
  }

  #take(name: NodeJS.Signals): void {
    if (this.#tell) this.#tell(name)
    else if (isEnding(name)) this.#cancelledBy ??= name
  }
}
