/** What every way of serving has in common: the vault, the tokens, the audit log, and the upstreams of the configuration. */

import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { registerHolder } from '../exec/holders.js'
import { followLinks } from '../storage/resolve-target.js'
import { requireTrust } from '../vault/trust.js'
import type { VaultAccess } from '../vault/vault.js'
import { AuditLog } from './audit.js'
import type { ChildWorld } from './child-link.js'
import { type ConfigPlace, readConfigFile, requireApproval } from './config-file.js'
import type { GatewayConfig } from './config.js'
import { CredentialLoader } from './credentials.js'
import { Gateway } from './gateway.js'
import { LeakRecorder } from './leaks.js'
import { createLog, type GatewayLog } from './log.js'
import { Metrics } from './metrics.js'
import { TokenGuard } from './token-guard.js'
import type { CredentialUse } from './upstream.js'
import { UpstreamSet } from './upstream-set.js'

/** How long an upstream that was taken out of the configuration may go on. */
const DROPPED_GRACE_MS = 30_000

/** What serving needs of the world. */
export interface ServeWorld extends ChildWorld {
  readonly access: VaultAccess
  /** Writes one line of the log, with its newline. */
  writeLog(line: string): void
  /** Calls `listener` at each of the process's signals of this name; gives a function that ends that. */
  onSignal(name: ServeSignal, listener: () => void): () => void
}

/** The signals that serving listens to: reload, end, end. */
export type ServeSignal = 'SIGHUP' | 'SIGTERM' | 'SIGINT'

/** What is served, and by which command. */
export interface CoreOptions {
  readonly config: ConfigPlace
  /** The bare subcommand, for the registry of who holds what. */
  readonly command: string
  /** The one upstream that is served; all of them unless told. @throws at the start if it is not in the configuration */
  readonly only?: string | undefined
  /** Whether there is one client, for which programs are relayed message by message. */
  readonly isForOneClient?: boolean | undefined
}

/** A gateway without a front. */
export class GatewayCore {
  readonly log: GatewayLog
  readonly loader: CredentialLoader
  readonly audit: AuditLog
  readonly guard: TokenGuard
  readonly metrics = new Metrics()
  readonly upstreams: UpstreamSet
  readonly gateway: Gateway
  readonly #options: CoreOptions
  readonly #world: ServeWorld
  readonly #leaks: LeakRecorder
  #holder: Awaited<ReturnType<typeof registerHolder>> | undefined
  #stopReload: (() => void) | undefined

  constructor(options: CoreOptions, world: ServeWorld) {
    const { access } = world
    this.#options = options
    this.#world = world
    this.log = createLog(world)
    this.loader = new CredentialLoader(access)
    const monotonicMs = (): number => world.monotonicMs()
    this.guard = new TokenGuard(this.loader, monotonicMs)
    this.audit = new AuditLog({
      path: join(dirname(followLinks(access.store.locate('vault'))), 'mcp_audit.jsonl'),
      now: () => access.now(),
      randomBytes: (length) => access.randomBytes(length),
    })
    const { loader, audit, metrics, log, guard } = this
    this.#leaks = new LeakRecorder({ access, loader, audit, metrics, log })
    this.upstreams = new UpstreamSet({
      loader,
      audit,
      onLeak: (upstream) => (use) => this.#leaks.record(upstream, use),
      log,
      report: log.report,
      onHolding: () => this.#noteHolding(),
      isForOneClient: options.isForOneClient === true,
      world,
    })
    this.gateway = new Gateway({ guard, audit, metrics, report: log.report, monotonicMs })
  }

  /** Reads the configuration and gets ready. @throws {VaultError} whatever keeps it from serving */
  async start(): Promise<void> {
    // Before anything is decrypted, be it only to see whether it can be used.
    this.audit.prepare()
    this.#configure()
    const { command, config } = this.#options
    this.#holder = await registerHolder(this.#world.access, { command, credentials: this.#holding() }, config.host)
    this.loader.onReopened = () => this.#noteHolding()
    this.#stopReload = this.#world.onSignal('SIGHUP', () => this.#reload())
  }

  /** Ends everything, at the latest after `graceMs`; to be called when no front takes requests any more. */
  async close(graceMs: number): Promise<void> {
    this.#stopReload?.()
    await this.upstreams.close(graceMs)
    await this.#leaks.settle()
    await this.#holder?.release()
    this.#holder = undefined
    this.guard.close()
    this.audit.reopen()
  }

  #configure(): void {
    const vault = this.loader.vault()
    const file = readConfigFile(this.#options.config, vault)
    requireApproval(file)
    // Whoever makes a vault approves in it what he likes, and a configuration names programs.
    requireTrust(vault, `use "${file.path}"`)
    for (const dropped of this.upstreams.configure(this.#chosen(file.config))) void dropped.close(DROPPED_GRACE_MS)
  }

  #chosen(config: GatewayConfig): GatewayConfig {
    const { only } = this.#options
    if (only === undefined) return config
    const upstreams = config.upstreams.filter(({ name }) => name === only)
    if (upstreams.length > 0) return { upstreams }
    throw new VaultError('NOT_FOUND', `no server "${only}" in "${this.#options.config.path}"`, {
      hints: [`its servers: ${config.upstreams.map(({ name }) => name).join(', ')}`],
    })
  }

  /** What is wrong with the new configuration is said, and the old one goes on. */
  #reload(): void {
    this.audit.reopen()
    try {
      this.#configure()
      this.log.info('reloaded', { upstreams: this.upstreams.names.join(' ') })
    } catch (error) {
      this.log.report('the configuration was not reloaded: the one before stays in use', error)
    }
  }

  #noteHolding(): void {
    if (this.#holder === undefined) return
    try {
      void this.#holder.update(this.#holding())
    } catch (error) {
      this.log.report('which credentials are held could not be noted', error)
    }
  }

  /** What the next requests would use, and what children were started with. */
  #holding(): readonly CredentialUse[] {
    const all = [...this.loader.uses(this.upstreams.credentials), ...this.upstreams.holding]
    return [...new Map(all.map((use) => [`${use.version} ${use.name}`, use])).values()]
  }
}
