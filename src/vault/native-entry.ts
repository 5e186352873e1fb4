/**
 * The entry lines of the native format: `["NAME",{…}],\n`, sorted by name, each parsed when it is asked for.
 *
 * @module
 */

import { damaged, isBinary, isCount, isObject, isTime, parseCanonical } from './canonical.js'
import { MAX_NAME_BYTES } from './name.js'
import { MAX_ENTRIES } from './vault.js'

/** One version of a value: `n` is the nonce, `c` ciphertext ‖ tag. */
export interface NativeVersion {
  readonly ver: number
  readonly stage: 'pending' | 'current' | 'previous'
  readonly n: string
  readonly c: string
  readonly created: string
  readonly since?: string
  readonly until?: string
  /** When a leak of its value was recorded. */
  readonly leaked?: string
  /** How the provider names the value; not secret. */
  readonly handle?: string
  /** Who made it, as a SPEC, or else the one that took its place: who is asked to revoke it, whatever the policy says by then. */
  readonly provider?: string
  /** Who revokes a previous version before it is wiped: nobody needs to, or the provider; missing, it is a person. */
  readonly revoke?: 'none' | 'provider'
  /** When the provider last failed to revoke it. */
  readonly revoke_failed?: string
}

/** What holds for one credential alone; never empty. Limits are in seconds, the texts are what `rotation/` reads. */
export interface NativePolicy {
  readonly max_age?: number
  readonly grace?: number
  readonly provider?: string
  readonly verify?: string
  readonly targets?: readonly string[]
  readonly on_rotate?: string
  /** The provider's last answer said that it honours idempotency keys. */
  readonly idempotent?: true
}

/** What stands behind a name. */
export interface NativeEntry {
  readonly versions: readonly NativeVersion[]
  readonly policy?: NativePolicy
  readonly note?: string
}

function rebuildEntry(value: unknown): readonly [string, NativeEntry] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined
  const [name, entry] = value as readonly unknown[]
  if (typeof name !== 'string' || !isNativeName(name) || !isObject(entry)) return undefined
  if (!Array.isArray(entry.versions) || entry.versions.length === 0) return undefined
  const versions = entry.versions.map(rebuildVersion)
  if (!versions.every((version) => version !== undefined)) return undefined
  const count = (stage: NativeVersion['stage']): number => versions.filter((one) => one.stage === stage).length
  if (count('current') !== 1 || count('pending') > 1) return undefined
  const { note } = entry
  if (note !== undefined && typeof note !== 'string') return undefined
  const policy = entry.policy === undefined ? undefined : rebuildPolicy(entry.policy)
  if (entry.policy !== undefined && policy === undefined) return undefined
  return [name, makeEntry(versions, { policy, note })]
}

/** Puts an entry's members in file order. */
export function makeEntry(
  versions: readonly NativeVersion[],
  { policy, note }: { readonly policy?: NativePolicy | undefined; readonly note?: string | undefined },
): NativeEntry {
  return { versions, ...(policy === undefined ? {} : { policy }), ...(note === undefined ? {} : { note }) }
}

function rebuildPolicy(value: unknown): NativePolicy | undefined {
  if (!isObject(value)) return undefined
  const { max_age, grace, provider, verify, targets, on_rotate, idempotent } = value
  const isValid =
    (max_age === undefined || isCount(max_age)) &&
    (grace === undefined || isCount(grace)) &&
    [provider, verify, on_rotate].every((text) => text === undefined || typeof text === 'string') &&
    (targets === undefined || isTextList(targets)) &&
    (idempotent === undefined || idempotent === true)
  return isValid ? makePolicy(value as NativePolicy) : undefined
}

/** Puts a policy's members in file order; undefined when there are none. */
export function makePolicy(policy: Undefinable<NativePolicy>): NativePolicy | undefined {
  const { max_age, grace, provider, verify, targets, on_rotate, idempotent } = policy
  const made: NativePolicy = {
    ...(max_age === undefined ? {} : { max_age }),
    ...(grace === undefined ? {} : { grace }),
    ...(provider === undefined ? {} : { provider }),
    ...(verify === undefined ? {} : { verify }),
    ...(targets === undefined || targets.length === 0 ? {} : { targets }),
    ...(on_rotate === undefined ? {} : { on_rotate }),
    ...(idempotent === undefined ? {} : { idempotent }),
  }
  return Object.keys(made).length === 0 ? undefined : made
}

/** The same members, each of which may be there and undefined. */
type Undefinable<T> = { readonly [Member in keyof T]?: T[Member] | undefined }

/** Tells whether a value is a list of texts, with one text at least. */
export function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === 'string')
}

