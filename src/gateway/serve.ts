/** `mcpvault serve` as a process: reads the configuration, opens the vault, listens, and ends in order. */

import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { readFileChecked, type StorageHost } from '../storage/read-file.js'
import { followLinks } from '../storage/resolve-target.js'
import type { VaultAccess } from '../vault/vault.js'
import { AuditLog } from './audit.js'
import { type GatewayConfig, parseConfig, type UpstreamConfig } from './config.js'
import { CredentialLoader } from './credentials.js'
import { type Front, startFront } from './http-front.js'
import { Gateway } from './gateway.js'
import { isLoopbackHost, LOOPBACK_HOSTS } from './guards.js'
import { HttpUpstream } from './http-upstream.js'
import { createLog, type GatewayLog } from './log.js'
import { Metrics } from './metrics.js'
import { TokenGuard } from './token-guard.js'
import type { CredentialUse, Upstream } from './upstream.js'

const MAX_CONFIG_BYTES = 1024 * 1024
const DRAIN_MS = 10_000

/** What `serve` needs of the world. */
export interface ServeWorld {
  readonly access: VaultAccess
  readonly host: StorageHost
  /** Writes one line of the log, with its newline. */
  writeLog(line: string): void
  /** Calls `listener` at each of the process's signals of this name; gives a function that ends that. */
  onSignal(name: ServeSignal, listener: () => void): () => void
  monotonicMs(): number
}

/** The signals that `serve` listens to: reload, end, end. */
export type ServeSignal = 'SIGHUP' | 'SIGTERM' | 'SIGINT'

/** How `serve` was called. */
export interface ServeOptions {
  /** The configuration's path. */
  readonly configPath: string
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
    const ends = (['SIGTERM', 'SIGINT'] as const).map((name) => world.onSignal(name, finish))
    function finish(): void {
      for (const end of ends) end()
      resolve()
    }
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
  const { access } = world
  const log = createLog(world)
  const loader = new CredentialLoader(access)
  const config = readConfig(options.configPath, world, loader)
  const metrics = new Metrics()
  const audit = new AuditLog({
    path: join(dirname(followLinks(access.store.locate('vault'))), 'mcp_audit.jsonl'),
    now: () => access.now(),
    randomBytes: (length) => access.randomBytes(length),
  })
  const onLeak = (upstream: string) => (use: CredentialUse) => {
    metrics.countLeak(use.name)
    audit.leak(upstream, use)
    log.warn(`"${upstream}" gave the credential "${use.name}" back`)
  }
  const upstreams = openUpstreams(config, (upstream) =>
    createUpstream(upstream, { loader, onLeak: onLeak(upstream.name) }),
  )
  const guard = new TokenGuard(loader, () => world.monotonicMs())
  const gateway = new Gateway({ guard, audit, metrics, report: log.report, monotonicMs: () => world.monotonicMs() })
  const front = await startFront(gateway, {
    ...options.listen,
    tls: options.tls,
    doors: {
      hosts: new Set([...LOOPBACK_HOSTS, options.listen.host, ...options.hosts].map((name) => name.toLowerCase())),
      origins: new Set(options.origins),
    },
    findUpstream: (name) => upstreams.get(name),
    endpoints: async ({ path }) => (path === '/healthz' ? { status: 200, headers: {}, body: 'ok\n' } : undefined),
  })
  log.info(`serving ${[...upstreams.keys()].map((name) => `/mcp/${name}`).join(', ')}`, { port: front.port })
  return { port: front.port, close: (graceMs) => closeAll({ front, upstreams, guard, log }, graceMs) }
}

interface Parts {
  readonly front: Front
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly guard: TokenGuard
  readonly log: GatewayLog
}

async function closeAll({ front, upstreams, guard, log }: Parts, graceMs: number): Promise<void> {
  log.info('draining')
  await front.close(graceMs)
  await Promise.all([...upstreams.values()].map((upstream) => upstream.close(graceMs)))
  guard.close()
  log.info('stopped')
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

function readConfig(path: string, { host }: ServeWorld, loader: CredentialLoader): GatewayConfig {
  const what = 'gateway configuration'
  const snapshot = readFileChecked(path, { what, host, maxBytes: MAX_CONFIG_BYTES })
  if (snapshot === undefined) {
    throw new VaultError('NOT_FOUND', `no gateway configuration at "${path}"`, {
      hints: ['its form: docs/gateway.md', 'another place: mcpvault serve --config FILE'],
    })
  }
  const names = new Set(loader.vault().names())
  return parseConfig(snapshot.bytes.toString('utf8'), path, (name) => names.has(name))
}

function openUpstreams(
  { upstreams }: GatewayConfig,
  open: (config: UpstreamConfig) => Upstream,
): ReadonlyMap<string, Upstream> {
  return new Map(upstreams.map((config) => [config.name, open(config)]))
}

function createUpstream(
  config: UpstreamConfig,
  parts: { readonly loader: CredentialLoader; readonly onLeak: (use: CredentialUse) => void },
): Upstream {
  if (config.type === 'http') return new HttpUpstream(config, parts)
  throw new VaultError('INPUT', `cannot serve "${config.name}": only servers at a URL can be served yet`)
}
