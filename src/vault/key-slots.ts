/**
 * Key slots of the native format: how a raw key, a passphrase or an age identity leads to the data key.
 *
 * wrap = nonce(12) ‖ AES-256-GCM(HKDF(slot key, vault_id, `mcpvault/1/wrap/TYPE`), data key), AAD = length-prefixed
 * (vault_id, kid, type, kdf as JSON or empty, data key id). The slot key is the raw key itself, scrypt of the passphrase,
 * or 32 random bytes in an age file for one recipient.
 *
 * @module
 */

import { lengthPrefixed } from '../crypto/encoding.js'
import { hkdfSha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { damaged } from './canonical.js'
import { type AgeKey, type RawKey, rawKeyId, type VaultKey } from './key.js'
import { type KeySlot, makeSlot, type NativeHeader, type PassphraseKdf } from './native-format.js'
import type { RandomBytes, SealContext } from './native-keys.js'
import { openNonced, sealNonced } from './nonced.js'
import { stretch } from './passphrase.js'

const SCRYPT_COST = { n: 2 ** 17, r: 8, p: 1 } as const
/** Each takes scrypt's time and memory to try; a file may not ask for that without bounds. */
export const MAX_PASSPHRASE_SLOTS = 8

/** What a slot is made of before it wraps a data key. */
export interface SlotKey {
  readonly slot: Omit<KeySlot, 'wrap'>
  /** 32 bytes. */
  readonly key: Secret
}

/** What a slot keeps when its data key changes. */
export type SlotOptions = Partial<Pick<KeySlot, 'kid' | 'label' | 'keychain'>>

/** The vault was sealed anew for an age identity after its slots were read; reading them again helps. */
export class StaleKeyError extends VaultError {
  readonly isStale = true

  constructor() {
    super('WRONG_KEY', 'cannot open the vault: it was sealed anew for this age identity just now', {
      hints: ['run the command again'],
    })
  }
}

/** Tells whether a failure is a {@link StaleKeyError}; `instanceof` is true for every error of ours. */
export function isStaleKey(error: unknown): error is StaleKeyError {
  return error instanceof VaultError && 'isStale' in error
}

/**
 * Unwraps the data key of a header; nothing of it is verified yet.
 *
 * @throws {VaultError} WRONG_KEY if no slot is for this key, DAMAGED if a slot that is does not open.
 * @throws {StaleKeyError} if the slot of an age identity was not read yet.
 */
export function unwrapDataKey(header: NativeHeader, key: VaultKey): Buffer {
  if (key.type === 'raw') return unwrapRaw(header, key)
  return key.type === 'age' ? unwrapAge(header, key) : unwrapPassphrase(header, key.text)
}

/** Tells which slot a key opens; undefined where only trying would tell (passphrases), or none is. */
export function findSlot(slots: readonly KeySlot[], key: VaultKey | undefined): KeySlot | undefined {
  if (key?.type === 'raw') {
    const kid = rawKeyId(key.bytes.reveal())
    return slots.find((slot) => slot.type === 'raw' && slot.kid === kid)
  }
  if (key?.type === 'age') return slots.find((slot) => isFor(slot, key))
  const asked = key === undefined ? [] : slots.filter(({ type }) => type === 'passphrase')
  return asked.length === 1 ? asked[0] : undefined
}

function unwrapRaw(header: NativeHeader, key: RawKey): Buffer {
  const kid = rawKeyId(key.bytes.reveal())
  const slot = findSlot(header.keys, key)
  if (slot === undefined) throw wrongKey(header, `${key.source ?? 'the key at hand'} has the id ${kid}`)
  return unwrapSlot(header, slot, key.bytes.reveal()) ?? failToOpen(slot)
}

function unwrapAge(header: NativeHeader, key: AgeKey): Buffer {
  const slot = findSlot(header.keys, key)
  if (slot?.kdf?.name !== 'age') {
    throw wrongKey(header, `${key.source ?? 'the identity at hand'} is ${key.recipients.join(', ')}`)
  }
  if (!key.slotKeys.has(slot.kdf.file)) throw new StaleKeyError()
  const slotKey = key.slotKeys.get(slot.kdf.file)
  return (slotKey && unwrapSlot(header, slot, slotKey.reveal())) ?? failToOpen(slot)
}

function isFor({ kdf }: KeySlot, { recipients }: AgeKey): boolean {
  return kdf?.name === 'age' && recipients.includes(kdf.recipient)
}

function failToOpen({ kid }: KeySlot): never {
  throw damaged(`its key slot ${kid} does not open with the key that has this id`)
}

function unwrapPassphrase(header: NativeHeader, passphrase: Secret): Buffer {
  const slots = header.keys.filter(({ type }) => type === 'passphrase')
  if (slots.length > MAX_PASSPHRASE_SLOTS) throw damaged('it has more passphrase slots than are accepted')
  for (const slot of slots) {
    if (slot.kdf?.name !== 'scrypt') continue
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
  const ids = header.keys.flatMap(({ type, kid, kdf }) =>
    type === 'raw' ? [kid] : kdf?.name === 'age' ? [kdf.recipient] : [],
  )
  const shown = ids.length > 8 ? [...ids.slice(0, 8), `${ids.length - 8} more`] : ids
  const sealed =
    ids.length > 0 ? `the vault was sealed for ${shown.join(', ')}` : 'the vault opens with a passphrase only'
  return new VaultError('WRONG_KEY', 'cannot open the vault: the key does not fit', { hints: [`${atHand}; ${sealed}`] })
}

function wrapContext(vaultId: Buffer, slot: Omit<KeySlot, 'wrap'>, dekId: string): Buffer {
  const kdf = slot.kdf === undefined ? '' : JSON.stringify(slot.kdf)
  return lengthPrefixed(vaultId, slot.kid, slot.type, kdf, dekId)
}

function wrappingKey(slotKey: Buffer, vaultId: Buffer, type: KeySlot['type']): Buffer {
  return hkdfSha256(slotKey, vaultId, `mcpvault/1/wrap/${type}`, 32)
}

/** Unwraps the data key with a slot's own key; undefined when it does not fit. */
export function unwrapSlot(
  { vault_id, dek }: Pick<NativeHeader, 'vault_id' | 'dek'>,
  slot: KeySlot,
  slotKey: Buffer,
): Buffer | undefined {
  const vaultId = Buffer.from(vault_id, 'base64url')
  const wrapped = Buffer.from(slot.wrap, 'base64url')
  return openNonced(wrappingKey(slotKey, vaultId, slot.type), wrapped, wrapContext(vaultId, slot, dek.id))
}

/** Wraps a data key under a slot key. */
export function wrapSlot(dek: Buffer, { slot, key }: SlotKey, { vaultId, dekId, randomBytes }: SealContext): KeySlot {
  const aad = wrapContext(vaultId, slot, dekId)
  const wrap = sealNonced(wrappingKey(key.reveal(), vaultId, slot.type), dek, { aad, randomBytes })
  return makeSlot(slot, wrap.toString('base64url'))
}

/** Makes the slot key of a raw key, which is the key itself. */
export function rawSlot({ bytes }: RawKey, options: SlotOptions = {}): SlotKey {
  const { label, keychain } = options
  return { slot: slotOf({ kid: rawKeyId(bytes.reveal()), type: 'raw', keychain, label }), key: bytes }
}

/** Makes the slot key of a passphrase, under a fresh salt. */
export function passphraseSlot(text: Secret, randomBytes: RandomBytes, options: SlotOptions = {}): SlotKey {
  const kdf = { name: 'scrypt', ...SCRYPT_COST, salt: randomBytes(16).toString('base64url') } as const
  const { kid = randomBytes(8).toString('hex'), label } = options
  return { slot: slotOf({ kid, type: 'passphrase', label, kdf }), key: new Secret(Buffer.from(stretch(text, kdf))) }
}

/** Makes the slot of 32 random bytes that lie in an age file for a recipient. */
export function ageSlot(
  slotKey: Secret,
  {
    recipient,
    file,
    randomBytes,
  }: { readonly recipient: string; readonly file: Buffer; readonly randomBytes: RandomBytes },
  options: SlotOptions = {},
): SlotKey {
  const kdf = { name: 'age', recipient, file: file.toString('base64url') } as const
  const { kid = randomBytes(8).toString('hex'), label } = options
  return { slot: slotOf({ kid, type: 'age', label, kdf }), key: slotKey }
}

function slotOf(members: Parameters<typeof makeSlot>[0]): Omit<KeySlot, 'wrap'> {
  const { wrap: _wrap, ...slot } = makeSlot(members, '')
  return slot
}

/** Tells whether a passphrase is that of a slot. @throws {VaultError} DAMAGED if trying would cost too much */
export function fitsPassphrase(header: Pick<NativeHeader, 'vault_id' | 'dek'>, slot: KeySlot, text: Secret): boolean {
  if (slot.kdf?.name !== 'scrypt') return false
  checkCost(slot.kdf)
  return unwrapSlot(header, slot, stretch(text, slot.kdf)) !== undefined
}
