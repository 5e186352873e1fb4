/** What the gateway tests share: a vault, an upstream on loopback that tells what it got, and a gateway between. */

import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { approveConfig, type ConfigPlace, readConfigFile } from '../../src/gateway/config-file.js'
import type { ServeSignal, ServeWorld } from '../../src/gateway/core.js'
import { type RunningGateway, type ServeOptions, startGateway } from '../../src/gateway/serve.js'
import { createToken, revokeTokens, type TokenAccess, type TokenOptions } from '../../src/tokens/change.js'
import { openVault } from '../../src/vault/open.js'
import { VaultWorld } from '../vault/vault-support.js'

/** One request that an upstream got. */
export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** An upstream that keeps what it got. */
export interface TestUpstream {
  readonly url: string
  readonly received: Received[]
}

/** How an upstream answers. */
export type Answerer = (received: Received, response: ServerResponse, request: IncomingMessage) => unknown

/** Starts an upstream on loopback; ended with the test. */
export async function startUpstream(answer: Answerer): Promise<TestUpstream> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const one = { method, path: url, headers, body: Buffer.concat(chunks).toString('utf8') }
      received.push(one)
      void answer(one, response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}

/** Answers a JSON-RPC request with a result. */
export function sendResult(received: Received, response: ServerResponse, result: unknown): void {
  const { id } = JSON.parse(received.body) as { id: unknown }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }))
}

/** The credential that test gateways put in. */
export const NOTES_KEY = 'sk_live_notes/key+1 of "the" tests'

interface PostOptions {
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly path?: string
  readonly signal?: AbortSignal
}

/** A gateway over a vault with one credential, `notes_key`. */
export class GatewayWorld {
  readonly vault: VaultWorld
  readonly log: string[] = []
  /** What the gateway finds in its environment, beside PATH. */
  env: Record<string, string> = {}
  #gateway: RunningGateway | undefined
  readonly #listeners = new Map<string, Set<() => void>>()

  private constructor(vault: VaultWorld) {
    this.vault = vault
  }

  static async create(): Promise<GatewayWorld> {
    const vault = await VaultWorld.create()
    const world = new GatewayWorld(vault)
    await vault.put('notes_key', NOTES_KEY)
    return world
  }

  /** A gateway in front of one upstream, named `notes`. */
  static async inFrontOf(url: string, server: object = {}): Promise<GatewayWorld> {
    const world = await GatewayWorld.create()
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
    const headers = { Authorization: 'Bearer ${vault:notes_key}' }
    await world.start({ mcpServers: { notes: { url: `${url}/mcp`, headers, ...server } } })
    return world
  }

  get auditPath(): string {
    return join(this.vault.directory, 'mcp_audit.jsonl')
  }

  /** The audit log's records. */
  audit(): readonly Readonly<Record<string, unknown>>[] {
    const lines = readFileSync(this.auditPath, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  get configPath(): string {
    return join(this.vault.directory, 'mcpvault.json')
  }

  get configPlace(): ConfigPlace {
    const host = { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 }
    return { path: this.configPath, host, stateDirectory: this.vault.stateDirectory }
  }

  /** Writes a configuration and approves it. */
  async configure(config: object): Promise<void> {
    writeFileSync(this.configPath, JSON.stringify(config, null, 2), { mode: 0o600 })
    const access = this.vault.access()
    await approveConfig(readConfigFile(this.configPlace, openVault(access)), this.configPlace, access)
  }

  /** Does to the gateway what a signal does. */
  signal(name: ServeSignal): void {
    for (const listener of this.#listeners.get(name) ?? []) listener()
  }

  /** What a gateway needs of the world, with this one's vault, log and signals. */
  serveWorld(): ServeWorld {
    return {
      access: this.vault.access(),
      writeLog: (line) => void this.log.push(line),
      onSignal: (name, listener) => {
        const listeners = this.#listeners.get(name) ?? new Set()
        this.#listeners.set(name, listeners.add(listener))
        return () => void listeners.delete(listener)
      },
      monotonicMs: () => performance.now(),
      env: { PATH: process.env.PATH, ...this.env },
      guardGroup: testGroup,
    }
  }

  async start(config: object, options: Partial<ServeOptions> = {}): Promise<void> {
    await this.configure(config)
    this.#gateway = await startGateway(
      {
        config: this.configPlace,
        listen: { host: '127.0.0.1', port: 0 },
        allowRemote: false,
        hosts: [],
        origins: [],
        ...options,
      },
      this.serveWorld(),
    )
    onTestFinished(() => this.#gateway?.close(0))
  }

  /** Ends the gateway in order. */
  async stop(): Promise<void> {
    await this.#gateway?.close(5000)
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#gateway?.port}`
  }

  tokenAccess(): TokenAccess {
    const access = this.vault.access()
    const { store, now, warn } = access
    return { store, keys: openVault(access), acceptRestore: false, now, randomBytes, warn }
  }

  async token(options: Partial<TokenOptions> = {}): Promise<string> {
    return (await createToken(this.tokenAccess(), { tools: ['notes/a'], ...options })).token
  }

  async revokeAll(): Promise<void> {
    await revokeTokens(this.tokenAccess(), { all: true })
  }

  /** Posts to an upstream; text is sent as it is. */
  async post(message: unknown, options: PostOptions = {}) {
    return fetch(`${this.origin}${options.path ?? '/mcp/notes'}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...options.headers,
      },
      ...(options.signal !== undefined && { signal: options.signal }),
      body: typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message),
    })
  }
}

/** A process group that a test has started. */
function testGroup(start: () => number | undefined): { kill(): void; release(): void } {
  const pid = start()
  const kill = (): void => {
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  return { kill, release: () => {} }
}

/** A JSON-RPC request. */
export function rpc(method: string, params?: object, id: string | number = 1): object {
  return { jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) }
}

/** A call of a tool. */
export function call(name: string, args?: object, id: string | number = 1): object {
  return rpc('tools/call', { name, ...(args === undefined ? {} : { arguments: args }) }, id)
}
