import { cutTornTail } from '../log/append.js'
import { changeVault, runChange } from './change.js'
import { openVault } from './open.js'
import { missingRecords } from './outbox.js'
import type { VaultAccess } from './vault.js'

/** What a settling has done. */
export interface Settlement {
  /** How many records the vault had committed and the log did not hold. */
  readonly appended: number
  /** Whether the remains of an unfinished record were cut off. */
  readonly cut: boolean
  /** Whether an older or changed state was gone on from, which the log now says. */
  readonly accepted: boolean
}

/**
 * Brings the log up to what the vault has committed, as every change does first, and changes nothing else: values,
 * versions and policies stay. Only with `acceptRestore` is an older copy of the vault, or a changed log, gone on from.
 *
 * @throws {VaultError} as {@link changeVault}
 */
export async function settleVault(access: VaultAccess): Promise<Settlement> {
  const before = openVault(access).logAnchor
  const missing = missingRecords(before?.pending ?? [], access.store)
  await changeVault(access, 'log settle', () => undefined)
  const cut = await runChange(access, 'log settle', cutTornTail)
  const accepted = access.acceptRestore && openVault(access).logAnchor?.seq !== before?.seq
  return { appended: missing.length, cut, accepted }
}
