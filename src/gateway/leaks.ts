import { VaultError } from '../errors.js'
import { changeVault } from '../vault/change.js'
import type { VaultAccess } from '../vault/vault.js'
import type { AuditLog } from './audit.js'
import type { CredentialLoader } from './credentials.js'
import type { GatewayLog } from './log.js'
import type { Metrics } from './metrics.js'
import type { CredentialUse } from './upstream.js'

/** What recording a leak takes. */
export interface LeakParts {
  readonly access: VaultAccess
  readonly loader: CredentialLoader
  readonly audit: AuditLog
  readonly metrics: Metrics
  readonly log: GatewayLog
}

/**
 * Records that an upstream has given a credential back: each time in the audit log, once for each version in the vault and
 * its log, which makes the credential due. The value is out of the answer by then.
 */
export class LeakRecorder {
  readonly #parts: LeakParts
  readonly #marked = new Set<string>()
  #queue: Promise<void> = Promise.resolve()

  constructor(parts: LeakParts) {
    this.#parts = parts
  }

  /** Takes in a leak; never throws, and does not wait for the vault. */
  record(upstream: string, use: CredentialUse): void {
    const { audit, metrics, log } = this.#parts
    metrics.countLeak(use.name)
    try {
      audit.leak(upstream, use)
    } catch (error) {
      log.report('a leak could not be recorded in the audit log', error)
    }
    const key = `${use.name} ${use.version}`
    if (this.#marked.has(key)) return
    this.#marked.add(key)
    log.warn(`"${upstream}" gave the credential "${use.name}" back: it was taken out of the answer`)
    this.#queue = this.#queue.then(() => this.#mark(upstream, use))
  }

  /** Waits until everything that was taken in is recorded. */
  async settle(): Promise<void> {
    await this.#queue
  }

  async #mark(upstream: string, use: CredentialUse): Promise<void> {
    const { access, loader, log } = this.#parts
    try {
      // A version that has been replaced meanwhile does not make the new one due.
      const [current] = loader.uses([use.name])
      if (current?.version !== use.version) return
      const reason = `the gateway took it out of an answer of "${upstream}"`
      await changeVault(access, 'serve', (draft) => draft.markLeaked(use.name, { reason }))
    } catch (error) {
      // A tutorial vault has no place for it, which was said when it was opened.
      if (!(error instanceof VaultError && error.code === 'INPUT')) this.#marked.delete(`${use.name} ${use.version}`)
      log.report(`the leak of "${use.name}" could not be recorded in the vault`, error)
    }
  }
}
