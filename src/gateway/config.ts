/**
 * `mcpvault.json`: the `mcpServers` that clients know, with references to credentials in the place of values.
 *
 * Everything that is wrong is found before anything starts. No message repeats a value: people put secrets there.
 */

import { z } from 'zod'
import { parseDuration } from '../duration.js'
import { VaultError } from '../errors.js'
import { namesPrivateHost } from './addresses.js'
import { credentialsOf, parseTemplate, type Template } from './template.js'

/** A server at a URL. */
export interface HttpUpstreamConfig {
  readonly type: 'http'
  readonly name: string
  readonly url: URL
  /** In lower case. */
  readonly headers: readonly (readonly [name: string, value: Template])[]
  readonly credentials: readonly string[]
  /** Whether its host may be on this machine or in a private network: the configuration says so. */
  readonly allowsPrivate: boolean
  readonly headersTimeoutMs: number
  readonly totalTimeoutMs: number
}

/** A program that speaks MCP over stdio. */
export interface StdioUpstreamConfig {
  readonly type: 'stdio'
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: readonly (readonly [name: string, value: Template])[]
  readonly credentials: readonly string[]
  /** How long one request may take, in milliseconds. */
  readonly totalTimeoutMs: number
}

/** Tools of mcpvault's own. */
export interface BuiltinUpstreamConfig {
  readonly type: 'builtin'
  readonly name: string
  readonly builtin: 'scavio'
  readonly credentials: readonly [string]
}

/** One server of the configuration. */
export type UpstreamConfig = HttpUpstreamConfig | StdioUpstreamConfig | BuiltinUpstreamConfig

/** A configuration that holds together. */
export interface GatewayConfig {
  readonly upstreams: readonly UpstreamConfig[]
}

const HEADERS_TIMEOUT_MS = 15_000
const TOTAL_TIMEOUT_MS = 60_000
const UPSTREAM_NAME = /^[a-z0-9-]+$/
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What a request is made of, or what the protocol says by itself. */
const OWN_HEADERS =
  /^(?:host|connection|keep-alive|transfer-encoding|content-.*|te|upgrade|expect|accept|mcp-.*|last-event-id)$/

/** How many names lead to the deepest member that the schema takes. */
const DEEPEST = 4

const templates = z.record(z.string(), z.string())
const timeout = z.string().optional()
const SHAPES = {
  url: z.strictObject({
    url: z.string(),
    type: z.enum(['http', 'streamable-http']).optional(),
    headers: templates.optional(),
    timeout,
  }),
  command: z.strictObject({
    command: z.string().min(1),
    type: z.literal('stdio').optional(),
    args: z.array(z.string()).optional(),
    env: templates.optional(),
    timeout,
  }),
  builtin: z.strictObject({ builtin: z.literal('scavio'), credential: z.string().min(1) }),
} as const

const TOP = z.strictObject({
  $schema: z.string().optional(),
  mcpServers: z.record(z.string(), z.record(z.string(), z.unknown())),
  privateHosts: z.array(z.string()).optional(),
})

/**
 * Reads a configuration.
 *
 * @param hasCredential whether the vault has a credential of that name.
 * @throws {VaultError} INPUT naming what is wrong, NOT_FOUND if a credential is missing.
 */
export function parseConfig(text: string, path: string, hasCredential: (name: string) => boolean): GatewayConfig {
  const reader = new ConfigReader(path)
  const config = reader.read(text)
  for (const { name, credentials } of config.upstreams) {
    const missing = credentials.find((credential) => !hasCredential(credential))
    if (missing === undefined) continue
    throw new VaultError('NOT_FOUND', `cannot use "${path}": mcpServers.${name} needs the credential "${missing}"`, {
      hints: [`mcpvault store ${missing}`],
    })
  }
  return config
}

class ConfigReader {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  read(text: string): GatewayConfig {
    const value = this.#parseJson(text)
    this.#refuseLost(value, [])
    const { mcpServers, privateHosts = [] } = this.#parse(TOP, value, '')
    const upstreams = Object.entries(mcpServers).map(([name, server]) => {
      if (!UPSTREAM_NAME.test(name)) {
        throw this.#failure(`mcpServers.${name}`, 'a name has lower-case letters, digits and hyphens')
      }
      return this.#readServer(name, server, new Set(privateHosts))
    })
    if (upstreams.length === 0) throw this.#failure('mcpServers', 'there is no server')
    return { upstreams }
  }

