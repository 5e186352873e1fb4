/**
 * Scoped access tokens: `mcpv_` and a macaroon in base64url.
 *
 * A token never contains or reveals a credential, and nothing secret is kept per token: its root key is derived from the
 * vault's tokens key and its identifier, 16 random bytes. Whoever holds a token can append caveats that narrow it,
 * without mcpvault's key. `verify.ts` judges tokens, `change.ts` makes and revokes them, `records.ts` knows which exist.
 *
 * @module
 */

import { decodeBase64url } from '../crypto/encoding.js'
import { hkdfSha256 } from '../crypto/kdf.js'
import {
  addCaveat,
  decodeMacaroon,
  encodeMacaroon,
  type Macaroon,
  MAX_CAVEATS,
  MAX_MACAROON_BYTES,
} from '../crypto/macaroon.js'
import { VaultError } from '../errors.js'
import { type ArgumentRule, MAX_RULES } from './argument-rules.js'
import {
  type Caveat,
  encodeCaveat,
  intersectCaveats,
  isCallLimit,
  MAX_CALLS,
  type Method,
  parseCaveat,
  type TokenScope,
} from './caveats.js'
import { MAX_DIGESTS, type ToolDigest } from './digest.js'
import type { Rate } from './rate.js'
import { ANY_TOOL, coversTool, isAllOfServer, isToolName } from './tool-name.js'

/** What every token starts with, so that secret scanners know it. */
export const TOKEN_PREFIX = 'mcpv_'

/** Length of a token's identifier, in bytes. */
export const TOKEN_ID_BYTES = 16

const LONGEST_TEXT = 8192
/** The last instant that a `Date` can hold. */
const LAST_DATE_MS = 8.64e15
const ROOT_KEY_INFO = 'mcpvault/token/1'

/** How a token is narrowed; at least one member must be there. */
export interface Narrowing {
  readonly methods?: readonly Method[] | undefined
  readonly tools?: readonly string[] | undefined
  /** Milliseconds since the epoch; a part of a second is dropped. */
  readonly beforeEpochMs?: number | undefined
  readonly rules?: readonly ArgumentRule[] | undefined
  readonly calls?: CallBudget | undefined
  readonly rate?: Rate | undefined
}

/** A budget of calls that is to be set. */
export interface CallBudget {
  readonly limit: number
  /** 8 random bytes, so that two such budgets are never taken for one. */
  readonly nonce: Buffer
}

/** What can be said of a token without a key; whether it is genuine is not known. */
export interface TokenDescription {
  /** 32 hex digits. */
  readonly id: string
  /** In the order in which they were added; undefined stands for one that this version does not know. */
  readonly caveats: readonly (Caveat | undefined)[]
  /** What the known caveats leave over. */
  readonly scope: TokenScope
  /** Whether a caveat is unknown here: such a token is always refused. */
  readonly hasUnknown: boolean
}

/** Derives the key that a token is signed with. */
export function deriveRootKey(tokensKey: Buffer, identifier: Buffer): Buffer {
  return hkdfSha256(tokensKey, identifier, ROOT_KEY_INFO, 32)
}

/** Prints a token. @throws {VaultError} INPUT if it would be over 8 KiB or 16 caveats */
export function encodeToken(macaroon: Macaroon): string {
  const bytes = encodeMacaroon(macaroon)
  if (macaroon.caveats.length > MAX_CAVEATS) {
    throw new VaultError('INPUT', `cannot make the token: it would have over ${MAX_CAVEATS} caveats`)
  }
  if (bytes.length > MAX_MACAROON_BYTES) {
    throw new VaultError('INPUT', 'cannot make the token: it would be over 8 KiB', { hints: ['name fewer tools'] })
  }
  return TOKEN_PREFIX + bytes.toString('base64url')
}

/** Reads a token's text; undefined for everything that {@link encodeToken} does not write. Nothing is verified. */
export function decodeToken(text: unknown): Macaroon | undefined {
  if (typeof text !== 'string' || text.length > LONGEST_TEXT || !text.startsWith(TOKEN_PREFIX)) return undefined
  const bytes = decodeBase64url(text.slice(TOKEN_PREFIX.length))
  const macaroon = bytes && decodeMacaroon(bytes)
  return macaroon?.identifier.length === TOKEN_ID_BYTES ? macaroon : undefined
}

/**
 * Makes a weaker token from a token, without any key.
 *
 * @throws {VaultError} INPUT if it is no token, nothing is narrowed, a tool's name cannot be one or is `*`, nothing would
 * be left over, a rule is about a tool that it may not call, or the result would be over 8 KiB or 16 caveats.
 */
export function narrowToken(text: string, narrowing: Narrowing): string {
  const macaroon = decodeKnown(text, 'narrow')
  const caveats = narrowingCaveats(narrowing)
  if (caveats.length === 0) {
    throw new VaultError('INPUT', 'cannot narrow the token: no restriction was given', {
      hints: ['mcpvault token narrow --tools web_search', 'mcpvault token narrow --ttl 10m'],
    })
  }
  const { scope } = describe(macaroon)
  const left = intersectCaveats([...scopeCaveats(scope), ...caveats])
  if (left.tools.length === 0 || left.methods.length === 0) {
    const what = left.tools.length === 0 ? 'tools' : 'methods'
    throw new VaultError('INPUT', `cannot narrow the token: it allows none of those ${what}`, {
      hints: ['mcpvault token show'],
    })
  }
  checkRuleTools(narrowing.rules ?? [], left.tools, 'narrow the')
  return encodeToken(caveats.map(encodeCaveat).reduce(addCaveat, macaroon))
}

