import { type LogReport, verifyLog } from '../log/verify.js'
import { readAndParse } from './open.js'
import { whenStill } from './outbox.js'
import type { Vault, VaultAccess } from './vault.js'

const ATTEMPTS = 20

/**
 * Checks the log against its hashes and against the vault's word on it.
 *
 * Nothing is locked, so a writer may come between the reading of the vault and that of the log: what does not hold is
 * believed once the vault still says the same after the log was read.
 *
 * @param vault as it was opened; undefined when there is none to ask.
 * @throws {VaultError} DAMAGED if the log cannot be read to its end; NOT_FOUND, DAMAGED, UNSAFE, INPUT, IO for the vault.
 */
export function checkLog(vault: Pick<Vault, 'logAnchor'> | undefined, access: VaultAccess): LogReport {
  let anchor = vault?.logAnchor
  for (let attempt = 1; ; attempt++) {
    const report = whenStill(access.store, () => readAgainst(anchor, access))
    if (report.problems.length === 0 || anchor === undefined || attempt === ATTEMPTS) return report
    const later = readAndParse(access.store, access).vault.logAnchor
    if (later?.seq === anchor.seq && later.head === anchor.head) return report
    anchor = later
  }
}

function readAgainst(anchor: Vault['logAnchor'], { store }: VaultAccess): LogReport {
  const reader = store.open('log')
  try {
    return verifyLog(reader, anchor)
  } finally {
    reader?.close()
  }
}
