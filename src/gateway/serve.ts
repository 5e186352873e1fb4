/** `mcpvault serve` as a process: reads the configuration, opens the vault, listens, reloads, and ends in order. */

import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { registerHolder } from '../exec/holders.js'
import { findAges } from '../rotation/ages.js'
import { DEFAULT_MAX_AGE_SECONDS, dueState } from '../rotation/due.js'
import { followLinks } from '../storage/resolve-target.js'
import type { VaultAccess } from '../vault/vault.js'
import { AuditLog } from './audit.js'
import { type ConfigPlace, readConfigFile, requireApproval } from './config-file.js'
import { CredentialLoader } from './credentials.js'
import { answerEndpoint } from './endpoints.js'
import { Gateway } from './gateway.js'
import { isLoopbackHost, LOOPBACK_HOSTS } from './guards.js'
import { type Front, startFront } from './http-front.js'
import { LeakRecorder } from './leaks.js'
import { createLog, type GatewayLog } from './log.js'
import { type CredentialAge, Metrics } from './metrics.js'
import { TokenGuard } from './token-guard.js'
import { UpstreamSet } from './upstream-set.js'

/** How long requests may go on after a signal to end. */
const DRAIN_MS = 10_000
/** How long an upstream that was taken out of the configuration may go on. */
const DROPPED_GRACE_MS = 30_000

/** What `serve` needs of the world. */
export interface ServeWorld {
  readonly access: VaultAccess
  /** Writes one line of the log, with its newline. */
  writeLog(line: string): void
  /** Calls `listener` at each of the process's signals of this name; gives a function that ends that. */
  onSignal(name: ServeSignal, listener: () => void): () => void
  /** A clock that never goes back. */
  monotonicMs(): number
}

/** The signals that `serve` listens to: reload, end, end. */
export type ServeSignal = 'SIGHUP' | 'SIGTERM' | 'SIGINT'

/** How `serve` was called. */
export interface ServeOptions {
  readonly config: ConfigPlace
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined
  readonly allowRemote: boolean
  /** Names by which clients reach it, beside the address. */
  readonly hosts: readonly string[]
  /** Origins of web pages that may call. */
  readonly origins: readonly string[]
}

/** Serves until a signal ends it. @throws {VaultError} whatever keeps it from starting */
export async function runGateway(options: ServeOptions, world: ServeWorld): Promise<void> {
  const server = await startGateway(options, world)
  await new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) world.onSignal(name, resolve)
  })
  await server.close(DRAIN_MS)
}

/** A gateway that serves. */
export interface RunningGateway {
  readonly port: number
  close(graceMs: number): Promise<void>
}

/** Starts to serve. @throws {VaultError} whatever keeps it from starting */
export async function startGateway(options: ServeOptions, world: ServeWorld): Promise<RunningGateway> {
  checkListen(options)
  const running = new Running(options, world)
  await running.start()
  return running
}

function checkListen({ listen, tls, allowRemote }: ServeOptions): void {
  if (isLoopbackHost(listen.host) || (tls !== undefined && allowRemote)) return
  throw new VaultError('UNSAFE', `cannot listen on ${listen.host}: other machines could reach it`, {
    hints: [
      'that takes --allow-remote and TLS: --tls-cert FILE --tls-key FILE',
      'mcpvault serve --listen 127.0.0.1:8808',
    ],
  })
}

class Running implements RunningGateway {
  readonly #options: ServeOptions
  readonly #world: ServeWorld
  readonly #log: GatewayLog
  readonly #loader: CredentialLoader
  readonly #audit: AuditLog
  readonly #guard: TokenGuard
  readonly #leaks: LeakRecorder
  readonly #upstreams: UpstreamSet
  readonly #metrics = new Metrics()
  readonly #ends: (() => unknown)[] = []
  #front: Front | undefined

