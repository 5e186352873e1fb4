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
  readonly #guarded = new Map<
    symbol,
    { readonly pid: number | undefined; readonly whenEnded: (() => void) | undefined }
  >()
  readonly #end = (signal: NodeJS.Signals): void => {
    for (const { pid, whenEnded } of this.#guarded.values()) {
      this.#kill(pid)
      whenEnded?.()
    }
    for (const name of ENDING_SIGNALS) this.#self.off(name, this.#end)
    this.#self.kill(this.#self.pid, signal)
  }

  constructor(self: SignalledProcess) {
    this.#self = self
  }

  /**
   * Starts a program and guards its group. Signals are listened to before: the program may run for a while until this
   * process goes on.
   *
   * @param whenEnded called when a signal is about to end mcpvault
   */
  guard(start: () => number | undefined, whenEnded?: () => void): ProgramGroup {
    if (this.#guarded.size === 0) for (const signal of ENDING_SIGNALS) this.#self.on(signal, this.#end)
    const token = Symbol('group')
    const group = { pid: undefined as number | undefined, whenEnded }
    this.#guarded.set(token, group)
    const release = (): void => {
      this.#guarded.delete(token)
      if (this.#guarded.size === 0) for (const signal of ENDING_SIGNALS) this.#self.off(signal, this.#end)
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

  #kill(pid: number | undefined): void {
    if (pid === undefined) return
    try {
      this.#self.kill(-pid, 'SIGKILL')
    } catch {
      // All of it has ended by itself.
    }
  }
}
