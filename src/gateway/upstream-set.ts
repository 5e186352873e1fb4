import type { AuditLog } from './audit.js'
import { BuiltinUpstream } from './builtin-upstream.js'
import type { ChildLog, ChildWorld } from './child-link.js'
import type { GatewayConfig, UpstreamConfig } from './config.js'
import type { CredentialLoader, LeakListener } from './credentials.js'
import { HttpUpstream, type RetryListener } from './http-upstream.js'
import { StdioRelay } from './stdio-relay.js'
import { StdioUpstream } from './stdio-upstream.js'
import type { CredentialUse, Upstream } from './upstream.js'

/** What upstreams are made with. */
export interface UpstreamParts {
  readonly loader: CredentialLoader
  readonly audit: AuditLog
  /** Gives who is told when an upstream gives a credential back. */
  readonly onLeak: (upstream: string) => LeakListener
  readonly log: ChildLog
  /** Told what went wrong, without anything of a message. */
  readonly report: (what: string, error: unknown) => void
  /** Told when children hold other versions than before. */
  readonly onHolding: () => void
  /** Whether programs are relayed to one client, which then has them for itself. */
  readonly isForOneClient: boolean
  readonly world: ChildWorld
}

interface Member {
  readonly upstream: Upstream
  /** The configuration as text, to see whether it has changed. */
  readonly text: string
  readonly credentials: readonly string[]
}

/** The upstreams of the configuration. A new configuration keeps what it does not change. */
export class UpstreamSet {
  readonly #parts: UpstreamParts
  #members: ReadonlyMap<string, Member> = new Map()

  constructor(parts: UpstreamParts) {
    this.#parts = parts
  }

  get names(): readonly string[] {
    return [...this.#members.keys()]
  }

  /** The credentials of all upstreams, each once. */
  get credentials(): readonly string[] {
    return [...new Set([...this.#members.values()].flatMap(({ credentials }) => credentials))]
  }

  /** The versions that children hold. */
  get holding(): readonly CredentialUse[] {
    return [...this.#members.values()].flatMap(({ upstream }) => upstream.holding ?? [])
  }

  find(name: string): Upstream | undefined {
    return this.#members.get(name)?.upstream
  }

  /**
   * Takes a configuration in and gives the upstreams that are no longer in it, to be closed when they have ended what
   * they have.
   *
   * @throws {VaultError} if one cannot be made: then nothing has changed.
   */
  configure({ upstreams }: GatewayConfig): readonly Upstream[] {
    const members = new Map<string, Member>()
    for (const config of upstreams) {
      const text = JSON.stringify(config)
      const known = this.#members.get(config.name)
      const { credentials } = config
      members.set(config.name, known?.text === text ? known : { upstream: this.#create(config), text, credentials })
    }
    const dropped = [...this.#members.values()].filter(
      ({ upstream }) => members.get(upstream.name)?.upstream !== upstream,
    )
    const begun = [...this.#members.values()].map(({ upstream }) => upstream)
    this.#members = members
    for (const { upstream } of members.values()) if (!begun.includes(upstream)) upstream.begin?.()
    return dropped.map(({ upstream }) => upstream)
  }

  /** Ends the streams of the servers' own messages. */
  endStreams(): void {
    for (const { upstream } of this.#members.values()) upstream.endStreams?.()
  }

  /** Ends all, at the latest after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ upstream }) => upstream.close(graceMs)))
  }

  #create(config: UpstreamConfig): Upstream {
    const { loader, audit, report, world } = this.#parts
    const parts = { ...this.#parts, onLeak: this.#parts.onLeak(config.name) }
    const { onLeak } = parts
    const onRetry: RetryListener = (credentials, request) =>
      audit.retry({ upstream: config.name, credentials, request })
    switch (config.type) {
      case 'http':
        return rehearsed(new HttpUpstream(config, { loader, onLeak, onRetry }))
      case 'stdio':
        return parts.isForOneClient ? new StdioRelay(config, parts) : rehearsed(new StdioUpstream(config, parts))
      case 'builtin': {
        const failed = (error: unknown): void => report(`"${config.name}" could not be served`, error)
        const baseUrl = world.env.SCAVIO_BASE_URL
        return rehearsed(new BuiltinUpstream(config, { loader, onLeak, onRetry, baseUrl, report: failed }))
      }
    }
  }
}

/** A credential that cannot be used is found before anything starts, and not at a call. */
function rehearsed<T extends Upstream & { rehearse(): void }>(upstream: T): T {
  upstream.rehearse()
  return upstream
}
