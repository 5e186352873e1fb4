import { readBackward } from '../log/read.js'
import type { LogRecord } from '../log/record.js'
import type { StorageHost } from '../storage/read-file.js'
import { missingRecords } from '../vault/outbox.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import { findAges, readLog, withStuck } from './ages.js'
import { DEFAULT_MAX_AGE_SECONDS, type DueState, dueState } from './due.js'

/** One credential's age against its limit. */
export interface AgedCredential extends DueState {
  readonly name: string
}

/** Finds the age of every credential, the most urgent first. */
export async function rankByUrgency(
  vault: Vault,
  access: VaultAccess,
  host: StorageHost,
): Promise<readonly AgedCredential[]> {
  const names = vault.names()
  const ages = await withStuck(findAges(vault, names, access), vault, { host, nowMs: access.now() })
  const aged = names.map((name): AgedCredential => {
    const age = ages.get(name) ?? { sinceMs: undefined }
    return { name, ...dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: access.now() }) }
  })
  return aged.sort(compareUrgency)
}

/** Orders by how much of its limit a credential has used up; what is not known comes first, since it counts as due. */
export function compareUrgency(a: AgedCredential, b: AgedCredential): number {
  return usedShare(b) - usedShare(a) || (a.name < b.name ? -1 : 1)
}

/** How much of its limit a credential has used up, 1 and more when it is due; undefined when that is not known. */
export function shareOf({ ageSeconds, maxAgeSeconds }: AgedCredential): number | undefined {
  if (ageSeconds === undefined) return undefined
  return maxAgeSeconds > 0 ? ageSeconds / maxAgeSeconds : 1
}

/** The credential that will be due next: of those that are not due yet, the one with the earliest date. */
export function findNextDue(ranked: readonly AgedCredential[]): AgedCredential | undefined {
  return ranked
    .filter(({ isDue }) => !isDue)
    .reduce<AgedCredential | undefined>(
      (first, one) => (first === undefined || (one.dueAtMs ?? 0) < (first.dueAtMs ?? 0) ? one : first),
      undefined,
    )
}

/** Reads the newest records of the log, newest first, with those that only the vault has yet. @throws {VaultError} DAMAGED */
export function recentRecords(vault: Vault, access: VaultAccess, most: number): readonly LogRecord[] {
  const records = [...missingRecords(vault.logAnchor?.pending ?? [], access.store)].reverse().slice(0, most)
  return readLog(access, (reader) => {
    if (reader === undefined || records.length === most) return records
    for (const record of readBackward(reader)) {
      if (records.push(record) === most) break
    }
    return records
  })
}

function usedShare(credential: AgedCredential): number {
  // A large number instead of Infinity: the difference of two of them is no number.
  return shareOf(credential) ?? Number.MAX_SAFE_INTEGER
}
