/**
 * Tells a key on the terminal from a signal that was sent to mcpvault alone.
 *
 * Ctrl-C reaches every process in the terminal's foreground, the program included; `kill -INT` reaches mcpvault alone, and
 * the program has to be told. No system call says which it was. So where there is a terminal, a `cat` waits beside the
 * program: what kills it was typed. If it still gives back what it is given, the signal has not reached it, since a
 * pending signal is taken before anything else.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import type { StorageHost } from '../storage/read-file.js'
import { hasTerminal, isTerminalForeground } from './terminal.js'

/** What the terminal itself sends to every process in its foreground. */
const TYPED: readonly (string | null)[] = ['SIGINT', 'SIGQUIT']

/** Watches for what is typed, from its making until `end`. */
export class TypedSignals {
  readonly #host: StorageHost
  #witness: Witness | undefined

  constructor(host: StorageHost) {
    this.#host = host
    if (hasTerminal(host)) this.#witness = new Witness()
  }

  /** Tells whether a signal that has just come has reached the whole foreground. */
  async hasSpread(name: NodeJS.Signals): Promise<boolean> {
    if (!TYPED.includes(name) || !isTerminalForeground(this.#host)) return false
    const witness = this.#witness
    // Without one nobody knows: a program that misses a signal can be told again, one that sees it twice may end at once.
    if (witness === undefined) return true
    const isHit = await witness.isHit()
    if (witness.hasEnded && this.#witness === witness) this.#witness = new Witness()
    return isHit
  }

  /** Ends the watch. */
  end(): void {
    this.#witness?.end()
    this.#witness = undefined
  }
}

class Witness {
  readonly #process: ChildProcess
  /** Whether what has ended it was typed. */
  readonly #ended: Promise<boolean>
  hasEnded = false

  constructor() {
    // SIGQUIT would leave a core file. Its stdin ends with this process, and it with that.
    const script = 'ulimit -c 0; exec cat'
    this.#process = spawn('/bin/sh', ['-c', script], { env: {}, stdio: ['pipe', 'pipe', 'ignore'] })
    this.#ended = new Promise((resolve) => {
      const end = (wasTyped: boolean): void => {
        this.hasEnded = true
        resolve(wasTyped)
      }
      this.#process.on('exit', (_, signal) => end(TYPED.includes(signal)))
      this.#process.on('error', () => end(true))
    })
    // A dead one cannot be written to; that it is dead is what its end tells.
    this.#process.stdin?.on('error', () => {})
    this.#process.unref()
  }

  async isHit(): Promise<boolean> {
    const { stdin, stdout } = this.#process
    const answered = new Promise<boolean>((resolve) => stdout?.once('data', () => resolve(false)))
    stdin?.write('\n')
    return Promise.race([this.#ended, answered])
  }

  end(): void {
    for (const stream of [this.#process.stdin, this.#process.stdout]) stream?.destroy()
    this.#process.kill('SIGKILL')
  }
}
