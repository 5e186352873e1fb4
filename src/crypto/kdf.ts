/**
 * Digests, keyed digests and the two key derivations: HKDF for keys, scrypt for passphrases.
 *
 * @module
 */

import { createHash, createHmac, scryptSync, timingSafeEqual } from 'node:crypto'

const SHA256_BYTES = 32
const KEY_BYTES = 32

/** Computes SHA-256 over the parts as if they were one; a string is taken as UTF-8. */
export function sha256(...parts: readonly (Buffer | string)[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** Computes HMAC-SHA-256 (RFC 2104) over the parts as if they were one; a string is taken as UTF-8. */
export function hmacSha256(key: Buffer | string, ...parts: readonly (Buffer | string)[]): Buffer {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}

/**
 * Derives a key with HKDF-SHA-256 (RFC 5869), written out over HMAC, which every caller has loaded anyway.
 *
 * @param length Bytes, 1 to 8160.
 * @throws {RangeError} if the length is out of range: a mistake in the calling code.
 */
export function hkdfSha256(key: Buffer, salt: Buffer, info: Buffer | string, length: number): Buffer {
  return hkdfExpand(hkdfExtract(key, salt), info, length)
}

/** The first half of HKDF-SHA-256 (RFC 5869 section 2.2), for several keys out of one: the pseudorandom key, 32 bytes. */
export function hkdfExtract(key: Buffer, salt: Buffer): Buffer {
  return hmacSha256(salt, key)
}

/** The second half of HKDF-SHA-256 (RFC 5869 section 2.3); length and errors as {@link hkdfSha256} has them. */
export function hkdfExpand(pseudoRandomKey: Buffer, info: Buffer | string, length: number): Buffer {
  if (!Number.isInteger(length) || length < 1 || length > 255 * SHA256_BYTES) {
    throw new RangeError('cannot derive a key: the length is out of range')
  }
  const blocks: Buffer[] = []
  let block: Buffer = Buffer.alloc(0)
  for (let counter = 1; blocks.length * SHA256_BYTES < length; counter++) {
    block = hmacSha256(pseudoRandomKey, block, info, Buffer.of(counter))
    blocks.push(block)
  }
  return Buffer.concat(blocks).subarray(0, length)
}

/** Compares in time that depends on the lengths alone; different lengths are unequal. */
export function equalBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** The cost of {@link scryptKey} and its salt. */
export interface ScryptOptions {
  /** Cost, a power of two. */
  readonly N: number
  /** Block size. */
  readonly r: number
  /** Parallelism. */
  readonly p: number
  readonly salt: Buffer
}

/**
 * Derives 32 bytes from a passphrase with scrypt (RFC 7914); a string is taken as UTF-8.
 *
 * Blocks for as long as the cost asks and takes 128 · N · r bytes; the caller bounds what a file may ask for.
 *
 * @throws {RangeError} if scrypt does not allow these parameters.
 */
export function scryptKey(passphrase: Buffer | string, { N, r, p, salt }: ScryptOptions): Buffer {
  // OpenSSL's own count includes the blocks of every lane; Node's default of 32 MiB refuses N = 2^15.
  const maxmem = 128 * r * (N + p + 2) + 1024
  return scryptSync(passphrase, salt, KEY_BYTES, { N, r, p, maxmem })
}
