/**
 * AES-256-GCM (NIST SP 800-38D) with tags of exactly 16 bytes.
 *
 * Layout of what is sealed: ciphertext ‖ tag (16). The nonce (12 bytes; 16 where the tutorial's values have it) travels
 * beside it, and the caller never uses one twice under a key.
 *
 * @module
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'

/** Length of a GCM tag here, in bytes; shorter ones are easier to forge and are never accepted. */
export const GCM_TAG_BYTES = 16

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES: readonly number[] = [12, 16]

/**
 * Encrypts and authenticates, `aad` included.
 *
 * @throws {RangeError} if the key is not 32 bytes or the nonce neither 12 nor 16: a mistake in the calling code.
 */
export function sealGcm(key: Buffer, nonce: Buffer, plaintext: Buffer, aad: Buffer): Buffer {
  if (!areUsable(key, nonce)) throw new RangeError('cannot seal: the key or the nonce has a wrong length')
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: GCM_TAG_BYTES })
  cipher.setAAD(aad)
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Verifies and decrypts; every failure is the same undefined, and no unverified plaintext survives it. */
export function openGcm(key: Buffer, nonce: Buffer, sealed: Buffer, aad: Buffer): Buffer | undefined {
  if (!areUsable(key, nonce) || sealed.length < GCM_TAG_BYTES) return undefined
  // Without authTagLength Node would accept a tag of 4 bytes.
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: GCM_TAG_BYTES })
  decipher.setAAD(aad)
  decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES))
  const plaintext = decipher.update(sealed.subarray(0, -GCM_TAG_BYTES))
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}

function areUsable(key: Buffer, nonce: Buffer): boolean {
  return key.length === KEY_BYTES && NONCE_BYTES.includes(nonce.length)
}
