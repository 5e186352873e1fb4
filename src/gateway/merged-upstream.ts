/**
 * All upstreams as one, at `/mcp`: a tool is called `NAME__tool` there, and is for tokens what it is at `/mcp/NAME`. Each
 * upstream is spoken to in the protocol that it knows.
 */

import {
  Client,
  type FetchLike,
  type RequestOptions,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import type { ServerContext } from '@modelcontextprotocol/server'
import { VaultError } from '../errors.js'
import type { ToolDefinition } from '../tokens/digest.js'
import { isModern } from './decide.js'
import { parseFrame } from './frame.js'
import { ProgressRelay } from './progress.js'
import { RPC_CODES, RpcError } from './rpc.js'
import { createServer, SdkFront } from './sdk-front.js'
import { formatEvent } from './sse.js'
import { ANYTHING } from './child-server.js'
import { pickForwarded } from './guards.js'
import type { CredentialUse, EventsBody, Upstream, UpstreamAnswer, UpstreamRequest, UpstreamTool } from './upstream.js'

const SEPARATOR = '__'
const CLIENT = { name: 'mcpvault', version: '1.0.0' }
const TIMEOUT_MS = 120_000
const MOST_PAGES = 50

/** The upstreams as they are now. */
export interface Members {
  readonly names: readonly string[]
  find(name: string): Upstream | undefined
}

type Params = Readonly<Record<string, unknown>>

type Result = Record<string, unknown>
type Asker = Pick<ServerContext['mcpReq'], 'signal' | '_meta' | 'notify'>

interface Connected {
  readonly client: Client
  /** Whether it speaks the older protocol. */
  readonly isLegacy: boolean
}

/** Serves the tools of all upstreams. */
export class MergedUpstream implements Upstream {
  readonly name = 'mcp'
  readonly #members: Members
  readonly #front: SdkFront
  readonly #clients = new Map<Upstream, Promise<Connected>>()
  readonly #report: (what: string, error: unknown) => void

  constructor(members: Members, report: (what: string, error: unknown) => void) {
    this.#members = members
    this.#report = report
    this.#front = new SdkFront((error) => report('the merged servers could not be served', error))
  }

  get allTools(): readonly string[] {
    return this.#all().flatMap(({ allTools }) => allTools)
  }

  get place(): string {
    return this.#all()
      .map(({ place }) => place)
      .join(' ')
  }

  tokenTool(tool: string): string {
    const part = this.behind(tool)
    // No token can name what no upstream has.
    return part === undefined ? `${SEPARATOR}/${tool}` : part.upstream.tokenTool(part.tool)
  }

  /** An upstream's name has no underscore, so the first two end it. */
  behind(merged: string): UpstreamTool | undefined {
    const at = merged.indexOf(SEPARATOR)
    const upstream = at < 0 ? undefined : this.#members.find(merged.slice(0, at))
    return upstream && { upstream, tool: merged.slice(at + SEPARATOR.length) }
  }

  async definition(merged: string): Promise<ToolDefinition | undefined> {
    const part = this.behind(merged)
    if (part === undefined) return undefined
    const { upstream, tool } = part
    const found = (await this.#listOne(upstream)).find(({ name }) => name === tool)
    return found && { ...found, name: tool }
  }

  credentials(tool?: string): readonly CredentialUse[] {
    const part = tool === undefined ? undefined : this.behind(tool)
    return part === undefined ? this.#all().flatMap((one) => one.credentials()) : part.upstream.credentials()
  }

  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer> {
    request.checkAgain()
    let failure: unknown
    const server = createServer({ name: 'mcpvault', version: '1.0.0' }, { capabilities: { tools: {} } })
    server.fallbackRequestHandler = async ({ method, params }, { mcpReq }) => {
      try {
        if (method === 'tools/list') return { tools: await this.#list() }
        if (method === 'tools/call') return await this.#call(params ?? {}, request, mcpReq)
        throw new RpcError(RPC_CODES.unknownMethod, 'Method not found: there are tools alone here')
      } catch (error) {
        if (error instanceof VaultError) failure = error
        throw error
      }
    }
    return this.#front.exchange(request, server, () => failure)
  }

  async close(): Promise<void> {
    await this.#front.close()
    const clients = [...this.#clients.values()]
    this.#clients.clear()
    await Promise.all(clients.map((client) => client.then((one) => one.client.close()).catch(() => {})))
  }

  #all(): readonly Upstream[] {
    return this.#members.names.flatMap((name) => this.#members.find(name) ?? [])
  }

  /** The tools of all; an upstream that cannot be asked is left out, and reported. */
  async #list(): Promise<readonly Params[]> {
    const lists = this.#all().map((upstream) =>
      this.#listOne(upstream)
        .then((tools) => tools.map((tool) => ({ ...tool, name: `${upstream.name}${SEPARATOR}${String(tool.name)}` })))
        .catch((error: unknown) => {
          this.#report(`the tools of "${upstream.name}" cannot be listed`, error)
          return []
        }),
    )
    return (await Promise.all(lists)).flat()
  }

  async #listOne(upstream: Upstream): Promise<readonly Params[]> {
    const tools: Params[] = []
    let cursor: unknown
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const params = cursor === undefined ? {} : { cursor }
      const result = await this.#ask(upstream, 'tools/list', { params })
      if (Array.isArray(result.tools)) tools.push(...(result.tools as Params[]))
      cursor = result.nextCursor
      if (typeof cursor !== 'string') break
    }
    return tools
  }

  async #call(params: Params, request: UpstreamRequest, asker: Asker): Promise<Result> {
    const part = this.behind(String(params.name))
    if (part === undefined) throw new RpcError(RPC_CODES.invalidParams, 'Unknown tool')
    const { upstream, tool } = part
    request.checkAgain()
    const isOfModern = isModern(request.frame?.params)
    const { isLegacy } = await this.#client(upstream)
    // The SDK has taken out who the client is, what it can do and what it has answered.
    const whole = isOfModern && !isLegacy ? { ...request.frame?.params } : params
    const progress = new ProgressRelay(asker)
    const options = { signal: asker.signal, ...progress.options }
    const result = await this.#ask(upstream, 'tools/call', { params: { ...whole, name: tool }, options })
    await progress.sent
    if (isOfModern || result.resultType !== 'input_required') return result
    throw new RpcError(RPC_CODES.upstream, `"${upstream.name}" asks the client what its protocol cannot carry`)
  }

  async #ask(
    upstream: Upstream,
    method: string,
    { params, options = {} }: { readonly params: Params; readonly options?: RequestOptions },
  ): Promise<Result> {
    const { client } = await this.#client(upstream)
    try {
      const own = { timeout: TIMEOUT_MS, resetTimeoutOnProgress: true, allowInputRequired: true }
      return await client.request({ method, params: { ...params } }, ANYTHING, { ...own, ...options })
    } catch (error) {
      if (error instanceof Error && 'code' in error && Number.isSafeInteger(error.code)) throw error
      // A session may have ended: the next request begins another.
      this.#clients.delete(upstream)
      throw new VaultError('UPSTREAM', `cannot call "${upstream.name}": it did not answer as it should`)
    }
  }

  #client(upstream: Upstream): Promise<Connected> {
    const known = this.#clients.get(upstream)
    if (known !== undefined) return known
    const fresh = connect(upstream)
    this.#clients.set(upstream, fresh)
    fresh.catch(() => this.#clients.delete(upstream))
    return fresh
  }
}

