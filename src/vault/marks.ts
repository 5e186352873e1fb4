import { VaultError } from '../errors.js'
import type { Mark } from '../storage/store.js'
import type { NativeVault } from './native-vault.js'
import type { VaultAccess } from './vault.js'

type VaultMark = NonNullable<Mark['vault']>

/** How a vault stands to what this machine has seen of it. */
export interface Standing {
  /** The highest generation known; the next one written must be above it. */
  readonly highestGen: number
  /** The copy is older than one that was seen, or a fork of it. */
  readonly isBehind: boolean
}

/**
 * Compares a vault with the furthest state that this machine has seen of it, and moves the mark up to it once the vault
 * is verified.
 *
 * An older or forked copy is refused for writing; for reading it is refused too, except in a git work tree, where
 * checking out an older commit is normal and is warned of.
 *
 * @throws {VaultError} RESTORED, UNSAFE if the data key is not the one seen before
 */
export function checkMark(vault: NativeVault, access: VaultAccess, purpose: 'read' | 'write'): Standing {
  const seen = access.store.marks.read(vault.id)?.vault
  const here = markOf(vault)
  if (seen !== undefined) {
    if (seen.commit !== here.commit) throw otherDataKey(access)
    const isBehind = here.gen < seen.gen || (here.gen === seen.gen && here.mac !== seen.mac)
    if (isBehind) {
      allowBehind(describeGap(here, seen), access, purpose)
      return { highestGen: seen.gen, isBehind }
    }
  }
  if (vault.isVerified && (seen === undefined || here.gen > seen.gen)) raiseMark(vault, access)
  return { highestGen: here.gen, isBehind: false }
}

/** Moves the mark to a verified vault; a lower one never replaces a higher one. */
export function raiseMark(vault: NativeVault, access: VaultAccess): void {
  const here = markOf(vault)
  access.store.marks.raise(vault.id, (stored) => {
    if (stored?.vault !== undefined && stored.vault.gen >= here.gen) return undefined
    return { ...stored, vault: here }
  })
}

function markOf(vault: NativeVault): VaultMark {
  const { header, mac } = vault.parts
  return { gen: header.gen, mac: mac.toString('base64url'), commit: header.dek.commit }
}

function describeGap(here: VaultMark, seen: VaultMark): string {
  return here.gen === seen.gen
    ? `this copy of the vault and one that this machine has seen were both written as generation ${here.gen}`
    : `this copy of the vault is older (generation ${here.gen}) than one that this machine has seen (${seen.gen})`
}

function allowBehind(what: string, access: VaultAccess, purpose: 'read' | 'write'): void {
  if (access.acceptRestore) return
  if (purpose === 'read' && access.isInGit()) {
    access.warn(what)
    return
  }
  throw restored(what)
}

/** Builds the error for an old or forked copy. */
export function restored(what: string): VaultError {
  return new VaultError('RESTORED', what, {
    hints: [
      'if nobody restored a backup on purpose, find the newer file before anything else: rotations may be missing here',
      'to go on from this copy, add --accept-restore to a command that writes; it says what was rotated since',
    ],
  })
}

function otherDataKey(access: VaultAccess): VaultError {
  return new VaultError(
    'UNSAFE',
    `the vault "${access.store.locate('vault')}" has another data key than the one this machine has seen`,
    {
      hints: ['somebody may have put a vault of their own in its place; compare it with a backup'],
    },
  )
}
