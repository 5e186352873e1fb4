import { openFernet, sealFernet } from '../crypto/fernet.js'
import { openGcmHex, sealGcmHex } from '../crypto/gcm-hex.js'
import { Secret } from '../secret.js'
import type { RawKey } from './key.js'
import type { RandomBytes } from './native-keys.js'
import { codecOf } from './tutorial-format.js'
import type { TutorialCodec } from './vault.js'

/** Encodes a value as a tutorial program would. */
export function sealText(
  key: RawKey,
  bytes: Buffer,
  options: { readonly codec: TutorialCodec; readonly nowMs: number; readonly randomBytes: RandomBytes },
): string {
  const iv = options.randomBytes(16)
  return options.codec === 'fernet'
    ? sealFernet(key.bytes.reveal(), bytes, { epochSeconds: Math.floor(options.nowMs / 1000), iv })
    : sealGcmHex(key.bytes.reveal(), bytes, iv)
}

/** Decodes and decrypts a value; undefined if it is in neither codec or does not open. */
export function openText(key: RawKey, text: string | undefined): Secret | undefined {
  if (text === undefined) return undefined
  const codec = codecOf(text)
  const value =
    codec === 'fernet' ? openFernet(key.bytes.reveal(), text) : codec && openGcmHex(key.bytes.reveal(), text)
  return value && new Secret(value)
}
