/**
 * Forged tokens: what somebody could make of genuine ones, or of nothing, without the key.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { addCaveat, encodeMacaroon, type Macaroon } from '../../src/crypto/macaroon.js'
import { encodeCaveat } from '../../src/tokens/caveats.js'
import { createToken } from '../../src/tokens/change.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { SignatureCache } from '../../src/tokens/signature-cache.js'
import { decodeToken, TOKEN_PREFIX, toolsCaveat } from '../../src/tokens/token.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { seededRandom } from '../faults/mutations.js'
import { temporaryDirectory } from '../support/directory.js'
import { NOW, openAccess, SEARCH } from './tokens-support.js'

/** Tells whether a token may make the call that all genuine ones here may make. */
export type Judge = (text: string) => boolean

/** What a trial of forged tokens found. */
export interface ForgeryReport {
  readonly tried: number
  /** By kind, how many were accepted. */
  readonly accepted: Readonly<Record<string, number>>
}

/** Genuine tokens, and how they are judged. */
export interface Mint {
  readonly genuine: readonly string[]
  /** As mcpvault judges, with a cache of signatures as a running server has. */
  readonly judge: Judge
  /** Looks at everything but the signature. */
  readonly carelessJudge: Judge
}

/** Makes tokens that may all call one tool: with few caveats and with many, narrowed by their holders too. */
export async function openMint(): Promise<Mint> {
  const access = openAccess(temporaryDirectory())
  const made = []
  for (const options of [
    { tools: ['web_search'] },
    { tools: ['web_search', 'other'], calls: 5 },
    { tools: ['*'], ttlSeconds: 60 },
  ]) {
    made.push((await createToken(access, options)).token)
  }
  const narrowed = made.map((token) => {
    const macaroon = addCaveat(decode(token), encodeCaveat(toolsCaveat(['web_search'])))
    return textOf(encodeMacaroon(macaroon))
  })
  const genuine = [...made, ...narrowed]
  const records = TokenRecords.open(access.store, access.keys)
  const cache = new SignatureCache()
  const judge: Judge = (text) => verifyToken(text, SEARCH, { records, nowMs: NOW, cache }).allowed
  for (const token of genuine) if (!judge(token)) throw new Error('a genuine token is refused')
  const carelessJudge: Judge = (text) => {
    const macaroon = decodeToken(text)
    return macaroon !== undefined && records.find(macaroon.identifier.toString('hex')) !== undefined
  }
  return { genuine, judge, carelessJudge }
}

/** Changes every bit of every genuine token, once each. */
export function tryEveryBit({ genuine }: Mint, judge: Judge): ForgeryReport {
  const trial = new Trial(genuine, judge)
  for (const token of genuine) {
    const bytes = bytesOf(token)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      trial.judge('bit', textOf(changed))
    }
  }
  return trial.report()
}

/** Tries so many forgeries, drawn by a seed. */
export function tryForgeries(
  { genuine }: Mint,
  judge: Judge,
  options: { readonly count: number; readonly seed: number },
): ForgeryReport {
  const trial = new Trial(genuine, judge)
  const random = seededRandom(options.seed)
  const kinds = Object.entries(FORGERIES)
  // Some come out as the genuine token that they were made of, and do not count.
  for (let index = 0; trial.tried < options.count; index++) {
    const [kind, forge] = kinds[index % kinds.length] ?? fail()
    trial.judge(kind, forge({ pick: (list) => list[Math.floor(random() * list.length)] ?? fail(), random, genuine }))
  }
  return trial.report()
}

class Trial {
  readonly #genuine: ReadonlySet<string>
  readonly #judge: Judge
  readonly #accepted: Record<string, number> = {}
  tried = 0

  constructor(genuine: readonly string[], judge: Judge) {
    this.#genuine = new Set(genuine)
    this.#judge = judge
  }

  judge(kind: string, text: string): void {
    if (this.#genuine.has(text)) return
    this.tried += 1
    if (this.#judge(text)) this.#accepted[kind] = (this.#accepted[kind] ?? 0) + 1
  }

  report(): ForgeryReport {
    return { tried: this.tried, accepted: this.#accepted }
  }
}

/** What a forger has: genuine tokens, and dice. */
interface Workshop {
  readonly genuine: readonly string[]
  readonly random: () => number
  pick<T>(list: readonly T[]): T
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ '

const FORGERIES: Readonly<Record<string, (shop: Workshop) => string>> = {
  random: ({ random }) => textOf(randomBytes(Math.floor(random() * 200))),
  bytes({ pick, random, genuine }) {
    const bytes = Buffer.from(bytesOf(pick(genuine)))
    for (let left = 1 + Math.floor(random() * 4); left > 0; left--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    return textOf(bytes)
  },
  text({ pick, random, genuine }) {
    const token = pick(genuine)
    const at = Math.floor(random() * (token.length + 1))
    const removed = pick([0, 1, 1, 2])
    return token.slice(0, at) + pick([...ALPHABET, '']) + token.slice(at + removed)
  },
  splice({ pick, random, genuine }) {
    const [head, tail] = [bytesOf(pick(genuine)), bytesOf(pick(genuine))]
    const cut = Math.floor(random() * head.length)
    return textOf(Buffer.concat([head.subarray(0, cut), tail.subarray(Math.floor(random() * tail.length))]))
  },
  'caveat taken away': (shop) =>
    recast(shop, (caveats) => {
      const gone = Math.floor(shop.random() * caveats.length)
      return caveats.filter((_, index) => index !== gone)
    }),
  'caveats in another order': (shop) => recast(shop, (caveats) => [...caveats].sort(() => shop.random() - 0.5)),
  'caveat added or changed without its signature': (shop) =>
    recast(shop, (caveats) => {
      const own = encodeCaveat(toolsCaveat([shop.pick(['web_search', '*', 'a', 'b'])]))
      const at = Math.floor(shop.random() * (caveats.length + 1))
      return [...caveats.slice(0, at), own, ...caveats.slice(at + shop.pick([0, 1]))]
    }),
  'identifier or signature of another': (shop) => {
    const [one, other] = [decode(shop.pick(shop.genuine)), decode(shop.pick(shop.genuine))]
    const { identifier, caveats, signature } = one
    const isIdentifier = shop.random() < 0.5
    const forged: Macaroon = {
      identifier: isIdentifier ? other.identifier : identifier,
      caveats,
      signature: isIdentifier ? signature : other.signature,
    }
    return textOf(encodeMacaroon(forged))
  },
}

function recast(shop: Workshop, change: (caveats: readonly Buffer[]) => readonly Buffer[]): string {
  const macaroon = decode(shop.pick(shop.genuine))
  return textOf(encodeMacaroon({ ...macaroon, caveats: change(macaroon.caveats) }))
}

function decode(text: string): Macaroon {
  return decodeToken(text) ?? fail()
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.slice(TOKEN_PREFIX.length), 'base64url')
}

function textOf(bytes: Buffer): string {
  return `${TOKEN_PREFIX}${bytes.toString('base64url')}`
}

function fail(): never {
  throw new Error('the trial itself is broken')
}