/** Lists the tools of one upstream. @throws {VaultError} UPSTREAM if it cannot be asked */
export async function listTools(upstream: Upstream): Promise<readonly Params[]> {
  const { client } = await connect(upstream)
  try {
    return (await client.listTools()).tools
  } catch {
    throw new VaultError('UPSTREAM', `cannot call "${upstream.name}": its tools cannot be listed`)
  } finally {
    await client.close()
  }
}

async function connect(upstream: Upstream): Promise<Connected> {
  const client = new Client(CLIENT, { capabilities: {}, versionNegotiation: { mode: 'auto' } })
  const address = new URL(`http://${upstream.name}.invalid/mcp`)
  await client.connect(new StreamableHTTPClientTransport(address, { fetch: fetchFrom(upstream) }))
  return { client, isLegacy: client.getProtocolEra() === 'legacy' }
}

/** What the SDK's client would send over HTTP goes to the upstream itself. */
function fetchFrom(upstream: Upstream): FetchLike {
  return async (_, init = {}) => {
    const verb = init.method ?? 'GET'
    if (verb !== 'POST' && verb !== 'DELETE') return new Response(null, { status: 405 })
    const frame = verb === 'POST' ? parseFrame(Buffer.from(String(init.body))) : undefined
    const headers = pickForwarded(Object.fromEntries(new Headers(init.headers)))
    const signal = init.signal ?? new AbortController().signal
    const answer = await upstream.exchange({ verb, frame, headers, signal, checkAgain: () => {} })
    const { status, body } = answer
    if (body.type === 'none') return new Response(null, { status, headers: answer.headers })
    if (body.type === 'events') {
      const own = { ...answer.headers, 'content-type': 'text/event-stream' }
      return new Response(ReadableStream.from(print(body.events)), { status, headers: own })
    }
    const type = body.type === 'message' ? 'application/json' : body.contentType
    return new Response(body.text, { status, headers: { ...answer.headers, 'content-type': type } })
  }
}

async function* print(events: EventsBody['events']): AsyncGenerator<Uint8Array> {
  for await (const event of events) yield Buffer.from(formatEvent(event))
}
