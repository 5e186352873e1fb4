/**
 * Digests of tool definitions: what the caveat `digest` holds. A server that changes what a tool says about itself, after
 * a person has looked at it, voids the tokens that were pinned to it.
 *
 * @module
 */

import { sha256 } from '../crypto/kdf.js'
import { isToolName } from './tool-name.js'

/** A tool's name and `sha256:` with 64 hex digits. */
export type ToolDigest = readonly [tool: string, digest: string]

/** What a client is told about a tool, as far as a digest covers it. */
export interface ToolDefinition {
  /** As its server calls it, without the upstream's name. */
  readonly name: string
  readonly description?: unknown
  readonly inputSchema?: unknown
}

/** How many tools one caveat may pin. */
export const MAX_DIGESTS = 64

const DIGEST = /^sha256:[0-9a-f]{64}$/
const MAX_DEPTH = 64

/** Tells whether a pair is a tool's name and a digest. */
export function isToolDigest(value: unknown): value is ToolDigest {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [tool, digest] = value as readonly unknown[]
  return typeof tool === 'string' && isToolName(tool) && typeof digest === 'string' && DIGEST.test(digest)
}

/**
 * Computes the digest of a tool's definition: SHA-256 of name, description and input schema as one object in the canonical
 * form of RFC 8785. A member that is missing is left out.
 *
 * @returns undefined where there is no canonical form: a lone surrogate, nested deeper than 64. Such a tool is never the
 * one that was pinned.
 */
export function digestTool({ name, description, inputSchema }: ToolDefinition): string | undefined {
  const text = canonicalJson({ name, description, inputSchema })
  return text === undefined ? undefined : `sha256:${sha256(Buffer.from(text, 'utf8')).toString('hex')}`
}

/**
 * Prints a JSON value in its canonical form (RFC 8785): members sorted by UTF-16 code units, no white space, numbers and
 * strings as ECMAScript prints them.
 *
 * @returns undefined where there is none.
 */
export function canonicalJson(value: unknown, depth = 0): string | undefined {
  if (depth > MAX_DEPTH) return undefined
  if (typeof value === 'string') return value.isWellFormed() ? JSON.stringify(value) : undefined
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : undefined
  if (typeof value === 'boolean' || value === null) return JSON.stringify(value)
  if (typeof value !== 'object') return undefined
  const items = Array.isArray(value) ? value.map((item) => canonicalJson(item, depth + 1)) : members(value, depth)
  if (items.includes(undefined)) return undefined
  return Array.isArray(value) ? `[${items.join(',')}]` : `{${items.join(',')}}`
}

function members(value: object, depth: number): readonly (string | undefined)[] {
  // The sort of ECMAScript without a comparison is that of RFC 8785: by UTF-16 code units.
  return Object.entries(value)
    .filter(([, content]) => content !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, content]) => {
      const text = canonicalJson(content, depth + 1)
      return text === undefined || !name.isWellFormed() ? undefined : `${JSON.stringify(name)}:${text}`
    })
}
