import type { ProgramGroup } from './context.js'

/** What ending process groups takes of the running process. */
export interface SignalledProcess {
  readonly pid: number
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  kill(pid: number, signal: NodeJS.Signals): unknown
}

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** What a signal that ends mcpvault finds under way: it ends the programs first, then lets each piece of work say its last. */
export class ProgramGroups {
  readonly #self: SignalledProcess
  readonly #groups = new Set<{ pid: number | undefined }>()
  readonly #listeners = new Set<() => void>()
  #isListening = false
  readonly #end = (signal: NodeJS.Signals): void => {
    for (const { pid } of this.#groups) this.#kill(pid)
    for (const listener of this.#listeners) listener()
    for (const name of ENDING_SIGNALS) this.#self.off(name, this.#end)
    this.#self.kill(this.#self.pid, signal)
  }

  constructor(self: SignalledProcess) {
    this.#self = self
  }

  /**
   * Starts a program and guards its group. Signals are listened to before: the program may run for a while until this
   * process goes on.
   */
  guard(start: () => number | undefined): ProgramGroup {
    const group = { pid: undefined as number | undefined }
    this.#groups.add(group)
    this.#listen()
    const release = (): void => {
      this.#groups.delete(group)
      this.#listen()
    }
    try {
      group.pid = start()
    } catch (error) {
      release()
      throw error
    }
    if (group.pid === undefined) release()
    return { kill: () => this.#kill(group.pid), release }
  }

  /** Calls a listener when a signal is about to end mcpvault, until the function that it gives is called. */
  watch(listener: () => void): () => void {
    // One of its own for each call, so that the same listener may be given twice.
    const one = (): void => listener()
    this.#listeners.add(one)
    this.#listen()
    return () => {
      this.#listeners.delete(one)
      this.#listen()
    }
  }

  /** Signals are listened to as long as there is something to end, or to say. */
  #listen(): void {
    const isNeeded = this.#groups.size + this.#listeners.size > 0
    if (isNeeded === this.#isListening) return
    this.#isListening = isNeeded
    for (const signal of ENDING_SIGNALS) {
      if (isNeeded) this.#self.on(signal, this.#end)
      else this.#self.off(signal, this.#end)
    }
  }

  #kill(pid: number | undefined): void {
    if (pid === undefined) return
    try {
      this.#self.kill(-pid, 'SIGKILL')
    } catch {
      // All of it has ended by itself.
    }
  }
}
