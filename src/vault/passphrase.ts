import { scryptKey } from '../crypto/kdf.js'
import { Secret } from '../secret.js'
import type { PassphraseKdf } from './native-format.js'

/** What passphrases were stretched to: a command opens its vault several times, and each would take scrypt's time. */
const stretched = new WeakMap<Secret, Map<string, Secret>>()

/** Gives the slot key of a passphrase, once it was stretched from memory; the bytes are not to be wiped. */
export function stretch(passphrase: Secret, { n, r, p, salt }: PassphraseKdf): Buffer {
  const known = stretched.get(passphrase) ?? new Map<string, Secret>()
  stretched.set(passphrase, known)
  const id = [n, r, p, salt].join(' ')
  const cost = { N: n, r, p, salt: Buffer.from(salt, 'base64url') }
  const key = known.get(id) ?? new Secret(scryptKey(passphrase.reveal(), cost))
  known.set(id, key)
  return key.reveal()
}

/** Zeroes a passphrase and what it was stretched to. */
export function wipePassphrase(passphrase: Secret): void {
  for (const key of stretched.get(passphrase)?.values() ?? []) key.wipe()
  stretched.delete(passphrase)
  passphrase.wipe()
}
