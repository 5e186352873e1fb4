import { type Macaroon, verifyMacaroon } from '../crypto/macaroon.js'
import type { Secret } from '../secret.js'
import { ANY_TOOL, type Caveat, type Method, parseCaveat } from './caveats.js'
import type { TokenRecord } from './record-line.js'
import { decodeToken, deriveRootKey } from './token.js'

/** What a token is asked to allow. */
export type TokenRequest =
  | { readonly method: 'tools'; readonly tool: string }
  | { readonly method: Exclude<Method, 'tools'>; readonly tool?: undefined }

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

/** Whether a token allows a request. The id is the token's, 32 hex digits. */
export type Verdict =
  | { readonly allowed: true; readonly id: string }
  | { readonly allowed: false; readonly reason: Refusal }

/** What is known about tokens; `TokenRecords` is one. */
export interface TokenLookup {
  /** Whether the records could be read and verified; nothing is allowed otherwise. */
  readonly isIntact: boolean
  /** Undefined while there are no records at all. */
  readonly tokensKey: Secret | undefined
  find(id: string): TokenRecord | undefined
}

/** A token whose signature fits and whose caveats are all known. It stays so: this may be kept for the token's text. */
interface GenuineToken {
  readonly id: string
  readonly caveats: readonly Caveat[]
}

// A clock that was set back would bring expired tokens to life; small differences between machines are normal.
const CLOCK_TOLERANCE_MS = 5 * 60_000

/**
 * Judges a token. It spends nothing and looks at nothing but its arguments; refresh the records before.
 *
 * @param context `nowMs` is milliseconds since the epoch.
 */
export function verifyToken(
  text: unknown,
  request: TokenRequest,
  context: { readonly records: TokenLookup; readonly nowMs: number },
): Verdict {
  const { records, nowMs } = context
  const macaroon = decodeToken(text)
  if (macaroon === undefined) return refuse('malformed')
  if (!records.isIntact) return refuse('damaged-records')
  const record = records.find(macaroon.identifier.toString('hex'))
  if (record === undefined || records.tokensKey === undefined) return refuse('unknown-id')
  const token = authenticate(macaroon, records.tokensKey)
  if (typeof token === 'string') return refuse(token)
  const reason = judgeRecord(record, nowMs) ?? judgeCaveats(token.caveats, request, nowMs)
  return reason === undefined ? { allowed: true, id: token.id } : refuse(reason)
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
  if (authenticate(macaroon, records.tokensKey) === 'bad-signature') return 'not genuine'
  return record.revokedMs === undefined ? 'genuine' : 'revoked'
}

/** Checks what does not change with time: the signature, and that every caveat is understood. */
function authenticate(macaroon: Macaroon, tokensKey: Secret): GenuineToken | Refusal {
  const { identifier } = macaroon
  if (!verifyMacaroon(macaroon, deriveRootKey(tokensKey.reveal(), identifier))) return 'bad-signature'
  const caveats = macaroon.caveats.map(parseCaveat)
  if (!caveats.every((caveat) => caveat !== undefined)) return 'unknown-caveat'
  return { id: identifier.toString('hex'), caveats }
}

function judgeRecord(record: TokenRecord, nowMs: number): Refusal | undefined {
  if (record.revokedMs !== undefined) return 'revoked'
  return nowMs < record.createdMs - CLOCK_TOLERANCE_MS ? 'not-yet' : undefined
}

/** Every caveat must allow the request; the first that does not names the reason. */
function judgeCaveats(caveats: readonly Caveat[], request: TokenRequest, nowMs: number): Refusal | undefined {
  for (const caveat of caveats) {
    const reason = judgeCaveat(caveat, request, nowMs)
    if (reason !== undefined) return reason
  }
  return undefined
}

function judgeCaveat(caveat: Caveat, { method, tool }: TokenRequest, nowMs: number): Refusal | undefined {
  switch (caveat.type) {
    case 'before':
      // Written so that a clock which gives no number refuses.
      return nowMs < caveat.epochMs ? undefined : 'expired'
    case 'methods':
      return caveat.methods.includes(method) ? undefined : 'method'
    case 'tools':
      return tool === undefined || caveat.tools.includes(ANY_TOOL) || caveat.tools.includes(tool) ? undefined : 'tool'
  }
}

function refuse(reason: Refusal): Verdict {
  return { allowed: false, reason }
}
