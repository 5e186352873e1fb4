/**
 * Macaroons (Birgisson et al., NDSS 2014) in the libmacaroons v2 binary format, first-party caveats only.
 *
 * Layout: 0x02 ‖ 0x01 len location ‖ 0x02 len identifier ‖ 0x00 ‖ (0x02 len caveat ‖ 0x00)* ‖ 0x00 ‖ 0x06 len signature,
 * where len is a base-128 varint, least significant group first. The signature is a chain of HMAC-SHA-256: over the
 * identifier under HMAC("macaroons-key-generator", root key), then over each caveat under the signature before it, so
 * that whoever holds a macaroon can append a caveat and nobody can take one away.
 *
 * @module
 */

import { equalBytes, hmacSha256 } from './kdf.js'

const LOCATION = 'mcpvault'
const KEY_GENERATOR = 'macaroons-key-generator'
const VERSION = 2
const END = 0
const FIELD = { location: 1, identifier: 2, signature: 6 } as const
const SIGNATURE_BYTES = 32

/** How many caveats a macaroon may carry. */
export const MAX_CAVEATS = 16

/** How long an encoded macaroon may be, in bytes: 8 KiB of token text behind a prefix of five characters. */
export const MAX_MACAROON_BYTES = 6140

/** A bearer token: what it is for, what narrows it, and the end of its chain of signatures. */
export interface Macaroon {
  readonly identifier: Buffer
  readonly caveats: readonly Buffer[]
  /** 32 bytes. */
  readonly signature: Buffer
}

/** Makes a macaroon. Whoever holds the root key can make and verify every macaroon under it. */
export function mintMacaroon(rootKey: Buffer, identifier: Buffer, caveats: readonly Buffer[]): Macaroon {
  const signature = signatureChain(rootKey, identifier, caveats).at(-1) ?? Buffer.alloc(0)
  return { identifier, caveats, signature }
}

/**
 * Computes the signature that a macaroon has before its first caveat and after each of them.
 *
 * Whoever knows one of these holds the macaroon that ends there: only a digest may be kept.
 */
export function signatureChain(rootKey: Buffer, identifier: Buffer, caveats: readonly Buffer[]): readonly Buffer[] {
  let signature = hmacSha256(hmacSha256(KEY_GENERATOR, rootKey), identifier)
  const chain = [signature]
  for (const caveat of caveats) {
    signature = hmacSha256(signature, caveat)
    chain.push(signature)
  }
  return chain
}

/** Narrows a macaroon by one caveat; no key is needed. */
export function addCaveat(macaroon: Macaroon, caveat: Buffer): Macaroon {
  return {
    identifier: macaroon.identifier,
    caveats: [...macaroon.caveats, caveat],
    signature: hmacSha256(macaroon.signature, caveat),
  }
}

/** Tells, in constant time, whether the signature is the one that the root key makes. Caveats are not judged. */
export function verifyMacaroon(macaroon: Macaroon, rootKey: Buffer): boolean {
  return verifyChain(macaroon, rootKey) !== undefined
}

/** Verifies as {@link verifyMacaroon} does and gives the signatures of {@link signatureChain}; undefined if it fails. */
export function verifyChain(macaroon: Macaroon, rootKey: Buffer): readonly Buffer[] | undefined {
  const chain = signatureChain(rootKey, macaroon.identifier, macaroon.caveats)
  const last = chain.at(-1)
  return last !== undefined && equalBytes(last, macaroon.signature) ? chain : undefined
}

/** Prints a macaroon in the one form that {@link decodeMacaroon} accepts; limits are the reader's to enforce. */
export function encodeMacaroon({ identifier, caveats, signature }: Macaroon): Buffer {
  return Buffer.concat([
    Buffer.of(VERSION),
    ...encodeField(FIELD.location, Buffer.from(LOCATION)),
    ...encodeField(FIELD.identifier, identifier),
    Buffer.of(END),
    ...caveats.flatMap((caveat) => [...encodeField(FIELD.identifier, caveat), Buffer.of(END)]),
    Buffer.of(END),
    ...encodeField(FIELD.signature, signature),
  ])
}

/**
 * Reads a macaroon; undefined for everything that {@link encodeMacaroon} does not write, so that each macaroon has one
 * form: another version or location, a third-party caveat, a varint with spare bytes, anything behind the signature,
 * over 16 caveats or 6140 bytes. The parts are views into `bytes`.
 */
export function decodeMacaroon(bytes: Buffer): Macaroon | undefined {
  if (bytes.length > MAX_MACAROON_BYTES) return undefined
  const cursor = new Cursor(bytes)
  if (!cursor.take(VERSION)) return undefined
  if (cursor.readField(FIELD.location)?.toString('latin1') !== LOCATION) return undefined
  const identifier = cursor.readField(FIELD.identifier)
  if (!identifier || !cursor.take(END)) return undefined
  const caveats: Buffer[] = []
  while (!cursor.take(END)) {
    const caveat = cursor.readField(FIELD.identifier)
    // A location before the caveat or a verification id behind it would stand where these are asked for.
    if (!caveat || !cursor.take(END) || caveats.length === MAX_CAVEATS) return undefined
    caveats.push(caveat)
  }
  const signature = cursor.readField(FIELD.signature)
  if (signature?.length !== SIGNATURE_BYTES || !cursor.isAtEnd) return undefined
  return { identifier, caveats, signature }
}

/** Reads a buffer from front to back; a read that does not fit gives false or undefined. */
class Cursor {
  readonly #bytes: Buffer
  #position = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  /** Steps over one byte if it is the expected one. */
  take(byte: number): boolean {
    const isExpected = this.#bytes[this.#position] === byte
    if (isExpected) this.#position++
    return isExpected
  }

  readField(type: number): Buffer | undefined {
    if (!this.take(type)) return undefined
    const length = this.#readVarint()
    if (length === undefined || length > this.#bytes.length - this.#position) return undefined
    const start = this.#position
    this.#position += length
    return this.#bytes.subarray(start, this.#position)
  }

  /** Two groups of seven bits reach far beyond the size limit, so a longer varint is refused unread. */
  #readVarint(): number | undefined {
    const low = this.#bytes[this.#position++]
    if (low === undefined || low < 0x80) return low
    const high = this.#bytes[this.#position++]
    // A zero in the last group would be a spare byte: the same length has a shorter form.
    if (high === undefined || high === 0 || high >= 0x80) return undefined
    return (low & 0x7f) | (high << 7)
  }
}

function encodeField(type: number, content: Buffer): Buffer[] {
  const varint: number[] = []
  let rest = content.length
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) varint.push((rest % 128) | 0x80)
  return [Buffer.of(type, ...varint, rest), content]
}
