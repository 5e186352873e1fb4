import type { Secret } from '../secret.js'
import { type Arguments, keepsRule } from './argument-rules.js'
import type { Caveat, Method, TokenScope } from './caveats.js'
import { authenticate, type Counter, type GenuineToken } from './genuine.js'
import type { RateLimit } from './rate.js'
import type { TokenRecord } from './record-line.js'
import type { SignatureCache } from './signature-cache.js'
import { decodeToken } from './token.js'
import { coversTool } from './tool-name.js'

/** What a token is asked to allow. */
export type TokenRequest =
  | {
      readonly method: 'tools'
      readonly tool: string
      /** The arguments of the call; without them a token that limits the tool's arguments is refused. */
      readonly args?: Arguments | undefined
      /** The digest of the tool's definition (`digestTool`); without it a token that pins the tool is refused. */
      readonly digest?: string | undefined
    }
  | {
      readonly method: Exclude<Method, 'tools'>
      readonly tool?: undefined
      readonly args?: undefined
      readonly digest?: undefined
    }

/** Why a token was refused: for the key's owner and the audit log, never for whoever sent it. */
export type Refusal =
  | 'malformed'
  | 'damaged-records'
  | 'unknown-id'
  | 'bad-signature'
  | 'unknown-caveat'
  | 'revoked'
  | 'not-yet'
  | 'expired'
  | 'method'
  | 'tool'
  | 'args'
  | 'calls'
  | 'counters'
  | 'rate'
  | 'digest'

/** A token that allows a request, and what a call has to be spent from before it is made. */
export interface Allowance {
  readonly allowed: true
  /** The token's id, 32 hex digits. */
  readonly id: string
  /** Budgets, for `BudgetKeeper`. */
  readonly counters: readonly Counter[]
  /** Rates, for `RateKeeper`, to be taken from before the budgets. */
  readonly rates: readonly RateLimit[]
}

/**
 * A token that does not. The caveat is the one that does not allow the request, with no other rule than the one that
 * is not kept; text stands for one that is unknown. Only what carries a signature that fits is repeated here.
 */
export interface Denial {
  readonly allowed: false
  readonly reason: Refusal
  readonly caveat?: Caveat | string | undefined
}

/** Whether a token allows a request. */
export type Verdict = Allowance | Denial

/** What is known about tokens; `TokenRecords` is one. */
export interface TokenLookup {
  /** Whether the records could be read and verified; nothing is allowed otherwise. */
  readonly isIntact: boolean
  /** Undefined while there are no records at all. */
  readonly tokensKey: Secret | undefined
  find(id: string): TokenRecord | undefined
}

/** What a token is judged by, beside the request. */
export interface Circumstances {
  readonly records: TokenLookup
  /** Milliseconds since the epoch. */
  readonly nowMs: number
  /** For a process that judges many tokens. */
  readonly cache?: SignatureCache | undefined
  /** What `digestText` gives for the token, for whoever judges it more than once; taken for the cache alone. */
  readonly textDigest?: string | undefined
  /** The calls that this process has set aside and not spent, by the counter's key. */
  readonly held?: { held(counter: string): number } | undefined
}

/** How many budgets one token id may have, those of narrowed tokens included. */
export const MAX_COUNTERS = 1000

// A clock that was set back would bring expired tokens to life; small differences between machines are normal.
const CLOCK_TOLERANCE_MS = 5 * 60_000

/**
 * Judges a token. It spends nothing and looks at nothing but its arguments; refresh the records before, and spend from
 * the budgets (`budget.ts`) before the call is made.
 */
export function verifyToken(text: unknown, request: TokenRequest, circumstances: Circumstances): Verdict {
  const subject = findSubject(text, circumstances)
  return 'allowed' in subject ? subject : judge(subject, request, circumstances)
}

/** What a live token allows at most, for whoever cannot ask call by call (RFC 7662, section 2.2). */
export interface TokenStatus {
  /** The token's id, 32 hex digits. */
  readonly id: string
  readonly label: string | undefined
  /** What all caveats leave over together. */
  readonly scope: TokenScope
  readonly createdMs: number
  /** Whether it is limited in ways that a list of tools cannot say: arguments, calls, rates, definitions. */
  readonly isLimited: boolean
}

/** Tells what a token is, if it is genuine and lives; why not, otherwise. It spends nothing. */
export function inspectToken(text: unknown, circumstances: Circumstances): TokenStatus | Denial {
  const subject = findSubject(text, circumstances)
  if ('allowed' in subject) return subject
  const { token, record } = subject
  const reason = judgeRecord(record, circumstances.nowMs)
  if (reason !== undefined) return refuse(reason)
  const { scope } = token
  if (!(circumstances.nowMs < (scope.beforeMs ?? 0))) return refuse('expired')
  const denial = token.counters.length === 0 ? undefined : judgeBudgets(token, record, circumstances.held)
  if (denial !== undefined) return denial
  const isLimited = token.caveats.some(({ type }) => !SAID_BY_SCOPE.has(type))
  return { id: token.id, label: record.label, scope, createdMs: record.createdMs, isLimited }
}

