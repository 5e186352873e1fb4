import type { VaultKey } from './key.js'
import { findSlot } from './key-slots.js'
import type { KeySlot } from './native-format.js'
import { NativeVault } from './native-vault.js'
import { needsSlots } from './rekey.js'
import { fingerprint } from './trust.js'
import type { Vault } from './vault.js'

/** A key that opens a vault, without the key. */
export interface ListedKey {
  /** 16 hex digits. */
  readonly kid: string
  readonly type: KeySlot['type']
  readonly label: string | undefined
  /** Of an age slot. */
  readonly recipient: string | undefined
  readonly isInKeychain: boolean
  /** Whether the key at hand is this one; false where that is not known. */
  readonly isHere: boolean
}

/** Who can open a vault, and under which data key it is sealed. */
export interface KeyList {
  readonly keys: readonly ListedKey[]
  readonly dekId: string
  /** Two people who see the same one have the same data key. */
  readonly fingerprint: string
  /** How many values the data key has encrypted. */
  readonly count: number
}

/** Lists the keys of a vault. @throws {VaultError} INPUT in the tutorial format */
export function listKeys(vault: Vault, key: VaultKey | undefined): KeyList {
  if (!(vault instanceof NativeVault)) throw needsSlots()
  const { keys, dek } = vault.parts.header
  const here = findSlot(keys, key)
  return {
    keys: keys.map((slot) => ({
      kid: slot.kid,
      type: slot.type,
      label: slot.label,
      recipient: slot.kdf?.name === 'age' ? slot.kdf.recipient : undefined,
      isInKeychain: slot.keychain === true,
      isHere: slot === here,
    })),
    dekId: dek.id,
    fingerprint: fingerprint(dek.commit),
    count: dek.count,
  }
}
