import { isUtf8 } from 'node:buffer'
import { decodeBase64url } from '../crypto/encoding.js'
import { parseTimestamp } from '../timestamp.js'
import { type ArgumentRule, isArgumentRule, MAX_RULES } from './argument-rules.js'
import { isToolDigest, MAX_DIGESTS, type ToolDigest } from './digest.js'
import { formatRate, parseRate, type Rate } from './rate.js'
import { ANY_TOOL, intersectTools, isToolEntry } from './tool-name.js'

/** The MCP features and gateway endpoints that a token can be limited to. */
export const METHODS = ['tools', 'resources', 'prompts', 'completion', 'metrics', 'introspect'] as const

/** One of {@link METHODS}. */
export type Method = (typeof METHODS)[number]

/** One restriction. No caveat grants anything: each only narrows, since whoever holds a token can append one. */
export type Caveat =
  | { readonly type: 'methods'; readonly methods: readonly Method[] }
  /** Exact names, `UPSTREAM/tool` or a bare builtin; `UPSTREAM/*`; or {@link ANY_TOOL}. */
  | { readonly type: 'tools'; readonly tools: readonly string[] }
  /** Expiry, in whole seconds given as milliseconds since the epoch. */
  | { readonly type: 'before'; readonly epochMs: number }
  /** Every rule about the tool that is called must be kept. */
  | { readonly type: 'args'; readonly rules: readonly ArgumentRule[] }
  /** How many calls may be accepted; 8 random bytes in base64url tell two such caveats apart. */
  | { readonly type: 'calls'; readonly limit: number; readonly nonce: string }
  /** How many calls are accepted in a span of time, by each process that accepts calls for long. */
  | { readonly type: 'rate'; readonly rate: Rate }
  /** Each of these tools may be called only while its definition has this digest. */
  | { readonly type: 'digest'; readonly digests: readonly ToolDigest[] }

/** What several caveats leave over. */
export interface TokenScope {
  readonly methods: readonly Method[]
  /** Exact names and `UPSTREAM/*`, or {@link ANY_TOOL} alone. */
  readonly tools: readonly string[]
  /** Milliseconds since the epoch; undefined where no caveat sets an end. */
  readonly beforeMs: number | undefined
  /** All must be kept. */
  readonly rules: readonly ArgumentRule[]
  /** The smallest budget of calls that was set; undefined where none was. How much of it is left is not said here. */
  readonly mostCalls: number | undefined
  /** All hold at once. */
  readonly rates: readonly Rate[]
  /** All hold at once. */
  readonly digests: readonly ToolDigest[]
}

/** The largest budget of calls. */
export const MAX_CALLS = 1_000_000_000

/** Length of the random part of a budget, in bytes. */
export const CALLS_NONCE_BYTES = 8

const EVERYTHING: TokenScope = {
  methods: METHODS,
  tools: [ANY_TOOL],
  beforeMs: undefined,
  rules: [],
  mostCalls: undefined,
  rates: [],
  digests: [],
}
const BEFORE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** Tells whether a text is one of {@link METHODS}. */
export function isMethod(text: unknown): text is Method {
  return METHODS.some((method) => method === text)
}

/** Tells whether a number can be a budget of calls: whole, 1 to 10^9. */
export function isCallLimit(limit: number): boolean {
  return Number.isInteger(limit) && limit >= 1 && limit <= MAX_CALLS
}

