/**
 * Whose vault it is. An age recipient is public, so anybody can make a vault that opens with its identity: such a vault is
 * held against what this machine has seen in its place, and runs no programs before the user has confirmed it. A raw key
 * or a passphrase opens only what its holders have made.
 */

import { sha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import type { VaultMark } from './marks.js'
import type { NativeVault } from './native-vault.js'
import type { Vault, VaultAccess } from './vault.js'

/** Whether opening a vault with this key, or the user's word, shows that it is the right one. */
export function isConfirming({ key, trustNewKey }: VaultAccess): boolean {
  return key?.type !== 'age' || trustNewKey === true
}

/** Whether a vault that this machine has seen so (undefined: never) may run programs. */
export function isConfirmed(seen: VaultMark | undefined, access: VaultAccess): boolean {
  return isConfirming(access) || (seen !== undefined && seen.isUnconfirmed !== true)
}

/**
 * Refuses to go on where a program would be run for a vault that nobody has confirmed on this machine.
 *
 * @param what The action, as "run the probe of x".
 * @throws {VaultError} UNSAFE
 */
export function requireTrust(vault: Vault, what: string): void {
  if (vault.isTrusted) return
  throw new VaultError('UNSAFE', `cannot ${what}: nobody has confirmed this vault on this machine yet`, {
    hints: [
      'whoever knows your age recipient could have made it: compare the fingerprint with a colleague: mcpvault key list',
      'then confirm it once: mcpvault key list --trust-new-key',
    ],
  })
}

/**
 * Refuses a vault that was opened with an age identity and is not the one that this machine has seen in its place.
 *
 * Gives whether the place is to be written down: undefined where it is known, or need not be.
 *
 * @throws {VaultError} UNSAFE; DAMAGED if the mark of the place is.
 */
export function checkPlace(vault: NativeVault, access: VaultAccess): 'new' | undefined {
  if (access.key?.type !== 'age') return undefined
  const kept = seenInPlace(access)
  if (kept === vault.id) return undefined
  if (kept === undefined || access.trustNewKey) return 'new'
  throw new VaultError(
    'UNSAFE',
    `the vault "${access.store.locate('vault')}" is not the one this machine has seen there`,
    {
      hints: [
        'somebody may have put a vault of their own in its place; compare it with a backup',
        'if you know that it is right: compare "mcpvault key list" with a colleague, then add --trust-new-key once',
      ],
    },
  )
}

/** Keeps which vault lies in its place. What was kept and is damaged is told of and stays: the vault itself is sound. */
export function keepPlace(vault: NativeVault, access: VaultAccess): void {
  try {
    access.store.marks.raise(placeOf(access), (stored) => ({ ...stored, place: { vault: vault.id } }))
  } catch (error) {
    if (!(error instanceof VaultError) || error.code !== 'DAMAGED') throw error
    access.warn(`${error.message}: mcpvault doctor`)
  }
}

/** Says once that a vault is seen for the first time that anybody could have made. */
export function warnOfFirstSight({ parts, isVerified }: NativeVault, access: VaultAccess): void {
  if (isConfirming(access) || !isVerified) return
  const { commit, id } = parts.header.dek
  access.warn(
    `this machine sees the vault "${access.store.locate('vault')}" for the first time, and whoever knows your age recipient could have made it: compare its fingerprint ${fingerprint(commit)} (data key ${id}) with a colleague's "mcpvault key list", then confirm it with --trust-new-key`,
  )
}

/** Names a data key so that two people can compare it: 16 hex digits in fours. */
export function fingerprint(commit: string): string {
  const digits = sha256('mcpvault/fingerprint', Buffer.from(commit, 'base64url')).toString('hex').slice(0, 16)
  return digits.replace(/(.{4})(?=.)/g, '$1-')
}

/** The id of the native vault that this machine has seen in this place; undefined if it has seen none. */
export function seenInPlace(access: Pick<VaultAccess, 'store'>): string | undefined {
  return access.store.marks.read(placeOf(access))?.place?.vault
}

/** The name of the mark of a place. */
export function placeOf({ store }: Pick<VaultAccess, 'store'>): string {
  return `place-${sha256('mcpvault/place', store.locate('vault')).toString('base64url')}`
}
