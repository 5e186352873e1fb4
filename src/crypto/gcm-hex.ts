/**
 * Values as the JavaScript tutorial writes them: AES-256-GCM, in hex, without additional data.
 *
 * Layout: `IV:TAG:CIPHERTEXT`, each in hex; the IV is 16 bytes (12 is read too), the tag exactly 16.
 *
 * @module
 */

import { GCM_TAG_BYTES, openGcm, sealGcm } from './aes-gcm.js'
import { decodeHex, isHex } from './encoding.js'

const IV_BYTES = 16
const IV_HEX_DIGITS: readonly number[] = [IV_BYTES * 2, 24]
const TAG_HEX_DIGITS = GCM_TAG_BYTES * 2

/** Tells by its shape alone whether a text is such a value; nothing is decrypted. */
export function isGcmHex(text: unknown): boolean {
  return splitText(text) !== undefined
}

/**
 * Encrypts and authenticates.
 *
 * @param iv 16 fresh random bytes.
 * @throws {RangeError} if the key or the IV has a wrong length: a mistake in the calling code.
 */
export function sealGcmHex(key: Buffer, plaintext: Buffer, iv: Buffer): string {
  if (iv.length !== IV_BYTES) throw new RangeError('cannot seal: the IV has a wrong length')
  const sealed = sealGcm(key, iv, plaintext, Buffer.alloc(0))
  const tag = sealed.subarray(-GCM_TAG_BYTES)
  return `${iv.toString('hex')}:${tag.toString('hex')}:${sealed.toString('hex', 0, plaintext.length)}`
}

/** Verifies and decrypts; every failure (shape, key, tag) is the same undefined. */
export function openGcmHex(key: Buffer, text: unknown): Buffer | undefined {
  const [iv, tag, ciphertext] = splitText(text)?.map(decodeHex) ?? []
  if (!iv || !tag || !ciphertext) return undefined
  return openGcm(key, iv, Buffer.concat([ciphertext, tag]), Buffer.alloc(0))
}

function splitText(text: unknown): readonly string[] | undefined {
  if (typeof text !== 'string') return undefined
  const parts = text.split(':', 4)
  const [iv = '', tag = ''] = parts
  const isShaped = parts.length === 3 && IV_HEX_DIGITS.includes(iv.length) && tag.length === TAG_HEX_DIGITS
  return isShaped && parts.every(isHex) ? parts : undefined
}
