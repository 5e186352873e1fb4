/** Values that are lent to a program, and what is recorded when it shows them around. */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { changeVault } from '../vault/change.js'
import { unknownName } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import type { HeldCredential } from './holders.js'

/** Credentials that were loaded for a program. */
export interface Loan {
  /** Each once. */
  readonly held: readonly HeldCredential[]
  valueOf(name: string): Secret
}

/**
 * Loads credentials by name, all of them or none.
 *
 * @throws {VaultError} NOT_FOUND, naming all that are missing, and what loading throws
 */
export function borrow(names: readonly string[], vault: Vault, nowMs: number): Loan {
  const distinct = [...new Set(names)]
  refuseMissing(distinct, vault)
  const values = new Map(distinct.map((name) => [name, vault.load(name, { nowMs })]))
  return {
    held: distinct.map((name) => ({ name, version: currentVersion(vault, name) })),
    valueOf: (name) => values.get(name) as Secret,
  }
}

function refuseMissing(names: readonly string[], vault: Vault): void {
  const missing = names.filter((name) => vault.describe(name) === undefined)
  const [first] = missing
  if (first === undefined) return
  if (missing.length === 1) throw unknownName(first, vault.names())
  const list = missing.map((name) => `"${name}"`).join(', ')
  throw new VaultError('NOT_FOUND', `no credentials are named ${list}`, { hints: ['mcpvault list'] })
}

/**
 * Records that a program has printed values: whatever made it print them may print them elsewhere unmasked. Warns of each,
 * and of what could not be recorded.
 *
 * @param found Which of the held credentials, by position.
 */
export async function recordLeaks(found: ReadonlySet<number>, { held }: Loan, access: VaultAccess): Promise<void> {
  for (const { name, version } of held.filter((_, index) => found.has(index))) {
    const what = `the program printed the value of "${name}", which was masked`
    try {
      if (version === undefined || currentVersion(openVault(access), name) !== version) access.warn(what)
      else {
        await changeVault(access, 'exec', (draft) => draft.markLeaked(name, { reason: 'masked in the output of exec' }))
        access.warn(`${what}: it counts as leaked, and is due until it is rotated`)
      }
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      access.warn(`${what}; that it has leaked could not be recorded: ${error.message}`)
    }
  }
}

function currentVersion(vault: Vault, name: string): number | undefined {
  return vault.describe(name)?.versions.find(({ stage }) => stage === 'current')?.version
}
