import { VaultError } from '../errors.js'
import type { Mark } from '../storage/store.js'
import { deriveDataKeys, MAX_PAST, openPast } from './native-keys.js'
import type { NativeVault } from './native-vault.js'
import { isConfirming, keepPlace } from './trust.js'
import type { VaultAccess } from './vault.js'

/** What a mark keeps of a vault. */
export type VaultMark = NonNullable<Mark['vault']>

/** How a vault stands to what this machine has seen of it. */
export interface Standing {
  /** The highest generation known; the next one written must be above it. */
  readonly highestGen: number
  /** Says, for people, that the copy is older than one that was seen or a fork of it; undefined when it is neither. */
  readonly behind: string | undefined
  /**
   * Set when it is sealed under an earlier data key than one that was seen: whoever had a key then, and was removed since,
   * could have made it; `forged` when it claims to be no older, which no honest copy does.
   */
  readonly earlierKey?: 'old' | 'forged'
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
 * @throws {VaultError} UNSAFE if the data key is neither the one seen before nor one that follows it
 */
export function compareMark(vault: NativeVault, seen: VaultMark | undefined, access: VaultAccess): Standing {
  const here = markOf(vault)
  if (seen === undefined) return { highestGen: here.gen, behind: undefined }
  const highestGen = Math.max(here.gen, seen.gen)
  const kinship = relate(vault, seen)
  if (kinship === 'strange') {
    if (vault.isVerified && !access.trustNewKey) throw otherDataKey(access)
    if (!vault.isVerified)
      access.warn(`${describeStranger(access)}; without a key it cannot be said whether it follows it`)
    return { highestGen, behind: undefined }
  }
  if (kinship === 'earlier') {
    return { highestGen, behind: describeEarlier(vault), earlierKey: here.gen < seen.gen ? 'old' : 'forged' }
  }
  const isFork = here.gen === seen.gen && here.mac !== seen.mac
  const behind = isFork || here.gen < seen.gen ? describeGap(here, seen) : undefined
  return { highestGen, behind }
}

/**
 * How the data key of a vault stands to the one that was seen: the `same`, a `later` one that carries it among its
 * predecessors, an `earlier` one of which that is known, or a `strange` one.
 */
function relate(vault: NativeVault, seen: VaultMark): 'same' | 'later' | 'earlier' | 'strange' {
  const { commit } = vault.parts.header.dek
  if (commit === seen.commit) return 'same'
  if (seen.past?.includes(commit)) return 'earlier'
  return pastCommits(vault).includes(seen.commit) ? 'later' : 'strange'
}

/** The commitments of the data keys before this one, oldest first; empty without a key. @throws {VaultError} DAMAGED */
function pastCommits({ keys, parts, id }: NativeVault): readonly string[] {
  if (keys === undefined) return []
  const vaultId = Buffer.from(id, 'base64url')
  return openPast(keys, parts.header).map((dek) => deriveDataKeys(dek, vaultId).commit.toString('base64url'))
}

/**
 * Refuses an old or forked copy for writing; for reading too, except in a git work tree, where checking out an older
 * commit is normal and is warned of. `--accept-restore` lets it pass.
 *
 * @throws {VaultError} RESTORED
 */
export function allowStanding({ behind, earlierKey }: Standing, access: VaultAccess, purpose: 'read' | 'write'): void {
  if (behind === undefined) return
  const isNormal = access.acceptRestore || (access.isInGit() && earlierKey !== 'forged')
  if (purpose === 'read' && isNormal) access.warn(behind)
  else if (!access.acceptRestore) throw restored(behind)
}

/** Says that going on from an earlier data key lets in again whoever was removed since. */
export function warnOfEarlierKey({ earlierKey }: Standing, access: VaultAccess): void {
  if (earlierKey === undefined) return
  access.warn(
    'this copy opens with the keys of its time, those that were removed since included: mcpvault key list, then key remove',
  )
}

/**
 * Moves the mark to a verified vault; a lower one never replaces a higher one. Where marks cannot be kept, the vault
 * works without them. A vault that was made here (`isOwn`) needs no confirmation. Its place is written down as well.
 */
export function raiseMark(vault: NativeVault, access: VaultAccess, { isOwn = false } = {}): void {
  if (!vault.isVerified) return
  // Before the mark, so that whoever comes after a kill between the two has news, too, and does it.
  if (isOwn || isConfirming(access)) keepPlace(vault, access)
  access.store.marks.raise(vault.id, (stored) => {
    const word = { isConfirmed: isOwn || isConfirming(access), isNewKeyTrusted: isOwn || access.trustNewKey === true }
    const next = nextMark(vault, stored?.vault, word)
    return next && { ...stored, vault: next }
  })
}

/** What the user, or the key, says for a vault. */
interface Word {
  readonly isConfirmed: boolean
  readonly isNewKeyTrusted: boolean
}

function nextMark(
  vault: NativeVault,
  seen: VaultMark | undefined,
  { isConfirmed, isNewKeyTrusted }: Word,
): VaultMark | undefined {
  const here = markOf(vault)
  const isUnconfirmed = (seen === undefined || seen.isUnconfirmed === true) && !isConfirmed
  const flag = isUnconfirmed ? ({ isUnconfirmed } as const) : {}
  if (seen === undefined) return { ...here, past: pastCommits(vault), ...flag }
  const { isUnconfirmed: wasUnconfirmed, ...kept } = seen
  const kinship = relate(vault, seen)
  if (kinship === 'strange') return isNewKeyTrusted ? { ...here, past: pastCommits(vault) } : undefined
  if (here.gen <= seen.gen) return wasUnconfirmed && isConfirmed ? kept : undefined
  const { past = [] } = seen
  if (kinship === 'same') return { ...here, past, ...flag }
  // After going back to an earlier data key, the later one is one that this machine no longer expects.
  const earlier = [...past.filter((commit) => commit !== here.commit), seen.commit].slice(-MAX_PAST)
  return { ...here, past: kinship === 'later' ? pastCommits(vault) : earlier, ...flag }
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
      'to go on from this copy, and be told what was rotated since: mcpvault log settle --accept-restore',
    ],
  })
}

function describeEarlier({ parts }: NativeVault): string {
  return `this copy of the vault is sealed under an earlier data key (${parts.header.dek.id}) than one that this machine has seen`
}

function describeStranger({ store }: VaultAccess): string {
  return `the vault "${store.locate('vault')}" has another data key than the one this machine has seen`
}

function otherDataKey(access: VaultAccess): VaultError {
  return new VaultError('UNSAFE', `${describeStranger(access)}, and does not follow it`, {
    hints: [
      'somebody may have put a vault of their own in its place; compare it with a backup',
      'if you know that it is right: compare "mcpvault key list" with a colleague, then add --trust-new-key once',
    ],
  })
}
