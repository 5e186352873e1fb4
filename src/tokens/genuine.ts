/** Whether a token is what it claims to be, apart from records, time and what is asked of it. */

import { sha256 } from '../crypto/kdf.js'
import { type Macaroon, signatureChain, verifyChain } from '../crypto/macaroon.js'
import type { Secret } from '../secret.js'
import { type Caveat, encodeCaveat, intersectCaveats, parseCaveat, type TokenScope } from './caveats.js'
import type { RateLimit } from './rate.js'
import type { TokenRecord } from './record-line.js'
import { deriveRootKey } from './token.js'

/** One budget of calls, shared by a token and everything that was narrowed from it. */
export interface Counter {
  /** SHA-256 of the signature after the budget's caveat, in base64url; says nothing about the signature itself. */
  readonly key: string
  readonly limit: number
}

/** A token whose signature fits and whose caveats are all known. It stays so for as long as its key is the same. */
export interface GenuineToken {
  /** 32 hex digits. */
  readonly id: string
  readonly caveats: readonly Caveat[]
  /** What all caveats leave over together. */
  readonly scope: TokenScope
  /** A call is counted under each. */
  readonly counters: readonly Counter[]
  readonly rates: readonly RateLimit[]
}

/** Why a token is not genuine; an unknown caveat is given as it stands. */
export type Falsehood =
  | { readonly reason: 'bad-signature' }
  | { readonly reason: 'unknown-caveat'; readonly caveat: string }

/** Checks what does not change with time: the signature, and that every caveat is understood. */
export function authenticate(macaroon: Macaroon, tokensKey: Secret): GenuineToken | Falsehood {
  const { identifier } = macaroon
  const chain = verifyChain(macaroon, deriveRootKey(tokensKey.reveal(), identifier))
  if (chain === undefined) return { reason: 'bad-signature' }
  const caveats = macaroon.caveats.map(parseCaveat)
  const unknown = caveats.indexOf(undefined)
  if (unknown >= 0) return { reason: 'unknown-caveat', caveat: macaroon.caveats[unknown]?.toString('utf8') ?? '' }
  const known = caveats.filter((caveat) => caveat !== undefined)
  return {
    id: identifier.toString('hex'),
    caveats: known,
    scope: intersectCaveats(known),
    counters: listCounters(known, chain),
    rates: listRates(known, chain),
  }
}

/** Gives the budgets that a token was created with; those of tokens narrowed from it are not known here. */
export function createdCounters({ id, caveats }: TokenRecord, tokensKey: Secret): readonly Counter[] {
  if (!caveats.some(({ type }) => type === 'calls')) return []
  const identifier = Buffer.from(id, 'hex')
  const rootKey = deriveRootKey(tokensKey.reveal(), identifier)
  return listCounters(caveats, signatureChain(rootKey, identifier, caveats.map(encodeCaveat)))
}

function listRates(caveats: readonly Caveat[], chain: readonly Buffer[]): readonly RateLimit[] {
  return caveats.flatMap((caveat, index) => {
    const signature = chain[index + 1]
    if (caveat.type !== 'rate' || signature === undefined) return []
    return [{ key: sha256(signature).toString('base64url'), rate: caveat.rate }]
  })
}

function listCounters(caveats: readonly Caveat[], chain: readonly Buffer[]): readonly Counter[] {
  return caveats.flatMap((caveat, index) => {
    const signature = chain[index + 1]
    if (caveat.type !== 'calls' || signature === undefined) return []
    return [{ key: sha256(signature).toString('base64url'), limit: caveat.limit }]
  })
}
