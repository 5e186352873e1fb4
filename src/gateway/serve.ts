/** `mcpvault serve` as a process: reads the configuration, opens the vault, listens, reloads, and ends in order. */

import { VaultError } from '../errors.js'
import { findAges } from '../rotation/ages.js'
import { DEFAULT_MAX_AGE_SECONDS, dueState } from '../rotation/due.js'
import type { ConfigPlace } from './config-file.js'
import { GatewayCore, type ServeWorld } from './core.js'
import { answerEndpoint } from './endpoints.js'
import { MergedUpstream } from './merged-upstream.js'
import { isLoopbackHost, LOOPBACK_HOSTS } from './guards.js'
import { type Front, startFront } from './http-front.js'
import type { CredentialAge } from './metrics.js'

/** How long requests may go on after a signal to end. */
const DRAIN_MS = 10_000

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

// One file of the build: the SDK is in it once.
export { readDigests } from './read-digests.js'
export { runRemote } from './connect-remote.js'
export { runStdio } from './serve-stdio.js'

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
  readonly #core: GatewayCore
  readonly #merged: MergedUpstream
  #front: Front | undefined

  constructor(options: ServeOptions, world: ServeWorld) {
    this.#options = options
    this.#world = world
    this.#core = new GatewayCore({ config: options.config, command: 'serve' }, world)
    this.#merged = new MergedUpstream(this.#core.upstreams, this.#core.log.report)
  }

  get port(): number {
    return this.#front?.port ?? 0
  }

  async start(): Promise<void> {
    const { gateway, upstreams, log } = this.#core
    const { listen, tls } = this.#options
    await this.#core.start()
    try {
      this.#front = await startFront(gateway, {
        ...listen,
        tls,
        doors: this.#doors(),
        findUpstream: (name) => (name === undefined ? this.#merged : upstreams.find(name)),
        endpoints: (request) => answerEndpoint(request, this.#endpointParts()),
      })
    } catch (error) {
      await this.#core.close(0)
      throw error
    }
    log.info('serving', { url: this.#url(), host: listen.host, port: this.port, upstreams: upstreams.names.join(' ') })
  }

  async close(graceMs: number): Promise<void> {
    const { log } = this.#core
    log.info('draining')
    this.#core.upstreams.endStreams()
    await this.#front?.close(graceMs)
    await this.#merged.close()
    await this.#core.close(graceMs)
    log.info('stopped')
  }

  /** Where clients reach it, as far as that is known here. */
  #url(): string {
    const { listen, hosts, tls } = this.#options
    const [named] = hosts
    const host = named !== undefined && !isLoopbackHost(listen.host) ? named : listen.host
    const bare = host.replace(/^\[|\]$/g, '')
    return `${tls === undefined ? 'http' : 'https'}://${bare.includes(':') ? `[${bare}]` : bare}:${this.port}/mcp`
  }

  #doors(): { readonly hosts: ReadonlySet<string>; readonly origins: ReadonlySet<string> } {
    const { listen, hosts, origins } = this.#options
    const names = [...LOOPBACK_HOSTS, listen.host, ...hosts]
    return { hosts: new Set(names.map((name) => name.toLowerCase())), origins: new Set(origins) }
  }

  #endpointParts() {
    return {
      guard: this.#core.guard,
      loader: this.#core.loader,
      audit: this.#core.audit,
      metrics: this.#core.metrics,
      report: this.#core.log.report,
      ages: () => this.#ages(),
      isRemote: !isLoopbackHost(this.#options.listen.host),
    }
  }

  #ages(): readonly CredentialAge[] {
    const { access } = this.#world
    const ages = findAges(this.#core.loader.vault(), this.#core.upstreams.credentials, access)
    return [...ages].map(([name, age]) => {
      const { ageSeconds, isDue } = dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: access.now() })
      return { name, ageSeconds, isDue }
    })
  }
}
