import { RPC_CODES, RpcError } from './rpc.js'

/** A process that tells when a resource has changed. */
export interface Watcher {
  /** Begins; gives what ends it. @throws what the process answers */
  watch(uri: string): Promise<() => void>
}

/**
 * Resources that clients of the protocol without sessions listen for: each is subscribed to once in the process that
 * runs, for as long as somebody listens.
 */
export class WatchedResources {
  readonly #listeners = new Map<string, number>()
  readonly #ends = new Map<string, () => void>()
  readonly #report: (error: unknown) => void

  /** @param report told when a successor did not take a subscription. */
  constructor(report: (error: unknown) => void) {
    this.#report = report
  }

  /** Adds a listener; gives what takes it away. @throws {RpcError} if the process refuses */
  async add(uris: readonly string[], watcher: Watcher): Promise<() => void> {
    const fresh = uris.filter((uri) => !this.#listeners.has(uri))
    for (const uri of uris) this.#listeners.set(uri, (this.#listeners.get(uri) ?? 0) + 1)
    const remove = (): void => {
      for (const uri of uris) this.#remove(uri)
    }
    try {
      await Promise.all(fresh.map((uri) => this.#begin(uri, watcher)))
      return remove
    } catch (error) {
      remove()
      const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
      throw new RpcError(Number.isSafeInteger(code) ? Number(code) : RPC_CODES.upstream, String(message))
    }
  }

  /** Subscribes to all of them in another process. */
  moveTo(watcher: Watcher): void {
    this.#ends.clear()
    for (const uri of this.#listeners.keys()) this.#begin(uri, watcher).catch(this.#report)
  }

  async #begin(uri: string, watcher: Watcher): Promise<void> {
    const end = await watcher.watch(uri)
    if (this.#listeners.has(uri)) this.#ends.set(uri, end)
    else end()
  }

  #remove(uri: string): void {
    const count = (this.#listeners.get(uri) ?? 0) - 1
    if (count > 0) {
      this.#listeners.set(uri, count)
      return
    }
    this.#listeners.delete(uri)
    this.#ends.get(uri)?.()
    this.#ends.delete(uri)
  }
}
