/**
 * The key that opens a vault: 32 raw bytes in one of two spellings, a passphrase, or identities of age.
 *
 * @module
 */

import { decodeHex } from '../crypto/encoding.js'
import { sha256 } from '../crypto/kdf.js'
import { Secret } from '../secret.js'
import { wipePassphrase } from './passphrase.js'

/** How a raw key is written: Fernet's 44 characters of base64url, or the 64 hex digits of the JavaScript tutorial. */
export type KeySpelling = 'base64url' | 'hex'

/** A 32-byte key; it is used as it is and never goes through a slow KDF. */
export interface RawKey {
  readonly type: 'raw'
  readonly bytes: Secret
  readonly spelling: KeySpelling
  /** Where it was found, in words for a message. */
  readonly source?: string
}

/** A passphrase, UTF-8, stretched by scrypt for each slot. */
export interface PassphraseKey {
  readonly type: 'passphrase'
  readonly text: Secret
  /** Where it was found, in words for a message. */
  readonly source?: string
}

/**
 * Identities of age (X25519). What they open is read ahead of time (`age-key.ts`), since the package that does it answers
 * later and a vault is opened at once; so the members here are filled in place.
 */
export interface AgeKey {
  readonly type: 'age'
  /** One `AGE-SECRET-KEY-1…` a line. */
  readonly identities: Secret
  /** The recipient of each identity. */
  readonly recipients: string[]
  /** The slot key by the age file that it lies in; undefined for a file that does not open. */
  readonly slotKeys: Map<string, Secret | undefined>
  /** Where it was found, in words for a message. */
  readonly source?: string
}

/** What opens a vault. */
export type VaultKey = RawKey | PassphraseKey | AgeKey

/** Length of a raw key, in bytes. */
export const RAW_KEY_BYTES = 32

/** Reads a raw key; undefined when the text is in neither spelling. A short text is never padded or hashed into shape. */
export function parseRawKey(text: string): RawKey | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) {
    const bytes = decodeHex(text)
    return bytes && { type: 'raw', bytes: new Secret(bytes), spelling: 'hex' }
  }
  if (!/^[A-Za-z0-9_-]{43}=$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  // The last character carries four bits of the key and two that must be zero: another spelling of the same key is a typo.
  if (formatRawKey(bytes, 'base64url') !== text) return undefined
  return { type: 'raw', bytes: new Secret(bytes), spelling: 'base64url' }
}

/**
 * Reads an identity file of age: a line an identity, blank lines and comments (`#`) between. Undefined when there is
 * none, or any line is something else: an identity of a plugin, or a file that age has encrypted with a passphrase.
 */
export function parseAgeIdentities(text: string): AgeKey | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const identities = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (identities.length === 0 || !identities.every((line) => /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/.test(line)))
    return undefined
  return { type: 'age', identities: Secret.fromText(identities.join('\n')), recipients: [], slotKeys: new Map() }
}

/** Zeroes a key and what was opened with it. */
export function wipeKey(key: VaultKey): void {
  if (key.type === 'raw') key.bytes.wipe()
  else if (key.type === 'passphrase') wipePassphrase(key.text)
  else for (const secret of [key.identities, ...key.slotKeys.values()]) secret?.wipe()
}

/** Writes a raw key in a spelling. */
export function formatRawKey(bytes: Buffer, spelling: KeySpelling): string {
  return spelling === 'hex' ? bytes.toString('hex') : `${bytes.toString('base64url')}=`
}

/** Names a raw key without revealing it: 16 hex digits, the first 8 bytes of SHA-256(`mcpvault/kid` ‖ key). */
export function rawKeyId(bytes: Buffer): string {
  return sha256('mcpvault/kid', bytes).subarray(0, 8).toString('hex')
}
