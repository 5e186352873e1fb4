/** The built-in tool `web_search`, behind the same checks as every upstream's tools. */

import { VaultError } from '../errors.js'
import { DEFAULT_RESULTS, SEARCH_DEFINITION, SEARCH_TOOL } from '../search/definition.js'
import { CredentialRefused, checkSearch, parseBaseUrl, search } from '../search/search.js'
import { Secret } from '../secret.js'
import type { BuiltinUpstreamConfig } from './config.js'
import type { CredentialLoader, LeakListener, Lease } from './credentials.js'
import type { RetryListener } from './http-upstream.js'
import { createServer, SdkFront } from './sdk-front.js'
import type { CredentialUse, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.js'

const SERVER = { name: 'mcpvault-scavio', version: '1.0.0' }

/** What the built-in tool needs beside its configuration. */
export interface BuiltinUpstreamParts {
  readonly loader: CredentialLoader
  readonly onLeak: LeakListener
  readonly onRetry: RetryListener
  /** `SCAVIO_BASE_URL`, if it is set. */
  readonly baseUrl: string | undefined
  /** Told what went wrong in the protocol. */
  readonly report: (error: unknown) => void
}

/** Serves the Scavio web search as a tool. */
export class BuiltinUpstream implements Upstream {
  readonly name: string
  readonly place: string
  readonly #config: BuiltinUpstreamConfig
  readonly #parts: BuiltinUpstreamParts
  readonly #baseUrl: URL
  readonly #front: SdkFront

  /** @throws {VaultError} INPUT if the base address is none. */
  constructor(config: BuiltinUpstreamConfig, parts: BuiltinUpstreamParts) {
    this.name = config.name
    this.#config = config
    this.#parts = parts
    this.#baseUrl = parseBaseUrl(parts.baseUrl)
    this.place = this.#baseUrl.host
    this.#front = new SdkFront(parts.report)
  }

  get allTools(): readonly string[] {
    return [SEARCH_TOOL]
  }

  tokenTool(tool: string): string {
    return tool
  }

  credentials(): readonly CredentialUse[] {
    return this.#parts.loader.uses(this.#config.credentials)
  }

  /** Holds that the credential can be used. @throws {VaultError} as `lease` */
  rehearse(): void {
    this.#lease().release()
  }

  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer> {
    request.checkAgain()
    let failure: unknown
    const server = createServer(SERVER, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', () => ({ tools: [SEARCH_DEFINITION as unknown as Tool] }))
    server.setRequestHandler('tools/call', async ({ params }) => {
      try {
        return await this.#call(params, request)
      } catch (error) {
        failure = error
        throw error
      }
    })
    return this.#front.exchange(request, server, () => failure)
  }

  async close(): Promise<void> {
    await this.#front.close()
  }

  async #call(params: CallParams, request: UpstreamRequest): Promise<ToolResult> {
    if (params.name !== SEARCH_TOOL) return toolError(`Unknown tool: ${params.name}`)
    const asked = readArguments(params.arguments ?? {})
    if (typeof asked === 'string') return toolError(asked)
    const lease = this.#lease()
    try {
      return await this.#search(asked, lease, request)
    } catch (error) {
      const other =
        error instanceof VaultError && error.cause instanceof CredentialRefused && this.#otherLease(lease, request)
      if (!other) throw error
      return await this.#search(asked, other, request).finally(() => other.release())
    } finally {
      lease.release()
    }
  }

  #otherLease(lease: Lease, { frame }: UpstreamRequest): Lease | undefined {
    const { loader, onLeak, onRetry } = this.#parts
    return loader.leaseOther(this.#config.credentials, lease, { onLeak, onChosen: (uses) => onRetry(uses, frame?.id) })
  }

  #lease(): Lease {
    const { loader, onLeak } = this.#parts
    return loader.lease(this.#config.credentials, { onLeak })
  }

  async #search({ query, numResults }: SearchArguments, lease: Lease, request: UpstreamRequest): Promise<ToolResult> {
    const [name] = this.#config.credentials
    const credential = Secret.fromText(lease.value(name))
    try {
      checkSearch(query, { credential, numResults })
      request.checkAgain()
      let hasLeaked = false
      const onLeak = (): void => {
        hasLeaked = true
      }
      const { body } = await search(query, { credential, baseUrl: this.#baseUrl, numResults, onLeak })
      if (hasLeaked) this.#parts.onLeak({ name, version: lease.uses[0]?.version })
      return { content: [{ type: 'text', text: lease.redactMessage(body) }] }
    } finally {
      credential.wipe()
    }
  }
}

interface CallParams {
  readonly name: string
  readonly arguments?: Readonly<Record<string, unknown>> | undefined
}

interface SearchArguments {
  readonly query: string
  readonly numResults: number
}

/** A tool's definition and result, as the SDK's types spell them. */
type Tool = { name: string; inputSchema: { type: 'object' } }
type ToolResult = { content: { type: 'text'; text: string }[]; isError?: boolean }

function toolError(text: string): ToolResult {
  return { content: [{ type: 'text', text }], isError: true }
}

/** Reads the arguments; gives what is wrong with them as a sentence. */
function readArguments(given: Readonly<Record<string, unknown>>): SearchArguments | string {
  const { query, num_results: numResults = DEFAULT_RESULTS, ...others } = given
  if (typeof query !== 'string' || query.trim() === '') return 'Invalid arguments: query must be text that is not empty'
  const { minimum, maximum } = SEARCH_DEFINITION.inputSchema.properties.num_results
  const isCount = typeof numResults === 'number' && Number.isInteger(numResults)
  if (!isCount || numResults < minimum || numResults > maximum) {
    return `Invalid arguments: num_results must be a whole number from ${minimum} to ${maximum}`
  }
  if (Object.keys(others).length > 0) return 'Invalid arguments: there are no others than query and num_results'
  return { query, numResults }
}