/** Decodes a token for people. @throws {VaultError} INPUT if it is no token */
export function describeToken(text: string): TokenDescription {
  return describe(decodeKnown(text, 'show'))
}

/**
 * Builds the caveat that limits a token to tools, each name once.
 *
 * @throws {VaultError} INPUT if there is none, a name cannot be a tool's, or {@link ANY_TOOL} is not alone.
 */
export function toolsCaveat(tools: readonly string[]): Caveat {
  const names = [...new Set(tools)]
  if (names.length === 0) throw new VaultError('INPUT', 'cannot limit a token to no tool at all')
  if (names.length === 1 && names[0] === ANY_TOOL) return { type: 'tools', tools: names }
  const odd = names.find((name) => !isToolName(name) && !isAllOfServer(name))
  if (odd === undefined) return { type: 'tools', tools: names }
  throw new VaultError('INPUT', `cannot limit a token to "${odd}": that is no tool's name`, {
    hints: ['names are exact, such as web_search or github/get_issue; github/* is all of that server'],
  })
}

/** Holds that rules are about tools that a token may call. @throws {VaultError} INPUT */
export function checkRuleTools(rules: readonly ArgumentRule[], tools: readonly string[], action: string): void {
  const odd = rules.find(([tool]) => !coversTool(tools, tool))
  if (odd === undefined) return
  throw new VaultError('INPUT', `cannot ${action} token: a rule is about "${odd[0]}", which it may not call`, {
    hints: [`it may call ${tools.join(', ')}`],
  })
}

function narrowingCaveats({ methods, tools, beforeEpochMs, rules, calls, rate }: Narrowing): Caveat[] {
  const caveats: Caveat[] = []
  if (methods !== undefined) caveats.push(methodsCaveat(methods))
  if (tools !== undefined) {
    if (tools.includes(ANY_TOOL)) {
      throw new VaultError('INPUT', 'cannot narrow a token to "*": name the tools', {
        hints: ['mcpvault token narrow --tools web_search'],
      })
    }
    caveats.push(toolsCaveat(tools))
  }
  if (beforeEpochMs !== undefined) caveats.push(beforeCaveat(beforeEpochMs))
  if (rules !== undefined && rules.length > 0) caveats.push(rulesCaveat(rules))
  if (calls !== undefined) caveats.push(callsCaveat(calls))
  if (rate !== undefined) caveats.push({ type: 'rate', rate })
  return caveats
}

/** Builds the caveat that limits a token to methods, each once. @throws {VaultError} INPUT if there is none */
export function methodsCaveat(methods: readonly Method[]): Caveat {
  if (methods.length === 0) throw new VaultError('INPUT', 'cannot limit a token to no method at all')
  return { type: 'methods', methods: [...new Set(methods)] }
}

/** Builds the caveat that ends a token. @throws {VaultError} INPUT if the year is beyond 9999 */
export function beforeCaveat(epochMs: number): Caveat {
  const failure = 'cannot end a token at that time'
  if (!(Math.abs(epochMs) <= LAST_DATE_MS)) throw new VaultError('INPUT', failure)
  return writable({ type: 'before', epochMs: Math.floor(epochMs / 1000) * 1000 }, failure)
}

/** Builds the caveat that limits arguments. @throws {VaultError} INPUT if there are over 32 rules or one cannot be kept */
export function rulesCaveat(rules: readonly ArgumentRule[]): Caveat {
  if (rules.length > MAX_RULES) {
    throw new VaultError('INPUT', `cannot limit arguments by over ${MAX_RULES} rules at once`)
  }
  return writable({ type: 'args', rules }, 'cannot limit arguments by such a rule')
}

/** Builds the caveat that limits how many calls are accepted. @throws {VaultError} INPUT if that is not 1 to 10^9 */
export function callsCaveat({ limit, nonce }: CallBudget): Caveat {
  if (!isCallLimit(limit)) throw new VaultError('INPUT', `cannot limit a token to other than 1 to ${MAX_CALLS} calls`)
  return writable({ type: 'calls', limit, nonce: nonce.toString('base64url') }, 'cannot limit the calls of a token')
}

/** Builds the caveat that pins tools to their definitions. @throws {VaultError} INPUT if that are over 64 */
export function digestCaveat(digests: readonly ToolDigest[]): Caveat {
  if (digests.length > MAX_DIGESTS) throw new VaultError('INPUT', `cannot pin a token to over ${MAX_DIGESTS} tools`)
  return writable({ type: 'digest', digests }, 'cannot pin a token to such tools')
}

/** What a verifier would not read back must not be written: the token would be refused for ever. */
function writable(caveat: Caveat, failure: string): Caveat {
  if (parseCaveat(encodeCaveat(caveat)) === undefined) throw new VaultError('INPUT', failure)
  return caveat
}

function decodeKnown(text: string, action: string): Macaroon {
  const macaroon = decodeToken(text)
  if (macaroon) return macaroon
  throw new VaultError('INPUT', `cannot ${action} the token: that is no mcpvault token`, {
    hints: [`tokens start with ${TOKEN_PREFIX}; mcpvault token create makes one`],
  })
}

function describe({ identifier, caveats }: Macaroon): TokenDescription {
  const parsed = caveats.map(parseCaveat)
  const known = parsed.filter((caveat) => caveat !== undefined)
  return {
    id: identifier.toString('hex'),
    caveats: parsed,
    scope: intersectCaveats(known),
    hasUnknown: known.length < parsed.length,
  }
}

function scopeCaveats({ methods, tools }: TokenScope): Caveat[] {
  return [
    { type: 'methods', methods },
    { type: 'tools', tools },
  ]
}
