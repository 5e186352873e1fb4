import { VaultError } from '../errors.js'
import type { GatewayConfig, UpstreamConfig } from './config.js'
import type { CredentialLoader, LeakListener } from './credentials.js'
import { HttpUpstream } from './http-upstream.js'
import type { Upstream } from './upstream.js'

/** What upstreams are made with. */
export interface UpstreamParts {
  readonly loader: CredentialLoader
  /** Gives who is told when an upstream gives a credential back. */
  readonly onLeak: (upstream: string) => LeakListener
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
    this.#members = members
    return dropped.map(({ upstream }) => upstream)
  }

  /** Ends all, at the latest after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ upstream }) => upstream.close(graceMs)))
  }

  #create(config: UpstreamConfig): Upstream {
    const { loader, onLeak } = this.#parts
    switch (config.type) {
      case 'http':
        return rehearsed(new HttpUpstream(config, { loader, onLeak: onLeak(config.name) }))
      default:
        throw new VaultError('INPUT', `cannot serve "${config.name}": this version serves servers at a URL only`)
    }
  }
}

/** A credential that cannot be used is found before anything starts, and not at a call. */
function rehearsed(upstream: HttpUpstream): HttpUpstream {
  upstream.rehearse()
  return upstream
}
