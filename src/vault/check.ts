import { VaultError } from '../errors.js'
import { rawKeyId, type VaultKey } from './key.js'
import { findSlot } from './key-slots.js'
import { NativeVault, noKey } from './native-vault.js'
import { readAndParse } from './open.js'
import type { TutorialVault } from './tutorial-vault.js'
import type { VaultAccess, VaultFormat } from './vault.js'

/** What a key was tried on. */
export interface KeyCheck {
  readonly format: VaultFormat
  /** 16 hex digits; undefined for a passphrase that could be that of several slots. */
  readonly keyId: string | undefined
  /** False only for a tutorial vault without values: any key fits it. */
  readonly isChecked: boolean
  /** How many values opened. */
  readonly values: number
  /** Names whose values are damaged; only a tutorial vault can have some and still be used. */
  readonly damaged: readonly string[]
}

/**
 * Tries a key on a vault: a native one is verified as a whole and every value opened; a tutorial one, which has no check
 * over the whole, fits if one value opens. Whether the copy is the latest is not asked.
 *
 * @throws {VaultError} NO_KEY, WRONG_KEY, DAMAGED, NOT_FOUND, UNSAFE, INPUT, IO
 */
export function checkKey(access: Pick<VaultAccess, 'store' | 'key' | 'warn'>): KeyCheck {
  const { key } = access
  if (key === undefined) throw noKey()
  const { vault } = readAndParse(access.store, access)
  const { values, damaged } = openValues(vault, key)
  const isNative = vault instanceof NativeVault
  return {
    format: vault.format,
    keyId: isNative ? findSlot(vault.parts.header.keys, key)?.kid : rawIdOf(key),
    isChecked: isNative || values > 0,
    values,
    damaged,
  }
}

function rawIdOf(key: VaultKey): string | undefined {
  return key.type === 'raw' ? rawKeyId(key.bytes.reveal()) : undefined
}

function openValues(vault: NativeVault | TutorialVault, key: VaultKey): Pick<KeyCheck, 'values' | 'damaged'> {
  try {
    return checkValues(vault)
  } catch (error) {
    if (!(error instanceof VaultError && error.code === 'WRONG_KEY') || key.type !== 'raw') throw error
    const hint = `${key.source ?? 'the key at hand'} has the id ${rawKeyId(key.bytes.reveal())}`
    throw new VaultError('WRONG_KEY', error.message, { hints: [hint, ...error.hints] })
  }
}

/**
 * Opens every value that a vault keeps, and forgets it again.
 *
 * @throws {VaultError} DAMAGED if a value of a native vault does not open, or none of a tutorial vault is in a form that
 * could; WRONG_KEY if the key opens none of them; NO_KEY.
 */
export function checkValues(vault: NativeVault | TutorialVault): Pick<KeyCheck, 'values' | 'damaged'> {
  return vault instanceof NativeVault ? checkNative(vault) : checkTutorial(vault)
}

function checkNative(vault: NativeVault): Pick<KeyCheck, 'values' | 'damaged'> {
  let values = 0
  for (const name of vault.names()) {
    for (const version of vault.entry(name)?.versions ?? []) {
      vault.openVersion(name, version).wipe()
      values += 1
    }
  }
  return { values, damaged: [] }
}

function checkTutorial(vault: TutorialVault): Pick<KeyCheck, 'values' | 'damaged'> {
  const names = vault.names()
  const damaged = names.filter((name) => !opens(vault, name))
  if (damaged.length > 0 && damaged.length === names.length) {
    throw new VaultError('DAMAGED', 'the vault is damaged: no value in it is in a form that a key could open')
  }
  return { values: names.length - damaged.length, damaged }
}

function opens(vault: TutorialVault, name: string): boolean {
  try {
    vault.load(name, { nowMs: 0 }).wipe()
    return true
  } catch (error) {
    if (error instanceof VaultError && error.code === 'DAMAGED') return false
    throw error
  }
}