  constructor(options: ServeOptions, world: ServeWorld) {
    const { access } = world
    this.#options = options
    this.#world = world
    this.#log = createLog(world)
    this.#loader = new CredentialLoader(access)
    this.#guard = new TokenGuard(this.#loader, () => world.monotonicMs())
    this.#audit = new AuditLog({
      path: join(dirname(followLinks(access.store.locate('vault'))), 'mcp_audit.jsonl'),
      now: () => access.now(),
      randomBytes: (length) => access.randomBytes(length),
    })
    const [loader, audit, metrics, log] = [this.#loader, this.#audit, this.#metrics, this.#log]
    this.#leaks = new LeakRecorder({ access, loader, audit, metrics, log })
    this.#upstreams = new UpstreamSet({ loader, onLeak: (upstream) => (use) => this.#leaks.record(upstream, use) })
  }

  get port(): number {
    return this.#front?.port ?? 0
  }

  async start(): Promise<void> {
    this.#configure()
    this.#audit.prepare()
    await this.#register()
    const { listen, tls } = this.#options
    this.#front = await startFront(this.#createGateway(), {
      ...listen,
      tls,
      doors: this.#doors(),
      findUpstream: (name) => this.#upstreams.find(name),
      endpoints: (request) => answerEndpoint(request, this.#endpointParts()),
    })
    this.#ends.push(this.#world.onSignal('SIGHUP', () => this.#reload()))
    this.#log.info('serving', { host: listen.host, port: this.port, upstreams: this.#upstreams.names.join(' ') })
  }

  async close(graceMs: number): Promise<void> {
    this.#log.info('draining')
    for (const end of this.#ends) end()
    await this.#front?.close(graceMs)
    await this.#upstreams.close(graceMs)
    await this.#leaks.settle()
    await this.#holder?.release()
    this.#guard.close()
    this.#audit.reopen()
    this.#log.info('stopped')
  }

  #holder: Awaited<ReturnType<typeof registerHolder>> | undefined

  async #register(): Promise<void> {
    const { access } = this.#world
    const uses = (): ReturnType<CredentialLoader['uses']> => this.#loader.uses(this.#upstreams.credentials)
    const holding = { command: 'serve', credentials: uses() }
    const holder = await registerHolder(access, holding, this.#options.config.host)
    this.#holder = holder
    this.#loader.onReopened = () => void holder.update(uses())
  }

  #createGateway(): Gateway {
    return new Gateway({
      guard: this.#guard,
      audit: this.#audit,
      metrics: this.#metrics,
      report: this.#log.report,
      monotonicMs: () => this.#world.monotonicMs(),
    })
  }

  #doors(): { readonly hosts: ReadonlySet<string>; readonly origins: ReadonlySet<string> } {
    const { listen, hosts, origins } = this.#options
    const names = [...LOOPBACK_HOSTS, listen.host, ...hosts]
    return { hosts: new Set(names.map((name) => name.toLowerCase())), origins: new Set(origins) }
  }

  #configure(): void {
    const file = readConfigFile(this.#options.config, this.#loader.vault())
    requireApproval(file)
    for (const dropped of this.#upstreams.configure(file.config)) void dropped.close(DROPPED_GRACE_MS)
  }

  /** What is wrong with the new configuration is said, and the old one goes on. */
  #reload(): void {
    this.#audit.reopen()
    try {
      this.#configure()
      this.#log.info('reloaded', { upstreams: this.#upstreams.names.join(' ') })
    } catch (error) {
      this.#log.report('the configuration was not reloaded: the one before stays in use', error)
    }
  }

  #endpointParts() {
    return {
      guard: this.#guard,
      loader: this.#loader,
      audit: this.#audit,
      metrics: this.#metrics,
      ages: () => this.#ages(),
      isRemote: !isLoopbackHost(this.#options.listen.host),
    }
  }

  #ages(): readonly CredentialAge[] {
    const { access } = this.#world
    const ages = findAges(this.#loader.vault(), this.#upstreams.credentials, access)
    return [...ages].map(([name, age]) => {
      const { ageSeconds, isDue } = dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: access.now() })
      return { name, ageSeconds, isDue }
    })
  }
}
