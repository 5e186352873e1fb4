/** What a rotation does to the versions of an entry. Pure: entries and times in, entries out. */

import { clampTime, formatUtc } from '../timestamp.js'
import { damaged } from './canonical.js'
import { makePolicy, makeVersion, type NativeEntry, type NativePolicy, type NativeVersion } from './native-entry.js'
import { DEFAULT_GRACE_SECONDS, type PolicyChange, type Revoker } from './vault.js'

/** An entry after another version has become its current one. */
export interface Advanced {
  readonly entry: NativeEntry
  readonly previous: number
  readonly previousUntilMs: number
  /** Older previous versions that went. */
  readonly retired: readonly number[]
}

/** How a version becomes the current one. */
export interface AdvanceOptions {
  /** The time of the change, as the format writes it. */
  readonly nowText: string
  readonly graceSeconds?: number | undefined
  readonly revoker?: Revoker | undefined
}

/**
 * Makes `next` the current version of an entry; the current becomes the previous one. An older previous version goes,
 * unless the provider has still to revoke it: then nobody may forget its handle.
 */
export function advanceEntry(entry: NativeEntry, next: NativeVersion, options: AdvanceOptions): Advanced {
  const current = currentOf(entry)
  const graceSeconds = options.graceSeconds ?? entry.policy?.grace ?? DEFAULT_GRACE_SECONDS
  const untilMs = clampTime(Date.parse(options.nowText) + graceSeconds * 1000)
  const revoke = revokeMember(current, options.revoker ?? 'person')
  const provider = current.provider ?? (revoke === 'provider' ? entry.policy?.provider : undefined)
  const previous = makeVersion({ ...current, stage: 'previous', until: formatUtc(untilMs), provider, revoke })
  const older = entry.versions.filter(({ stage }) => stage === 'previous')
  const kept = older.filter((version) => version.revoke === 'provider')
  return {
    entry: { ...entry, versions: [makeVersion({ ...next, stage: 'current' }), previous, ...kept] },
    previous: current.ver,
    previousUntilMs: untilMs,
    retired: older.filter((version) => version.revoke !== 'provider').map(({ ver }) => ver),
  }
}

/** What a provider has made is for that one to revoke, whoever made the next one. */
function revokeMember({ handle, provider }: NativeVersion, revoker: Revoker): NativeVersion['revoke'] {
  if (handle !== undefined || provider !== undefined) return 'provider'
  return revoker === 'person' ? undefined : revoker
}

/** Finds the current version. @throws {VaultError} DAMAGED */
export function currentOf(entry: NativeEntry): NativeVersion {
  const current = entry.versions.find((version) => version.stage === 'current')
  if (current === undefined) throw damaged('a credential has no current version')
  return current
}

/** Gives the number of the next version, one higher than all that are kept. */
export function nextVersion(entry: NativeEntry): number {
  return Math.max(...entry.versions.map((version) => version.ver)) + 1
}

/** What stands in every line that has a version which needs nobody to revoke it; a string cannot hold it unescaped. */
const UNREVOKED = Buffer.from('"revoke":"none"')

/** Finds the previous versions of an entry line whose grace is over and that nobody needs to revoke. */
export function mayHaveExpired(line: Buffer): boolean {
  return line.includes(UNREVOKED)
}

/** Tells whether a version is to go by itself: previous, past its grace, and with nobody to revoke it. */
export function isExpired(version: NativeVersion, nowMs: number): boolean {
  return version.revoke === 'none' && version.until !== undefined && Date.parse(version.until) <= nowMs
}

/** Puts what a change names in the place of what a policy says; another provider is not known to be idempotent. */
export function changePolicy(before: NativePolicy | undefined, change: PolicyChange): NativePolicy | undefined {
  const hasOther = change.provider !== undefined && change.provider !== before?.provider
  return makePolicy({
    max_age: pick(change.maxAgeSeconds, before?.max_age),
    grace: pick(change.graceSeconds, before?.grace),
    provider: pick(change.provider, before?.provider),
    verify: pick(change.verify, before?.verify),
    targets: pick(change.targets, before?.targets),
    on_rotate: pick(change.onRotate, before?.on_rotate),
    idempotent: hasOther ? undefined : before?.idempotent,
  })
}

function pick<T>(changed: T | null | undefined, before: T | undefined): T | undefined {
  return changed === undefined ? before : (changed ?? undefined)
}