const SAID_BY_SCOPE: ReadonlySet<Caveat['type']> = new Set(['methods', 'tools', 'before'])

/** Finds what a token's text stands for: a genuine token and its record, or why it is none. */
function findSubject(text: unknown, { records, cache, textDigest }: Circumstances): Subject | Denial {
  const known = cache?.find(text, records.tokensKey, textDigest)
  const macaroon = known === undefined ? decodeToken(text) : undefined
  const id = known?.id ?? macaroon?.identifier.toString('hex')
  if (id === undefined) return refuse('malformed')
  if (!records.isIntact) return refuse('damaged-records')
  const record = records.find(id)
  const { tokensKey } = records
  if (record === undefined || tokensKey === undefined) return refuse('unknown-id')
  if (known !== undefined) return { token: known, record }
  if (macaroon === undefined) return refuse('malformed')
  const token = authenticate(macaroon, tokensKey)
  if ('reason' in token) return { allowed: false, ...token }
  if (typeof text === 'string') cache?.add(text, token, tokensKey)
  return { token, record }
}

/**
 * Tells whether a token is one that these records know, apart from what it allows and when.
 *
 * A token whose caveats are not all known may be genuine: its signature decides.
 */
export function verifyGenuine(text: unknown, records: TokenLookup): 'genuine' | 'revoked' | 'not genuine' {
  const macaroon = decodeToken(text)
  const record = macaroon && records.find(macaroon.identifier.toString('hex'))
  if (macaroon === undefined || record === undefined || records.tokensKey === undefined) return 'not genuine'
  const token = authenticate(macaroon, records.tokensKey)
  if ('reason' in token && token.reason === 'bad-signature') return 'not genuine'
  return record.revokedMs === undefined ? 'genuine' : 'revoked'
}

/** A token and what is known about it. */
interface Subject {
  readonly token: GenuineToken
  readonly record: TokenRecord
}

function judge({ token, record }: Subject, request: TokenRequest, { nowMs, held }: Circumstances): Verdict {
  const reason = judgeRecord(record, nowMs)
  if (reason !== undefined) return refuse(reason)
  // The first caveat that does not allow the request names the reason.
  for (const caveat of token.caveats) {
    const denial = judgeCaveat(caveat, request, nowMs)
    if (denial !== undefined) return denial
  }
  const denial = token.counters.length === 0 ? undefined : judgeBudgets(token, record, held)
  return denial ?? { allowed: true, id: token.id, counters: token.counters, rates: token.rates }
}

function judgeRecord(record: TokenRecord, nowMs: number): Refusal | undefined {
  if (record.revokedMs !== undefined) return 'revoked'
  return nowMs < record.createdMs - CLOCK_TOLERANCE_MS ? 'not-yet' : undefined
}

function judgeCaveat(caveat: Caveat, { method, tool, args, digest }: TokenRequest, nowMs: number): Denial | undefined {
  switch (caveat.type) {
    case 'before':
      // Written so that a clock which gives no number refuses.
      return nowMs < caveat.epochMs ? undefined : refuse('expired', caveat)
    case 'methods':
      return caveat.methods.includes(method) ? undefined : refuse('method', caveat)
    case 'tools': {
      const isAllowed = tool === undefined || coversTool(caveat.tools, tool)
      return isAllowed ? undefined : refuse('tool', caveat)
    }
    case 'args': {
      const broken = caveat.rules.find((rule) => rule[0] === tool && (args === undefined || !keepsRule(args, rule)))
      return broken && refuse('args', { type: 'args', rules: [broken] })
    }
    case 'digest': {
      const changed = caveat.digests.find(([name, pinned]) => name === tool && pinned !== digest)
      return changed && refuse('digest', { type: 'digest', digests: [changed] })
    }
    case 'calls':
    case 'rate':
      // What is left of it is in the records, under the budget's counter, or in the process, in the rate's bucket.
      return undefined
  }
}

function judgeBudgets(
  { caveats, counters }: GenuineToken,
  { reserved }: TokenRecord,
  held: Circumstances['held'],
): Denial | undefined {
  const spent = counters.findIndex(({ key, limit }) => {
    return limit - (reserved?.get(key) ?? 0) + (held?.held(key) ?? 0) <= 0
  })
  if (spent >= 0) return refuse('calls', caveats.filter(({ type }) => type === 'calls')[spent])
  const fresh = counters.filter(({ key }) => reserved?.has(key) !== true).length
  return fresh > 0 && (reserved?.size ?? 0) + fresh > MAX_COUNTERS ? refuse('counters') : undefined
}

function refuse(reason: Refusal, caveat?: Caveat): Denial {
  return caveat === undefined ? { allowed: false, reason } : { allowed: false, reason, caveat }
}
