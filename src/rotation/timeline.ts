import type { CredentialVersion, Revoker, Vault } from '../vault/vault.js'
import type { AgedCredential } from './overview.js'
import { isOver } from './retire.js'

/** Something that will have to be done about a credential, or has to be now. */
export interface Coming {
  readonly name: string
  /** In milliseconds since the epoch; what is to be done now has the present time. */
  readonly atMs: number
  readonly event: 'due' | 'grace ends' | 'stuck rotation'
  /** The version that it is about; undefined in the tutorial format. */
  readonly version: number | undefined
  /** In words, such as `version 1 is wiped`. */
  readonly what: string
}

const ENDS: Readonly<Record<Revoker, string>> = {
  person: 'is to be revoked by a person',
  provider: 'is revoked by its provider',
  none: 'is wiped',
}

/** Foresees what becomes due and which old values come to their end, the first first. */
export function foreseeEvents(vault: Vault, credentials: readonly AgedCredential[], nowMs: number): readonly Coming[] {
  const events = credentials.flatMap((credential): readonly Coming[] => {
    const { name } = credential
    const versions = vault.describe(name)?.versions ?? []
    const current = versions.find(({ stage }) => stage === 'current')?.version
    const ends = versions.filter(({ stage }) => stage === 'previous').map((version) => endOf(name, version, nowMs))
    return [...dueOf(credential, { version: current, nowMs }), ...ends]
  })
  return events.toSorted((a, b) => a.atMs - b.atMs || (a.name < b.name ? -1 : 1))
}

function dueOf(
  { name, isDue, reason, dueAtMs }: AgedCredential,
  { version, nowMs }: { readonly version: number | undefined; readonly nowMs: number },
): readonly Coming[] {
  if (reason === 'stuck rotation') {
    return [{ name, atMs: nowMs, event: reason, version, what: 'a rotation was interrupted' }]
  }
  // The version whose grace is over tells it more precisely.
  if (reason === 'old key not revoked' || (!isDue && dueAtMs === undefined)) return []
  const atMs = Math.max(nowMs, dueAtMs ?? nowMs)
  return [{ name, atMs, event: 'due', version, what: isDue ? `due (${reason})` : 'due by age' }]
}

function endOf(name: string, version: CredentialVersion, nowMs: number): Coming {
  const atMs = isOver(version, nowMs) ? nowMs : (version.untilMs ?? nowMs)
  const what = `version ${version.version} ${ENDS[version.revoker]}`
  return { name, atMs, event: 'grace ends', version: version.version, what }
}
