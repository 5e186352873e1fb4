import { VaultError } from '../errors.js'
import type { Snapshot, Store } from '../storage/store.js'
import { ageSlotsOf, readAgeSlots } from './age-key.js'
import type { VaultKey } from './key.js'
import { isStaleKey } from './key-slots.js'
import { allowStanding, compareMark, raiseMark, readMark, type VaultMark } from './marks.js'
import { NativeVault } from './native-vault.js'
import { undoLayout } from './relaid.js'
import { checkPlace, isConfirmed, isConfirming, keepPlace, warnOfFirstSight } from './trust.js'
import { TutorialVault } from './tutorial-vault.js'
import { MAX_VAULT_BYTES, type Vault, type VaultAccess } from './vault.js'

const ATTEMPTS = 20
/** How long a file that does not parse must have kept still before it counts as damaged. */
const STILL_MS = 50

/**
 * Reads and opens the vault; without a key it is opened unverified and gives no values.
 *
 * @throws {VaultError} NOT_FOUND, DAMAGED, WRONG_KEY, RESTORED, UNSAFE, INPUT, IO
 */
export function openVault(access: VaultAccess): Vault {
  try {
    return openPinned(access)
  } catch (error) {
    // A long-running process, which cannot wait here, finds them read at its next request.
    if (isStaleKey(error)) void readSlotsAhead(access)
    throw error
  }
}

async function readSlotsAhead({ key, store }: VaultAccess): Promise<void> {
  if (key?.type !== 'age') return
  try {
    await readAgeSlots(key, ageSlotsOf(store))
  } catch (error) {
    // Opening the vault says what is wrong with it.
    if (!(error instanceof VaultError)) throw error
  }
}

function openPinned(access: VaultAccess): Vault {
  const { vault } = readAndParse(access.store, access)
  if (!(vault instanceof NativeVault)) return vault
  const seen = readMark(vault.id, access)
  const standing = compareMark(vault, seen, access)
  if (standing.behind === undefined) return acceptVault(vault, seen, access)
  // A writer may have moved the mark between our two reads; a vault that is read after its mark is not old by chance.
  const { vault: later } = readAndParse(access.store, access)
  if (!(later instanceof NativeVault)) return later
  const mark = later.id === vault.id ? seen : readMark(later.id, access)
  return acceptVault(later, mark, access)
}

function acceptVault(vault: NativeVault, seen: VaultMark | undefined, access: VaultAccess): NativeVault {
  const standing = compareMark(vault, seen, access)
  allowStanding(standing, access, 'read')
  const place = checkPlace(vault, access)
  vault.isTrusted = vault.isVerified && isConfirmed(seen, access) && standing.earlierKey === undefined
  const { gen, dek } = vault.parts.header
  const isNews = seen === undefined || gen > seen.gen || dek.commit !== seen.commit
  const isConfirmedNow = seen?.isUnconfirmed === true && isConfirming(access)
  if ((isNews || isConfirmedNow) && standing.behind === undefined) raiseMark(vault, access)
  if (seen === undefined) warnOfFirstSight(vault, access)
  if (place !== undefined) keepPlace(vault, access)
  return vault
}

/** Reads the vault's bytes. @throws {VaultError} NOT_FOUND, INPUT, UNSAFE, IO */
export function readVault(source: Pick<Store, 'read'>, path: string): Snapshot {
  const snapshot = source.read('vault', MAX_VAULT_BYTES)
  if (snapshot === undefined) throw new VaultError('NOT_FOUND', `no vault at "${path}"`, { hints: ['mcpvault init'] })
  return snapshot
}

/**
 * Reads and parses the vault. A tutorial program writes in place, so its file may be half-written at the moment of
 * reading: it counts as damaged only once it has kept still.
 *
 * @throws {VaultError} NOT_FOUND, DAMAGED, WRONG_KEY, INPUT, UNSAFE, IO
 */
export function readAndParse(
  source: Pick<Store, 'read'>,
  access: Pick<VaultAccess, 'store' | 'key' | 'warn'>,
): { readonly snapshot: Snapshot; readonly vault: NativeVault | TutorialVault } {
  const path = access.store.locate('vault')
  let snapshot = readVault(source, path)
  for (let attempt = 1; ; attempt++) {
    try {
      const original = undoLayout(snapshot.bytes)
      if (original !== undefined) access.warn(relaidBy(path))
      return { snapshot, vault: parseVault(original ?? snapshot.bytes, access.key) }
    } catch (error) {
      if (attempt === ATTEMPTS || !isDamage(error) || isNative(snapshot.bytes)) throw atPlace(error, path)
      pause(STILL_MS)
      const later = readVault(source, path)
      if (later.revision.id === snapshot.revision.id) throw atPlace(error, path)
      snapshot = later
    }
  }
}

function relaidBy(path: string): string {
  return `a program written from the tutorial has rewritten "${path}", which it cannot read: what it stored is lost, the vault is not; give it a vault of its own (mcpvault export --format aes-256-gcm)`
}

/** Names the file in a failure to open it: in a cron mail "the vault" says nothing. */
function atPlace(error: unknown, path: string): unknown {
  if (!(error instanceof VaultError) || isStaleKey(error)) return error
  const { code, hints, cause } = error
  const message = error.message.replace(/\bthe (?:vault|file)\b/, `the vault "${path}"`)
  return new VaultError(code, message, { hints, cause })
}

/** Opens bytes in whichever format they are. @throws {VaultError} DAMAGED, WRONG_KEY */
export function parseVault(bytes: Buffer, key: VaultKey | undefined): NativeVault | TutorialVault {
  return isNative(bytes) ? NativeVault.open(bytes, key) : new TutorialVault(bytes, key)
}

/** A native vault is a JSON array; everything else is held to be a tutorial vault, which says itself when it is none. */
export function isNative(bytes: Buffer): boolean {
  return bytes[0] === 0x5b
}

/** Tells whether a failure says that bytes are not what they should be. */
export function isDamage(error: unknown): boolean {
  return error instanceof VaultError && error.code === 'DAMAGED'
}

/** Waits without giving up the thread: nothing may be awaited under the lock. */
export function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
