/** One child process that answers MCP, with the values that it was started with. */

import { Client, SdkError, SdkErrorCode, type StandardSchemaV1 } from '@modelcontextprotocol/client'
import type { Server, ServerContext } from '@modelcontextprotocol/server'
import { VaultError } from '../errors.js'
import { ChildLink, type ChildParts } from './child-link.js'
import type { Child } from './child-process.js'
import type { StdioUpstreamConfig } from './config.js'
import { ProgressRelay } from './progress.js'
import { RPC_CODES, RpcError } from './rpc.js'
import { createServer } from './sdk-front.js'
import type { CredentialUse } from './upstream.js'

const CLIENT = { name: 'mcpvault', version: '1.0.0' }
/** How long a child may take to say what it is: programs that are fetched first take their time. */
const START_MS = 60_000
/** How long a child is asked for the protocol without sessions, before it is taken to know the older one only. */
const PROBE_MS = 10_000
const PING_MS = 5_000

/** The cause of an error that says that a child has ended before it said what it is. */
export class EndedEarly extends Error {}

/** How one child is started. */
export interface StartOptions {
  /** Whether it is known to speak only the older protocol. */
  readonly isLegacy: boolean
  /** Ends the start: nobody needs the child any more. */
  readonly signal: AbortSignal
  /** Told when it has ended by itself. */
  readonly onEnd: (how: string) => void
  /** Told when one of its lists has changed. */
  readonly onListChanged: (list: ChangedList) => void
  /** Told when a resource that is watched has changed. */
  readonly onUpdated: (uri: string) => void
}

/** A list that a server has said to have changed. */
export type ChangedList = 'tools' | 'prompts' | 'resources'

/** A child that has answered `initialize` or `server/discover`. */
export class ChildServer {
  readonly uses: readonly CredentialUse[]
  readonly pid: number
  readonly #name: string
  readonly #client: Client
  readonly #child: Child
  readonly #timeoutMs: number
  #inFlight = 0
  #onIdle: (() => void) | undefined

  /**
   * Starts a child and waits until it has said what it is.
   *
   * @throws {VaultError} UPSTREAM if it cannot be started or does not answer, NOT_FOUND, DAMAGED, INPUT… if a
   * credential cannot be loaded or put into an environment.
   */
  static async start(config: StdioUpstreamConfig, parts: ChildParts, options: StartOptions): Promise<ChildServer> {
    const link = new ChildLink(config, parts)
    const mode = options.isLegacy ? 'legacy' : 'auto'
    const client = new Client(CLIENT, {
      capabilities: {},
      versionNegotiation: { mode, probe: { timeoutMs: PROBE_MS } },
    })
    const timer = setTimeout(() => link.child?.kill(`it did not answer within ${START_MS / 1000} s`), START_MS)
    const stop = (): void => link.child?.kill('it was not needed any more')
    options.signal.addEventListener('abort', stop, { once: true })
    try {
      await client.connect(link, { timeout: START_MS })
      if (link.child === undefined || link.child.hasEnded) throw new Error('ended')
      return new ChildServer(config, client, { child: link.child, options, link })
    } catch (error) {
      link.child?.kill('it did not speak MCP')
      link.release()
      if (error instanceof VaultError) throw error
      const how = link.failure ?? link.how
      if (how instanceof VaultError) throw how
      const cause = link.hasEndedItself ? new EndedEarly() : undefined
      throw new VaultError('UPSTREAM', `cannot call "${config.name}": ${how ?? 'it does not speak MCP'}`, { cause })
    } finally {
      options.signal.removeEventListener('abort', stop)
      clearTimeout(timer)
    }
  }

  private constructor(config: StdioUpstreamConfig, client: Client, { child, options, link }: Connected) {
    this.#name = config.name
    this.#client = client
    this.#child = child
    this.#timeoutMs = config.totalTimeoutMs
    this.uses = link.uses
    this.pid = child.pid
    link.onEnd = options.onEnd
    const lists = ['tools', 'prompts', 'resources'] as const
    for (const list of lists) {
      client.setNotificationHandler(`notifications/${list}/list_changed`, () => options.onListChanged(list))
    }
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => options.onUpdated(params.uri))
    // In the newer protocol a server says nothing that it was not asked for; one that refuses has nothing to say.
    if (!this.isLegacy) client.listen(this.#changingLists(lists)).catch(() => {})
  }

  get isAlive(): boolean {
    return !this.#child.hasEnded
  }

  get isLegacy(): boolean {
    return this.#client.getProtocolEra() === 'legacy'
  }

