import { openGcm, sealGcm } from '../crypto/aes-gcm.js'
import type { RandomBytes } from './native-keys.js'

/** Of AES-GCM (SP 800-38D), always drawn at random. */
export const NONCE_BYTES = 12

/** Encrypts under a fresh nonce: nonce(12) ‖ ciphertext ‖ tag(16). */
export function sealNonced(
  key: Buffer,
  plaintext: Buffer,
  options: { readonly aad: Buffer; readonly randomBytes: RandomBytes },
): Buffer {
  const nonce = options.randomBytes(NONCE_BYTES)
  return Buffer.concat([nonce, sealGcm(key, nonce, plaintext, options.aad)])
}

/** Opens what {@link sealNonced} sealed; undefined when it is something else. */
export function openNonced(key: Buffer, sealed: Buffer, aad: Buffer): Buffer | undefined {
  return openGcm(key, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), aad)
}
