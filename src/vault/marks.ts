import { VaultError } from '../errors.js'
import type { Mark } from '../storage/store.js'
import type { NativeVault } from './native-vault.js'
import type { VaultAccess } from './vault.js'

/** What a mark keeps of a vault. */
export type VaultMark = NonNullable<Mark['vault']>

/** How a vault stands to what this machine has seen of it. */
export interface Standing {
  /** The highest generation known; the next one written must be above it. */
  readonly highestGen: number
  /** Says, for people, that the copy is older than one that was seen or a fork of it; undefined when it is neither. */
  readonly behind: string | undefined
}

/** The mark of a vault, or undefined on first sight. @throws {VaultError} DAMAGED if the mark is */
export function readMark(id: string, access: VaultAccess): VaultMark | undefined {
  return access.store.marks.read(id)?.vault
}

/**
 * Compares a vault with the furthest state that this machine has seen of it.
 *
 * The mark is raised only after a commit. Whoever reads without the lock must have read the mark before the vault, or a
 * writer between the two reads makes the vault look old.
 *
 * @throws {VaultError} UNSAFE if the data key is not the one seen before
 */
export function compareMark(vault: NativeVault, seen: VaultMark | undefined, access: VaultAccess): Standing {
  const here = markOf(vault)
  if (seen === undefined) return { highestGen: here.gen, behind: undefined }
  if (seen.commit !== here.commit) throw otherDataKey(access)
  const isFork = here.gen === seen.gen && here.mac !== seen.mac
  const behind = isFork || here.gen < seen.gen ? describeGap(here, seen) : undefined
  return { highestGen: Math.max(here.gen, seen.gen), behind }
}

/**
 * Refuses an old or forked copy for writing; for reading too, except in a git work tree, where checking out an older
 * commit is normal and is warned of. `--accept-restore` lets it pass.
 *
 * @throws {VaultError} RESTORED
 */
export function allowStanding({ behind }: Standing, access: VaultAccess, purpose: 'read' | 'write'): void {
  if (behind === undefined) return
  if (purpose === 'read' && (access.acceptRestore || access.isInGit())) access.warn(behind)
  else if (!access.acceptRestore) throw restored(behind)
}

/**
 * Moves the mark to a verified vault; a lower one never replaces a higher one. Where marks cannot be kept, the vault
 * works without them.
 */
export function raiseMark(vault: NativeVault, access: VaultAccess): void {
  if (!vault.isVerified) return
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