/**
 * Tells whether the native format can hold a name. Half of a surrogate pair has no UTF-8, so two such names would be
 * sealed and sorted as one.
 */
export function isNativeName(name: string): boolean {
  return name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES
}

function rebuildVersion(value: unknown): NativeVersion | undefined {
  if (!isObject(value)) return undefined
  const { ver, stage, n, c, created, since, until, leaked, handle, provider, revoke, revoke_failed } = value
  if (!isCount(ver) || ver === 0 || !isStage(stage)) return undefined
  if (!isBinary(n, 12) || !isBinary(c) || !isTime(created)) return undefined
  if (![since, until, leaked, revoke_failed].every((time) => time === undefined || isTime(time))) return undefined
  if (![handle, provider].every((text) => text === undefined || typeof text === 'string')) return undefined
  if (revoke !== undefined && revoke !== 'none' && revoke !== 'provider') return undefined
  return makeVersion(value as unknown as NativeVersion)
}

function isStage(value: unknown): value is NativeVersion['stage'] {
  return value === 'current' || value === 'previous' || value === 'pending'
}

/** Puts a version's members in file order, leaving out those that are undefined. */
export function makeVersion(version: Undefinable<NativeVersion> & Sealed): NativeVersion {
  const { ver, stage, n, c, created, since, until, leaked, handle, provider, revoke, revoke_failed } = version
  return {
    ...{ ver, stage, n, c, created },
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(leaked === undefined ? {} : { leaked }),
    ...(handle === undefined ? {} : { handle }),
    ...(provider === undefined ? {} : { provider }),
    ...(revoke === undefined ? {} : { revoke }),
    ...(revoke_failed === undefined ? {} : { revoke_failed }),
  }
}

/** The members that every version has. */
type Sealed = Pick<NativeVersion, 'ver' | 'stage' | 'n' | 'c' | 'created'>

/** Writes an entry as its line, with `,\n`. */
export function formatEntry(name: string, entry: NativeEntry): Buffer {
  return Buffer.from(`${JSON.stringify([name, entry])},\n`)
}

/**
 * Parses one entry line, with its `,\n`.
 *
 * @throws {VaultError} DAMAGED
 */
export function parseEntry(line: Buffer): readonly [string, NativeEntry] {
  const isComplete = line.length > 2 && line[line.length - 2] === 0x2c && line[line.length - 1] === 0x0a
  const entry = isComplete ? parseCanonical(line.subarray(0, -2), rebuildEntry) : undefined
  if (entry === undefined)
    throw damaged('an entry is not in the form that this version writes; a newer mcpvault may have written it')
  return entry
}

/** Finds the line of one name without parsing the others; a line break cannot stand inside a JSON string. */
export function findEntryLine(entries: Buffer, name: string): Buffer | undefined {
  const needle = Buffer.from(`${JSON.stringify([name]).slice(0, -1)},`)
  for (let at = entries.indexOf(needle); at >= 0; at = entries.indexOf(needle, at + 1)) {
    if (at === 0 || entries[at - 1] === 0x0a) return entries.subarray(at, entries.indexOf(0x0a, at) + 1)
  }
  return undefined
}

/**
 * Cuts the entries into lines and names, checking order and number.
 *
 * @throws {VaultError} DAMAGED
 */
export function splitEntries(entries: Buffer): Map<string, Buffer> {
  const lines = new Map<string, Buffer>()
  let before: Buffer | undefined
  for (let start = 0; start < entries.length; ) {
    const end = entries.indexOf(0x0a, start) + 1
    if (end === 0) throw damaged('its last entry is cut')
    const line = entries.subarray(start, end)
    const name = entryName(line)
    const nameBytes = Buffer.from(name)
    if (before !== undefined && Buffer.compare(before, nameBytes) >= 0) throw damaged('its entries are out of order')
    if (lines.size >= MAX_ENTRIES) throw damaged('it has more than 100,000 entries')
    lines.set(name, line)
    before = nameBytes
    start = end
  }
  return lines
}

/** Reads the name at the start of an entry line: the JSON string between `[` and the first `"` that is not escaped. */
function entryName(line: Buffer): string {
  let end = 2
  while (end < line.length && line[end] !== 0x22) end += line[end] === 0x5c ? 2 : 1
  const name = line[0] === 0x5b && line[1] === 0x22 ? parseCanonical(line.subarray(1, end + 1), asName) : undefined
  if (name === undefined) throw damaged('an entry has no readable name')
  return name
}

function asName(value: unknown): string | undefined {
  return typeof value === 'string' && isNativeName(value) ? value : undefined
}
