import { readBackward } from '../log/read.js'
import type { StorageHost } from '../storage/read-file.js'
import type { Reader } from '../storage/store.js'
import { parseTimestamp } from '../timestamp.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import { type DueQuestion, lastRotations } from './due.js'

/** Since when a value counts, and its own limit if it has one; part of what `dueState` is asked. */
export type Age = Pick<DueQuestion, 'sinceMs' | 'isNaive' | 'isUnreadable' | 'leakedMs' | 'isStuck' | 'unrevokedMs'> & {
  readonly maxAgeSeconds?: number
}

const UNKNOWN: Age = { sinceMs: undefined }

/**
 * Finds the age of each name. A native vault knows it by itself; for a tutorial vault the log is read backwards until
 * every name is found.
 */
export function findAges(vault: Vault, names: readonly string[], access: VaultAccess): ReadonlyMap<string, Age> {
  if (vault.format === 'native') {
    return new Map(names.map((name) => [name, nativeAge(vault, name)]))
  }
  return readLog(access, (reader) => {
    const found = lastRotations(reader, names, access.zone)
    return new Map(
      names.map((name) => {
        const last = found.get(name)
        if (last === undefined) return [name, UNKNOWN]
        if (last.at === undefined) return [name, { sinceMs: undefined, isUnreadable: true }]
        return [name, { sinceMs: last.at.epochMs, isNaive: last.at.isNaive }]
      }),
    )
  })
}

function nativeAge(vault: Vault, name: string): Age {
  const credential = vault.describe(name)
  const current = credential?.versions.find((version) => version.stage === 'current')
  const maxAgeSeconds = credential?.policy?.maxAgeSeconds
  const unrevoked = credential?.versions.filter(({ stage, revoker }) => stage === 'previous' && revoker === 'person')
  const unrevokedMs = unrevoked?.reduce<number | undefined>(
    (first, { untilMs }) => (first === undefined || (untilMs ?? first) < first ? untilMs : first),
    undefined,
  )
  const age = { sinceMs: current?.sinceMs, leakedMs: current?.leakedMs, unrevokedMs }
  // Left out where it has none, so that it can be spread over a limit for all.
  return maxAgeSeconds === undefined ? age : { ...age, maxAgeSeconds }
}

/** Marks the credentials of which a rotation was interrupted; one that is under way counts as none. */
export async function withStuck(
  ages: ReadonlyMap<string, Age>,
  vault: Pick<Vault, 'rotations'>,
  judging: { readonly host: StorageHost; readonly nowMs: number },
): Promise<ReadonlyMap<string, Age>> {
  if (vault.rotations.length === 0) return ages
  // Whether a process still runs is asked by hardly any command.
  const { isStuck } = await import('./stuck.js')
  const marked = new Map(ages)
  for (const rotation of vault.rotations) {
    const age = ages.get(rotation.name)
    if (age !== undefined && isStuck(rotation, judging)) {
      marked.set(rotation.name, { ...age, isStuck: true })
    }
  }
  return marked
}

/** Reads when each name's value was last changed, in milliseconds since the epoch; unknown dates are missing. */
export function readDates(
  reader: Reader,
  names: readonly string[],
  zone: string | undefined,
): ReadonlyMap<string, number> {
  const dates = new Map<string, number>()
  for (const [name, last] of lastRotations(reader, names, zone)) {
    if (last.at !== undefined) dates.set(name, last.at.epochMs)
  }
  return dates
}

/** When a program that is not mcpvault last wrote the log, in milliseconds since the epoch. */
export function lastForeignWrite(access: VaultAccess): number | undefined {
  return readLog(access, (reader) => {
    if (reader === undefined) return undefined
    for (const record of readBackward(reader)) {
      if (record.seq === undefined) return parseTimestamp(record.rotated_at, access.zone)?.epochMs
    }
    return undefined
  })
}

/** Opens the log for the time that `read` runs; it gets undefined when there is none. */
export function readLog<T>(access: Pick<VaultAccess, 'store'>, read: (reader: Reader | undefined) => T): T {
  const reader = access.store.open('log')
  try {
    return read(reader)
  } finally {
    reader?.close()
  }
}
