import type { ProgramGroup } from './context.js'

/** What ending process groups takes of the running process. */
export interface SignalledProcess {
  readonly pid: number
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  kill(pid: number, signal: NodeJS.Signals): unknown
}

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** The process groups of programs that run beside mcpvault: a signal that ends mcpvault ends them first. */
export class ProgramGroups {
  readonly #self: SignalledProcess
  readonly #guarded = new Map<number, (() => void) | undefined>()
  readonly #end = (signal: NodeJS.Signals): void => {
    for (const [pid, whenEnded] of this.#guarded) {
      this.#kill(pid)
      whenEnded?.()
    }
    for (const name of ENDING_SIGNALS) this.#self.off(name, this.#end)
    this.#self.kill(this.#self.pid, signal)
  }

  constructor(self: SignalledProcess) {
    this.#self = self
  }

  /** @param whenEnded called when a signal is about to end mcpvault */
  guard(pid: number, whenEnded?: () => void): ProgramGroup {
    if (this.#guarded.size === 0) for (const signal of ENDING_SIGNALS) this.#self.on(signal, this.#end)
    this.#guarded.set(pid, whenEnded)
    return {
      kill: () => this.#kill(pid),
      release: () => {
        this.#guarded.delete(pid)
        if (this.#guarded.size === 0) for (const signal of ENDING_SIGNALS) this.#self.off(signal, this.#end)
      },
    }
  }

  #kill(pid: number): void {
    try {
      this.#self.kill(-pid, 'SIGKILL')
    } catch {
      // All of it has ended by itself.
    }
  }
}
