/**
 * Sub-keys of the native format: how the data key leads to the keys that encrypt, authenticate and seal. How another key
 * leads to the data key is in `key-slots.ts`. HKDF-SHA256 is RFC 5869, AES-256-GCM is SP 800-38D.
 *
 * @module
 */

import { openGcm, sealGcm } from '../crypto/aes-gcm.js'
import { decodeBase64url, lengthPrefixed } from '../crypto/encoding.js'
import { equalBytes, hkdfExpand, hkdfExtract, hmacSha256 } from '../crypto/kdf.js'
import { Secret } from '../secret.js'
import type { VaultKey } from './key.js'
import { unwrapDataKey } from './key-slots.js'
import { damaged } from './canonical.js'
import type { NativeHeader, NativeParts } from './native-format.js'
import { NONCE_BYTES, openNonced, sealNonced } from './nonced.js'

const DATA_KEY_BYTES = 32
/** How many data keys a vault remembers: a machine that is further behind needs its user's word. */
export const MAX_PAST = 32

/** Gives random bytes. */
export type RandomBytes = (length: number) => Buffer

/** The keys of one opened vault. Each is 32 bytes. */
export interface DataKeys {
  readonly dek: Secret
  readonly encKey: Secret
  readonly macKey: Secret
  readonly sealKey: Secret
}

/**
 * Derives the sub-keys and the commitment of a data key. The commitment is stored beside the wrapped key, since AES-GCM
 * does not commit to its key.
 */
export function deriveDataKeys(dek: Buffer, vaultId: Buffer): DataKeys & { readonly commit: Buffer } {
  const extracted = hkdfExtract(dek, vaultId)
  const derive = (purpose: string): Buffer => hkdfExpand(extracted, `mcpvault/1/${purpose}`, 32)
  return {
    dek: new Secret(dek),
    encKey: new Secret(derive('enc')),
    macKey: new Secret(derive('mac')),
    sealKey: new Secret(derive('seal')),
    commit: derive('commit'),
  }
}

/**
 * Unwraps the data key and verifies the MAC over the whole file.
 *
 * @throws {VaultError} WRONG_KEY if no slot is for this key, DAMAGED if a slot, the commitment or the MAC does not fit.
 */
export function unlockNative(parts: NativeParts, key: VaultKey): DataKeys {
  const { header } = parts
  const vaultId = Buffer.from(header.vault_id, 'base64url')
  const keys = deriveDataKeys(unwrapDataKey(header, key), vaultId)
  if (!equalBytes(keys.commit, Buffer.from(header.dek.commit, 'base64url'))) {
    throw damaged('its data key is not the one that it commits to')
  }
  verifyMac(parts, keys)
  return keys
}

/** Checks the MAC over the whole file. @throws {VaultError} DAMAGED */
export function verifyMac(parts: NativeParts, keys: DataKeys): void {
  if (!equalBytes(macOf(keys, parts.macInput), parts.mac)) {
    throw damaged('its bytes are not those that were sealed (the MAC does not fit)')
  }
}

/** Computes the MAC over a file up to and including the `"` that opens its last element. */
export function macOf(keys: DataKeys, input: Buffer): Buffer {
  return hmacSha256(keys.macKey.reveal(), input)
}

/** What something sealed into a header belongs to. */
export interface SealContext {
  readonly vaultId: Buffer
  readonly dekId: string
  readonly randomBytes: RandomBytes
}

/** Seals the tokens key into the header, bound to the vault and the data key. */
export function sealTokensKey(keys: DataKeys, tokensKey: Buffer, context: SealContext): string {
  return sealMember(keys, tokensKey, { ...context, member: 'tokens_key' })
}

/** Opens the tokens key of a header. @throws {VaultError} DAMAGED */
export function openTokensKey(keys: DataKeys, header: NativeHeader): Secret {
  const opened = openMember(keys, header, { member: 'tokens_key', sealed: header.tokens_key })
  if (opened?.length !== 32) throw damaged('its tokens key does not open')
  return new Secret(opened)
}

/**
 * Seals the data keys before this one into the header, oldest first: whoever has them proves that this data key comes
 * from somebody who could open the vault before.
 */
export function sealPast(keys: DataKeys, past: readonly Buffer[], context: SealContext): string {
  return sealMember(keys, Buffer.concat(past), { ...context, member: 'past' })
}

/** Opens the data keys before this one, oldest first; none for the first. @throws {VaultError} DAMAGED */
export function openPast(keys: DataKeys, header: NativeHeader): readonly Buffer[] {
  const { past } = header.dek
  if (past === undefined) return []
  const opened = openMember(keys, header, { member: 'past', sealed: past })
  if (opened === undefined || opened.length % DATA_KEY_BYTES !== 0) throw damaged('its earlier data keys do not open')
  const count = opened.length / DATA_KEY_BYTES
  if (count > MAX_PAST) throw damaged('it names more earlier data keys than are kept')
  return Array.from({ length: count }, (_, at) => opened.subarray(at * DATA_KEY_BYTES, (at + 1) * DATA_KEY_BYTES))
}

function sealMember(keys: DataKeys, plaintext: Buffer, context: SealContext & { readonly member: string }): string {
  const { vaultId, dekId, member, randomBytes } = context
  const aad = lengthPrefixed('mcpvault/1/seal', vaultId, member, dekId)
  return sealNonced(keys.sealKey.reveal(), plaintext, { aad, randomBytes }).toString('base64url')
}

function openMember(
  keys: DataKeys,
  { vault_id, dek }: NativeHeader,
  { member, sealed }: { readonly member: string; readonly sealed: string },
): Buffer | undefined {
  const aad = lengthPrefixed('mcpvault/1/seal', Buffer.from(vault_id, 'base64url'), member, dek.id)
  return openNonced(keys.sealKey.reveal(), Buffer.from(sealed, 'base64url'), aad)
}

/** What a value is bound to: it cannot be moved to another vault, name or version. */
export function valueContext(header: NativeHeader, name: string, version: number): Buffer {
  return lengthPrefixed(
    'mcpvault/1/entry',
    Buffer.from(header.vault_id, 'base64url'),
    name,
    String(version),
    header.dek.id,
  )
}

/** Encrypts one value under a fresh nonce. */
export function sealValue(
  keys: DataKeys,
  value: Buffer,
  options: { readonly aad: Buffer; readonly randomBytes: RandomBytes },
): { readonly n: string; readonly c: string } {
  const nonce = options.randomBytes(NONCE_BYTES)
  const sealed = sealGcm(keys.encKey.reveal(), nonce, value, options.aad)
  return { n: nonce.toString('base64url'), c: sealed.toString('base64url') }
}

/** Decrypts one value; undefined when it is not what was sealed there. */
export function openValue(
  keys: DataKeys,
  sealed: { readonly n: string; readonly c: string },
  aad: Buffer,
): Buffer | undefined {
  const nonce = decodeBase64url(sealed.n)
  const bytes = decodeBase64url(sealed.c)
  return nonce && bytes && openGcm(keys.encKey.reveal(), nonce, bytes, aad)
}
