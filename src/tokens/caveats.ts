import { parseTimestamp } from '../timestamp.js'

/** The MCP features and gateway endpoints that a token can be limited to. */
export const METHODS = ['tools', 'resources', 'prompts', 'completion', 'metrics', 'introspect'] as const

/** One of {@link METHODS}. */
export type Method = (typeof METHODS)[number]

/** Stands for every tool; only `token create` writes it. */
export const ANY_TOOL = '*'

/** One restriction. No caveat grants anything: each only narrows, since whoever holds a token can append one. */
export type Caveat =
  | { readonly type: 'methods'; readonly methods: readonly Method[] }
  /** Exact names, `UPSTREAM/tool` or a bare builtin, or {@link ANY_TOOL}. */
  | { readonly type: 'tools'; readonly tools: readonly string[] }
  /** Expiry, in whole seconds given as milliseconds since the epoch. */
  | { readonly type: 'before'; readonly epochMs: number }

/** What several caveats leave over. */
export interface TokenScope {
  readonly methods: readonly Method[]
  /** Exact names, or {@link ANY_TOOL} alone. */
  readonly tools: readonly string[]
  /** Milliseconds since the epoch; undefined where no caveat sets an end. */
  readonly beforeMs: number | undefined
}

const LONGEST_TOOL_BYTES = 128
// Printable ASCII without white space, without the comma that separates names and without `*`, which is no pattern here.
const TOOL_NAME = /^[!-)+\--.0-~]+(?:\/[!-)+\--.0-~]+)*$/
const BEFORE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** Tells whether a text can be a tool's name: printable, at most 128 bytes, `UPSTREAM/tool` or bare. */
export function isToolName(text: string): boolean {
  return text.length <= LONGEST_TOOL_BYTES && TOOL_NAME.test(text)
}

/** Tells whether a text is one of {@link METHODS}. */
export function isMethod(text: unknown): text is Method {
  return METHODS.some((method) => method === text)
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
  }
}

/** Reads a caveat's JSON form; undefined when it is unknown or malformed. */
export function caveatFromJson(value: unknown): Caveat | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const [member, ...others] = Object.entries(value)
  if (member === undefined || others.length > 0) return undefined
  const [name, content] = member as [string, unknown]
  if (name === 'methods') return isListOf(content, isMethod) ? { type: 'methods', methods: content } : undefined
  if (name === 'tools') return isListOf(content, isToolEntry) ? { type: 'tools', tools: content } : undefined
  return name === 'before' ? readBefore(content) : undefined
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
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  const caveat = caveatFromJson(value)
  return caveat !== undefined && encodeCaveat(caveat).equals(bytes) ? caveat : undefined
}

/** Computes what caveats leave over together; their order does not matter. */
export function intersectCaveats(caveats: readonly Caveat[]): TokenScope {
  return caveats.reduce<TokenScope>(narrowScope, { methods: METHODS, tools: [ANY_TOOL], beforeMs: undefined })
}

function narrowScope(scope: TokenScope, caveat: Caveat): TokenScope {
  switch (caveat.type) {
    case 'methods':
      return { ...scope, methods: scope.methods.filter((method) => caveat.methods.includes(method)) }
    case 'tools':
      return { ...scope, tools: intersectTools(scope.tools, caveat.tools) }
    case 'before':
      return { ...scope, beforeMs: Math.min(scope.beforeMs ?? caveat.epochMs, caveat.epochMs) }
  }
}

function intersectTools(left: readonly string[], right: readonly string[]): readonly string[] {
  if (left.includes(ANY_TOOL)) return right.includes(ANY_TOOL) ? [ANY_TOOL] : [...new Set(right)]
  return right.includes(ANY_TOOL) ? left : left.filter((tool) => right.includes(tool))
}

function isToolEntry(value: unknown): value is string {
  return typeof value === 'string' && (value === ANY_TOOL || isToolName(value))
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length > 0 && value.every(isItem)
}

function readBefore(content: unknown): Caveat | undefined {
  if (typeof content !== 'string' || !BEFORE.test(content)) return undefined
  const time = parseTimestamp(content)
  return time && { type: 'before', epochMs: time.epochMs }
}