  #changingLists(lists: readonly ChangedList[]): Readonly<Record<string, boolean>> {
    const capabilities = this.#client.getServerCapabilities() ?? {}
    const changing = lists.filter((list) => capabilities[list]?.listChanged === true)
    return Object.fromEntries(changing.map((list) => [`${list}ListChanged`, true]))
  }

  /** Whether it tells when a resource has changed. */
  get canWatch(): boolean {
    return this.#client.getServerCapabilities()?.resources?.subscribe === true
  }

  /** Asks to be told when a resource has changed; gives what ends that. @throws what the child answers */
  async watch(uri: string): Promise<() => void> {
    if (!this.isLegacy) {
      const { close } = await this.#client.listen({ resourceSubscriptions: [uri] }, { timeout: this.#timeoutMs })
      return () => void close().catch(() => {})
    }
    const ask = (verb: string): Promise<unknown> => this.ask({ method: `resources/${verb}`, params: { uri } }, {})
    await ask('subscribe')
    return () => void ask('unsubscribe').catch(() => {})
  }

  /**
   * Makes a server that says of itself what the child says, and asks the child. What needs a connection of its own to
   * each client (logging, subscriptions of the older protocol) is not offered.
   *
   * @param isModern whether it is for a request of the protocol without sessions.
   */
  createServer(
    ask: (message: AskedMessage, context: ServerContext) => Promise<Record<string, unknown>>,
    isModern: boolean,
  ): Server {
    const info = this.#client.getServerVersion() ?? { name: this.#name, version: '0' }
    const { tools, prompts, resources, completions } = this.#client.getServerCapabilities() ?? {}
    const instructions = this.#client.getInstructions()
    const capabilities = {
      ...(tools && { tools: { listChanged: tools.listChanged ?? false } }),
      ...(prompts && { prompts: { listChanged: prompts.listChanged ?? false } }),
      ...(resources && {
        resources: {
          listChanged: resources.listChanged ?? false,
          ...(isModern && this.canWatch && { subscribe: true }),
        },
      }),
      ...(completions && { completions }),
    }
    const server = createServer(info, { capabilities, ...(instructions !== undefined && { instructions }) })
    server.fallbackRequestHandler = (message, context) => ask(message, context)
    return server
  }

  /**
   * Asks the child.
   *
   * @throws {VaultError} UPSTREAM if it ends or does not answer in time; the child's own error as it is.
   */
  async ask({ method, params }: AskedMessage, asker: Asker): Promise<Record<string, unknown>> {
    this.#inFlight += 1
    const { signal } = asker
    const progress = new ProgressRelay(asker)
    try {
      const request = params === undefined ? { method } : { method, params }
      const options = {
        ...(signal && { signal }),
        timeout: this.#timeoutMs,
        resetTimeoutOnProgress: true,
        ...progress.options,
      }
      const result = await this.#client.request(request, ANYTHING, {
        ...options,
        // What it needs to know first is asked of the client, which is not we.
        allowInputRequired: true,
        maxTotalTimeout: 10 * this.#timeoutMs,
      })
      await progress.sent
      return result
    } catch (error) {
      throw this.#explain(error)
    } finally {
      this.#inFlight -= 1
      if (this.#inFlight === 0) this.#onIdle?.()
    }
  }

  /** Lets the child finish what it has, at the longest for `graceMs`, and ends it. */
  async retire(graceMs: number): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs)
        this.#onIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    // What was answered a moment ago is still on its way to the client.
    await new Promise((resolve) => setImmediate(resolve))
    await this.#child.end()
    await this.#client.close()
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof SdkError)) return error
    if (error.code === SdkErrorCode.RequestTimeout) {
      void this.#checkPulse()
      return new VaultError('UPSTREAM', `cannot call "${this.#name}": it did not answer in time`)
    }
    if (error.code === SdkErrorCode.ConnectionClosed) {
      return new VaultError('UPSTREAM', `cannot call "${this.#name}": its process has ended`)
    }
    return new RpcError(RPC_CODES.upstream, `cannot call "${this.#name}": its answer cannot be read`)
  }

  /** A child that leaves a call unanswered may be busy with it; one that answers nothing at all hangs. */
  async #checkPulse(): Promise<void> {
    try {
      // In the newer protocol there is no ping; any answer, be it an error, shows that it lives.
      const method = this.isLegacy ? 'ping' : 'server/discover'
      await this.#client.request({ method }, ANYTHING, { timeout: Math.min(PING_MS, this.#timeoutMs) })
    } catch (error) {
      if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) this.#child.kill('it did not answer')
    }
  }
}

interface Connected {
  readonly child: Child
  readonly options: StartOptions
  readonly link: ChildLink
}

/** Who asks: what ends the request, and where its progress is told. */
type Asker = Partial<Pick<ServerContext['mcpReq'], 'signal' | '_meta' | 'notify'>>

/** A request on its way to a child. */
export interface AskedMessage {
  readonly method: string
  readonly params?: Record<string, unknown> | undefined
}

/** Takes any result: what a child answers is its client's to judge. */
export const ANYTHING: StandardSchemaV1<unknown, Record<string, unknown>> = {
  '~standard': { version: 1, vendor: 'mcpvault', validate: (value) => ({ value: value as Record<string, unknown> }) },
}
