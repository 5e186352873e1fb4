/**
 * Key slots and sub-keys of the native format: how a raw key or a passphrase leads to the data key, and the data key to
 * the keys that encrypt, authenticate and seal. HKDF-SHA256 is RFC 5869, AES-256-GCM is SP 800-38D.
 *
 * wrap = nonce(12) ‖ AES-256-GCM(HKDF(slot key, vault_id, `mcpvault/1/wrap/TYPE`), data key), AAD = length-prefixed
 * (vault_id, kid, type, kdf as JSON or empty, data key id).
 *
 * @module
 */

import { openGcm, sealGcm } from '../crypto/aes-gcm.js'
import { decodeBase64url, lengthPrefixed } from '../crypto/encoding.js'
import { equalBytes, hkdfExpand, hkdfExtract, hkdfSha256, hmacSha256, scryptKey } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { type RawKey, rawKeyId, type VaultKey } from './key.js'
import { damaged } from './canonical.js'
import type { KeySlot, NativeHeader, NativeParts, PassphraseKdf } from './native-format.js'

const NONCE_BYTES = 12
const SCRYPT_COST = { n: 2 ** 17, r: 8, p: 1 } as const

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
  const dek = key.type === 'raw' ? unwrapRaw(header, key) : unwrapPassphrase(header, key.text)
  const keys = deriveDataKeys(dek, vaultId)
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

function unwrapRaw(header: NativeHeader, key: RawKey): Buffer {
  const kid = rawKeyId(key.bytes.reveal())
  const slot = header.keys.find((candidate) => candidate.type === 'raw' && candidate.kid === kid)
  if (slot === undefined) throw wrongKey(header, `${key.source ?? 'the key at hand'} has the id ${kid}`)
  const dek = unwrapSlot(header, slot, key.bytes.reveal())
  if (dek === undefined) throw damaged(`its key slot ${kid} does not open with the key that has this id`)
  return dek
}

function unwrapPassphrase(header: NativeHeader, passphrase: Secret): Buffer {
  const slots = header.keys.filter((slot) => slot.type === 'passphrase')
  for (const slot of slots) {
    if (slot.kdf === undefined) continue
    checkCost(slot.kdf)
    const dek = unwrapSlot(header, slot, stretch(passphrase, slot.kdf))
    if (dek !== undefined) return dek
  }
  throw new VaultError('WRONG_KEY', 'cannot open the vault: the passphrase does not fit')
}

/** Bounds what a file may make us compute: 128 MiB · n / 2^17 of memory, p passes. */
function checkCost(kdf: PassphraseKdf): void {
  const isPowerOfTwo = Number.isInteger(Math.log2(kdf.n))
  const isAccepted = isPowerOfTwo && kdf.n >= 2 ** 15 && kdf.n <= 2 ** 20 && kdf.r === 8 && kdf.p >= 1 && kdf.p <= 4
  if (!isAccepted) throw damaged('the cost of its passphrase slot is outside of what is accepted')
}

function wrongKey(header: NativeHeader, atHand: string): VaultError {
  const ids = header.keys.filter(({ type }) => type === 'raw').map(({ kid }) => kid)
  const sealed =
    ids.length > 0 ? `the vault was sealed for ${ids.join(', ')}` : 'the vault opens with a passphrase only'
  return new VaultError('WRONG_KEY', 'cannot open the vault: the key does not fit', { hints: [`${atHand}; ${sealed}`] })
}

function wrapContext(vaultId: Buffer, slot: Omit<KeySlot, 'wrap'>, dekId: string): Buffer {
  const kdf = slot.kdf === undefined ? '' : JSON.stringify(slot.kdf)
  return lengthPrefixed(vaultId, slot.kid, slot.type, kdf, dekId)
}

function wrapKey(slotKey: Buffer, vaultId: Buffer, type: KeySlot['type']): Buffer {
  return hkdfSha256(slotKey, vaultId, `mcpvault/1/wrap/${type}`, 32)
}

function unwrapSlot(header: NativeHeader, slot: KeySlot, slotKey: Buffer): Buffer | undefined {
  const vaultId = Buffer.from(header.vault_id, 'base64url')
  return openNonced(
    wrapKey(slotKey, vaultId, slot.type),
    Buffer.from(slot.wrap, 'base64url'),
    wrapContext(vaultId, slot, header.dek.id),
  )
}

/** Wraps a data key for one key; a passphrase gets a fresh salt and id. */
export function wrapSlot(
  dek: Buffer,
  key: VaultKey,
  options: { readonly vaultId: Buffer; readonly dekId: string; readonly randomBytes: RandomBytes },
): KeySlot {
  const { vaultId, dekId, randomBytes } = options
  const slot = key.type === 'raw' ? rawSlot(key) : passphraseSlot(randomBytes)
  const slotKey = key.type === 'raw' ? key.bytes.reveal() : stretch(key.text, slot.kdf)
  const wrap = sealNonced(wrapKey(slotKey, vaultId, slot.type), dek, {
    aad: wrapContext(vaultId, slot, dekId),
    randomBytes,
  })
  return { ...slot, wrap: wrap.toString('base64url') }
}

function rawSlot(key: RawKey): Omit<KeySlot, 'wrap'> {
  return { kid: rawKeyId(key.bytes.reveal()), type: 'raw' }
}

function passphraseSlot(randomBytes: RandomBytes): Omit<KeySlot, 'wrap'> {
  const kid = randomBytes(8).toString('hex')
  return {
    kid,
    type: 'passphrase',
    kdf: { name: 'scrypt', ...SCRYPT_COST, salt: randomBytes(16).toString('base64url') },
  }
}

function stretch(passphrase: Secret, kdf: PassphraseKdf | undefined): Buffer {
  if (kdf === undefined) throw new TypeError('a passphrase slot always has a kdf')
  return scryptKey(passphrase.reveal(), { N: kdf.n, r: kdf.r, p: kdf.p, salt: Buffer.from(kdf.salt, 'base64url') })
}

/** Seals the tokens key into the header, bound to the vault and the data key. */
export function sealTokensKey(
  keys: DataKeys,
  tokensKey: Buffer,
  options: { readonly vaultId: Buffer; readonly dekId: string; readonly randomBytes: RandomBytes },
): string {
  const aad = lengthPrefixed('mcpvault/1/seal', options.vaultId, 'tokens_key', options.dekId)
  return sealNonced(keys.sealKey.reveal(), tokensKey, { aad, randomBytes: options.randomBytes }).toString('base64url')
}

/** Opens the tokens key of a header. @throws {VaultError} DAMAGED */
export function openTokensKey(keys: DataKeys, header: NativeHeader): Secret {
  const aad = lengthPrefixed('mcpvault/1/seal', Buffer.from(header.vault_id, 'base64url'), 'tokens_key', header.dek.id)
  const opened = openNonced(keys.sealKey.reveal(), Buffer.from(header.tokens_key, 'base64url'), aad)
  if (opened?.length !== 32) throw damaged('its tokens key does not open')
  return new Secret(opened)
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

function sealNonced(
  key: Buffer,
  plaintext: Buffer,
  options: { readonly aad: Buffer; readonly randomBytes: RandomBytes },
): Buffer {
  const nonce = options.randomBytes(NONCE_BYTES)
  return Buffer.concat([nonce, sealGcm(key, nonce, plaintext, options.aad)])
}

function openNonced(key: Buffer, sealed: Buffer, aad: Buffer): Buffer | undefined {
  return openGcm(key, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), aad)
}