/** Prints an expiry as a caveat holds it: RFC 3339 in UTC with seconds and `Z`. A part of a second is dropped. */
export function formatBefore(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`
}

/** Gives a caveat's JSON form, an object with exactly one member. */
export function caveatToJson(caveat: Caveat): object {
  switch (caveat.type) {
    case 'methods':
      return { methods: caveat.methods }
    case 'tools':
      return { tools: caveat.tools }
    case 'before':
      return { before: formatBefore(caveat.epochMs) }
    case 'args':
      return { args: caveat.rules }
    case 'calls':
      return { calls: [caveat.limit, caveat.nonce] }
    case 'rate':
      return { rate: formatRate(caveat.rate) }
    case 'digest':
      return { digest: Object.fromEntries(caveat.digests) }
  }
}

/** Reads a caveat's JSON form; undefined when it is unknown or malformed. */
export function caveatFromJson(value: unknown): Caveat | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const [member, ...others] = Object.entries(value)
  if (member === undefined || others.length > 0) return undefined
  const [name, content] = member as [string, unknown]
  switch (name) {
    case 'methods':
      return isListOf(content, isMethod) ? { type: 'methods', methods: content } : undefined
    case 'tools':
      return isListOf(content, isToolEntry) ? { type: 'tools', tools: content } : undefined
    case 'before':
      return readBefore(content)
    case 'args':
      return readRules(content)
    case 'calls':
      return readCalls(content)
    case 'rate':
      return readRate(content)
    case 'digest':
      return readDigests(content)
    default:
      return undefined
  }
}

/** Prints a caveat in the one form that {@link parseCaveat} accepts. */
export function encodeCaveat(caveat: Caveat): Buffer {
  return Buffer.from(JSON.stringify(caveatToJson(caveat)), 'utf8')
}

/**
 * Reads a caveat; undefined when it is unknown or malformed, and then the token must be refused.
 *
 * Only the form that `JSON.stringify` gives is accepted, so that nothing hides in a duplicate name or an odd spelling.
 */
export function parseCaveat(bytes: Buffer): Caveat | undefined {
  if (!isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const caveat = caveatFromJson(value)
  return caveat !== undefined && JSON.stringify(caveatToJson(caveat)) === text ? caveat : undefined
}

/** Computes what caveats leave over together; their order does not matter. */
export function intersectCaveats(caveats: readonly Caveat[]): TokenScope {
  return caveats.reduce<TokenScope>(narrowScope, EVERYTHING)
}

function narrowScope(scope: TokenScope, caveat: Caveat): TokenScope {
  switch (caveat.type) {
    case 'methods':
      return { ...scope, methods: scope.methods.filter((method) => caveat.methods.includes(method)) }
    case 'tools':
      return { ...scope, tools: intersectTools(scope.tools, caveat.tools) }
    case 'before':
      return { ...scope, beforeMs: Math.min(scope.beforeMs ?? caveat.epochMs, caveat.epochMs) }
    case 'args':
      return { ...scope, rules: [...scope.rules, ...caveat.rules] }
    case 'calls':
      return { ...scope, mostCalls: Math.min(scope.mostCalls ?? caveat.limit, caveat.limit) }
    case 'rate':
      return { ...scope, rates: [...scope.rates, caveat.rate] }
    case 'digest':
      return { ...scope, digests: [...scope.digests, ...caveat.digests] }
  }
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length > 0 && value.every(isItem)
}

function readBefore(content: unknown): Caveat | undefined {
  if (typeof content !== 'string' || !BEFORE.test(content)) return undefined
  const time = parseTimestamp(content)
  return time && { type: 'before', epochMs: time.epochMs }
}

function readRules(content: unknown): Caveat | undefined {
  const isSound = isListOf(content, isArgumentRule) && content.length <= MAX_RULES
  return isSound ? { type: 'args', rules: content } : undefined
}

function readCalls(content: unknown): Caveat | undefined {
  if (!Array.isArray(content) || content.length !== 2) return undefined
  const [limit, nonce] = content as readonly unknown[]
  if (typeof limit !== 'number' || !isCallLimit(limit)) return undefined
  return typeof nonce === 'string' && decodeBase64url(nonce)?.length === CALLS_NONCE_BYTES
    ? { type: 'calls', limit, nonce }
    : undefined
}

function readRate(content: unknown): Caveat | undefined {
  const rate = typeof content === 'string' ? parseRate(content) : undefined
  return rate && { type: 'rate', rate }
}

function readDigests(content: unknown): Caveat | undefined {
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return undefined
  const digests = Object.entries(content)
  return isListOf(digests, isToolDigest) && digests.length <= MAX_DIGESTS ? { type: 'digest', digests } : undefined
}
