/**
 * Fernet tokens as Python's `cryptography.fernet` writes them (the Fernet spec, version 0x80).
 *
 * Layout: 0x80 ‖ seconds since the epoch (u64 big-endian) ‖ IV (16) ‖ AES-128-CBC with PKCS #7 ‖ HMAC-SHA-256 over all
 * before (32); in base64url with padding. The key's first 16 bytes sign, its last 16 encrypt.
 *
 * A stored value has no time to live, so the timestamp is written and never judged.
 *
 * @module
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { decodePaddedBase64url, encodePaddedBase64url } from './encoding.js'
import { equalBytes, hmacSha256 } from './kdf.js'

const VERSION = 0x80
const KEY_BYTES = 32
const SIGNING_KEY_BYTES = 16
const TIME_START = 1
const IV_START = 9
const BODY_START = 25
const BLOCK_BYTES = 16
const MAC_BYTES = 32

/** What {@link sealFernet} needs from the world. */
export interface FernetOptions {
  /** Whole seconds since the epoch. */
  readonly epochSeconds: number
  /** 16 fresh random bytes. */
  readonly iv: Buffer
}

/** Tells by its shape alone whether a text is a Fernet token; nothing is decrypted. */
export function isFernetToken(text: unknown): boolean {
  return parseToken(text) !== undefined
}

/** Encrypts and signs. */
export function sealFernet(key: Buffer, plaintext: Buffer, { epochSeconds, iv }: FernetOptions): string {
  const head = Buffer.alloc(BODY_START)
  head[0] = VERSION
  head.writeBigUInt64BE(BigInt(epochSeconds), TIME_START)
  iv.copy(head, IV_START)
  const cipher = createCipheriv('aes-128-cbc', key.subarray(SIGNING_KEY_BYTES), iv)
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const mac = hmacSha256(key.subarray(0, SIGNING_KEY_BYTES), head, body)
  return encodePaddedBase64url(Buffer.concat([head, body, mac]))
}

/** Verifies and decrypts; every failure (shape, key, signature, padding) is the same undefined. */
export function openFernet(key: Buffer, token: unknown): Buffer | undefined {
  const bytes = parseToken(token)
  if (!bytes || key.length !== KEY_BYTES) return undefined
  const signed = bytes.subarray(0, -MAC_BYTES)
  const mac = hmacSha256(key.subarray(0, SIGNING_KEY_BYTES), signed)
  if (!equalBytes(mac, bytes.subarray(-MAC_BYTES))) return undefined
  try {
    const iv = signed.subarray(IV_START, BODY_START)
    const decipher = createDecipheriv('aes-128-cbc', key.subarray(SIGNING_KEY_BYTES), iv)
    return Buffer.concat([decipher.update(signed.subarray(BODY_START)), decipher.final()])
  } catch {
    // Signed by this key and yet badly padded: not a token that Fernet writes.
    return undefined
  }
}

function parseToken(text: unknown): Buffer | undefined {
  const bytes = decodePaddedBase64url(text)
  const bodyLength = (bytes?.length ?? 0) - BODY_START - MAC_BYTES
  const isShaped = bytes?.[0] === VERSION && bodyLength >= BLOCK_BYTES && bodyLength % BLOCK_BYTES === 0
  return isShaped ? bytes : undefined
}