  /** The schema passes this one name over without a word: whoever wrote it would believe that it is used. */
  #refuseLost(value: unknown, path: readonly string[]): void {
    if (typeof value !== 'object' || value === null || path.length > DEEPEST) return
    if (Object.hasOwn(value, '__proto__')) throw this.#failure(path.join('.'), 'there is no member "__proto__"')
    for (const [name, member] of Object.entries(value)) this.#refuseLost(member, [...path, name])
  }

  #readServer(name: string, server: object, privateHosts: ReadonlySet<string>): UpstreamConfig {
    const at = `mcpServers.${name}`
    const kinds = (Object.keys(SHAPES) as (keyof typeof SHAPES)[]).filter((kind) => Object.hasOwn(server, kind))
    if (kinds.length !== 1) throw this.#failure(at, 'exactly one of url, command and builtin must be there')
    switch (kinds[0]) {
      case 'url':
        return this.#readHttp(name, this.#parse(SHAPES.url, server, at), privateHosts)
      case 'command':
        return this.#readStdio(name, this.#parse(SHAPES.command, server, at))
      default: {
        const { builtin, credential } = this.#parse(SHAPES.builtin, server, at)
        return { type: 'builtin', name, builtin, credentials: [credential] }
      }
    }
  }

  #readHttp(name: string, given: z.infer<typeof SHAPES.url>, privateHosts: ReadonlySet<string>): HttpUpstreamConfig {
    const at = `mcpServers.${name}`
    const url = this.#readUrl(given.url, `${at}.url`)
    const isNamed = namesPrivateHost(url.hostname) || privateHosts.has(url.hostname)
    if (url.protocol === 'http:' && !isNamed) {
      throw this.#failure(`${at}.url`, 'it is not https, and a credential would be readable on the way', [
        `a host of your own network may be listed: "privateHosts": ["${url.hostname}"]`,
      ])
    }
    const headers = this.#readTemplates(given.headers, `${at}.headers`).map(([header, value]) => {
      const lower = header.toLowerCase()
      if (!HEADER_NAME.test(header) || OWN_HEADERS.test(lower)) {
        throw this.#failure(`${at}.headers.${header}`, 'this header cannot be set')
      }
      return [lower, value] as const
    })
    const totalTimeoutMs = this.#readTimeout(given.timeout, `${at}.timeout`)
    const headersTimeoutMs = given.timeout === undefined ? HEADERS_TIMEOUT_MS : totalTimeoutMs
    const credentials = credentialsOf(headers.map(([, value]) => value))
    return { type: 'http', name, url, headers, credentials, allowsPrivate: isNamed, headersTimeoutMs, totalTimeoutMs }
  }

  #readStdio(name: string, given: z.infer<typeof SHAPES.command>): StdioUpstreamConfig {
    const at = `mcpServers.${name}`
    for (const [index, argument] of (given.args ?? []).entries()) {
      if (argument.includes('${')) {
        throw this.#failure(`${at}.args[${index}]`, 'other users can read arguments: references belong into env')
      }
    }
    const env = this.#readTemplates(given.env, `${at}.env`)
    const odd = env.find(([variable]) => variable === '' || /[=\0]/.test(variable))
    if (odd !== undefined) throw this.#failure(`${at}.env`, 'a variable has an impossible name')
    return {
      type: 'stdio',
      name,
      command: given.command,
      args: given.args ?? [],
      env,
      credentials: credentialsOf(env.map(([, value]) => value)),
      totalTimeoutMs: this.#readTimeout(given.timeout, `${at}.timeout`),
    }
  }

  #readUrl(text: string, at: string): URL {
    if (text.includes('${')) throw this.#failure(at, 'addresses end up in logs: references belong into headers')
    // URL would bend white space and backslashes into shape.
    const url = /^https?:\/\/[^\s\\]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined) throw this.#failure(at, 'it is no http or https address')
    if (url.username !== '' || url.password !== '') {
      throw this.#failure(at, 'it has a user name or password', ['keep it in the vault and name it in headers'])
    }
    if (text.includes('#')) throw this.#failure(at, 'it has a fragment')
    return url
  }

  #readTemplates(given: Readonly<Record<string, string>> = {}, at: string): readonly (readonly [string, Template])[] {
    return Object.entries(given).map(([name, text]) => {
      try {
        return [name, parseTemplate(text)] as const
      } catch (error) {
        throw this.#failure(`${at}.${name}`, error instanceof VaultError ? error.message : 'it cannot be read')
      }
    })
  }

  #readTimeout(text: string | undefined, at: string): number {
    if (text === undefined) return TOTAL_TIMEOUT_MS
    try {
      return parseDuration(text) * 1000
    } catch {
      throw this.#failure(at, 'expected a time such as 90s or 5m')
    }
  }

  #parse<T>(shape: z.ZodType<T>, value: unknown, at: string): T {
    const parsed = shape.safeParse(value)
    if (parsed.success) return parsed.data
    const [issue] = parsed.error.issues
    const where = [at, ...(issue?.path ?? [])].filter((part) => part !== '').join('.')
    if (issue?.code === 'unrecognized_keys') {
      throw this.#failure(where, `there is no member ${issue.keys.map((key) => `"${key}"`).join(', ')}`)
    }
    throw this.#failure(where, describeIssue(issue))
  }

  #parseJson(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch {
      throw this.#failure('', 'it is not JSON')
    }
  }

  #failure(at: string, reason: string, hints: readonly string[] = []): VaultError {
    const place = at === '' ? '' : `${at}: `
    return new VaultError('INPUT', `cannot use "${this.#path}": ${place}${reason}`, {
      hints: [...hints, 'the configuration reference: docs/gateway.md'],
    })
  }
}

function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  switch (issue?.code) {
    case 'invalid_type':
      return `expected ${issue.expected === 'record' ? 'object' : issue.expected}`
    case 'invalid_value':
      return `expected ${issue.values.map((value) => `"${String(value)}"`).join(' or ')}`
    case 'too_small':
      return 'it is empty'
    default:
      return 'it is malformed'
  }
}
