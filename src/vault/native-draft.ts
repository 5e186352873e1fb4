import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { clampTime, formatUtc } from '../timestamp.js'
import { type ImportedValue, type ImportOptions, type ImportStep, planImport, refuseConflicts } from './import.js'
import { checkNewName, existsAlready, isTaken, shellWord, unknownName } from './name.js'
import { damaged } from './canonical.js'
import {
  formatEntry,
  makeEntry,
  makePolicy,
  type NativeEntry,
  type NativeVersion,
  parseEntry,
  splitEntries,
} from './native-entry.js'
import { joinNative, type NativeHeader } from './native-format.js'
import { type DataKeys, macOf, type RandomBytes, sealValue, valueContext } from './native-keys.js'
import type { NativeVault } from './native-vault.js'
import {
  DEFAULT_GRACE_SECONDS,
  type Draft,
  type DraftOptions,
  type GraceOptions,
  type LogEvent,
  MAX_ENTRIES,
  MAX_VALUE_BYTES,
  type Policy,
  type RenameOptions,
  type RotatedVersion,
} from './vault.js'

/** How many values one data key may encrypt: SP 800-38D section 8.3 bounds random nonces at 2^32. */
const MAX_ENCRYPTIONS = 2 ** 32

/** A native vault being changed. Lines of untouched entries are kept byte for byte. */
export class NativeDraft implements Draft {
  readonly format = 'native'
  readonly events: LogEvent[] = []
  /** Set when a value was taken out for good, so that the kept previous generation must go too. */
  dropsValues = false
  /** Names whose entries were written anew, some of them removed again since. */
  readonly changed = new Set<string>()
  readonly #vault: NativeVault
  readonly #keys: DataKeys
  readonly #lines: Map<string, Buffer>
  readonly #nowText: string
  readonly #randomBytes: RandomBytes
  #encryptions = 0

  constructor(
    vault: NativeVault,
    keys: DataKeys,
    options: { readonly nowMs: number; readonly randomBytes: RandomBytes },
  ) {
    this.#vault = vault
    this.#keys = keys
    this.#lines = splitEntries(vault.parts.entries)
    this.#nowText = formatUtc(options.nowMs)
    this.#randomBytes = options.randomBytes
  }

  names(): readonly string[] {
    return [...this.#lines.keys()]
  }

  has(name: string): boolean {
    return this.#lines.has(name)
  }

  store(name: string, value: Secret, options: DraftOptions & { readonly note?: string | undefined }): RotatedVersion {
    checkNewName(name)
    if (this.has(name)) throw existsAlready(name)
    if (this.#lines.size >= MAX_ENTRIES)
      throw new VaultError('INPUT', 'cannot store: the vault holds 100,000 credentials, its limit')
    const version = this.#seal(name, value, { ver: 1, since: this.#nowText })
    this.#put(name, makeEntry([version], { note: options.note }))
    this.#log('created', name, { version: 1, reason: options.reason })
    return { version: 1, previous: undefined, previousUntilMs: undefined, retired: undefined }
  }

  rotate(name: string, value: Secret, options: GraceOptions): RotatedVersion {
    const entry = this.#entry(name)
    if (this.#holds(name, value)) {
      throw new VaultError('INPUT', `cannot rotate "${name}": the new value is the current one`, {
        hints: ['nothing was changed; make a new key at the provider first'],
      })
    }
    return this.#promote(name, entry, { value, since: this.#nowText, action: 'rotated', ...options })
  }

  rollback(name: string, options: GraceOptions & { readonly to?: number | undefined }): RotatedVersion {
    const entry = this.#entry(name)
    const target = entry.versions.find((version) =>
      options.to === undefined ? version.stage === 'previous' : version.ver === options.to,
    )
    if (target === undefined || target.stage === 'current') {
      const what = target ? `version ${target.ver} is the current one` : 'that version was not kept'
      throw new VaultError('NOT_FOUND', `cannot roll back "${name}": ${what}`, {
        hints: [`mcpvault history ${shellWord(name)}`],
      })
    }
    const value = this.#vault.openVersion(name, target)
    // The target's value lives on under a new number, so its old number is not a retirement.
    const others = entry.versions.filter((version) => version !== target)
    try {
      const from = { ...entry, versions: others }
      const { since, leaked } = target
      return this.#promote(name, from, { value, since, leaked, action: 'rolled-back', ...options })
    } finally {
      value.wipe()
    }
  }

  remove(name: string, options: DraftOptions): void {
    const version = this.#current(this.#entry(name)).ver
    this.#lines.delete(name)
    this.dropsValues = true
    this.#log('removed', name, { version, reason: options.reason })
  }

  setPolicy(name: string, policy: Policy | undefined): void {
    const { versions, note, policy: before } = this.#entry(name)
    const changed = policy && makePolicy(policy.maxAgeSeconds ?? before?.max_age, policy.graceSeconds ?? before?.grace)
    this.#put(name, makeEntry(versions, { policy: changed, note }))
  }

  markLeaked(name: string, { reason }: DraftOptions): number {
    const entry = this.#entry(name)
    const current = this.#current(entry)
    // The first date counts: it is how long the value has been open to others.
    if (current.leaked !== undefined) return Date.parse(current.leaked)
    const marked: NativeVersion = { ...current, leaked: this.#nowText }
    const versions = entry.versions.map((version) => (version === current ? marked : version))
    this.#put(name, { ...entry, versions })
    this.#log('leaked', name, { version: current.ver, reason })
    return Date.parse(this.#nowText)
  }

  /** The name is a part of what each value is bound to, so every kept version is sealed anew. */
  rename(name: string, { to, reason }: RenameOptions): void {
    const entry = this.#entry(name)
    checkNewName(to)
    if (this.has(to)) throw isTaken(name, to)
    const versions = entry.versions.map((version) =>
      this.#vault.openVersion(name, version).use((value) => ({ ...version, ...this.#encrypt(to, value, version.ver) })),
    )
    this.#lines.delete(name)
    this.#put(to, { ...entry, versions })
    this.#log('renamed', to, { from: name, version: this.#current(entry).ver, reason })
  }

  /** Adds a credential with a known date, without a record of its own (`upgrade` writes one for all). */
  adopt(name: string, value: Secret, sinceMs: number | undefined): void {
    const since = sinceMs === undefined ? undefined : formatUtc(sinceMs)
    this.#put(name, { versions: [this.#seal(name, value, { ver: 1, since })] })
  }

  /** One record stands for all: a record for each would not fit into the header. */
  importAll(values: readonly ImportedValue[], options: ImportOptions): readonly ImportStep[] {
    const steps = planImport(
      values,
      { has: (name) => this.has(name), holds: this.#holds.bind(this) },
      options.onConflict,
    )
    refuseConflicts(steps)
    const counts = { stored: 0, rotated: 0, retired: 0 }
    for (const [index, { name, value, sinceMs }] of values.entries()) {
      const fate = steps[index]?.fate
      const since = sinceMs ?? Date.parse(this.#nowText)
      if (fate === 'stored') this.adopt(name, value, since)
      if (fate === 'rotated') {
        const { retired } = this.#advance(name, this.#entry(name), { value, since: formatUtc(since) })
        if (retired !== undefined) counts.retired += 1
      }
      if (fate === 'stored' || fate === 'rotated') counts[fate] += 1
      options.onProgress?.(index + 1, values.length)
    }
    if (this.#lines.size > MAX_ENTRIES)
      throw new VaultError('INPUT', 'cannot import: the vault would hold more than 100,000 credentials, its limit')
    const base = { credential: null, rotated_at: this.#nowText }
    if (counts.retired > 0) this.events.push({ ...base, action: 'retired', count: counts.retired })
    const count = counts.stored + counts.rotated
    if (count > 0) this.events.push({ ...base, action: 'imported', count, reason: options.reason })
    return steps
  }

  #holds(name: string, value: Secret): boolean {
    const current = this.#current(this.#entry(name))
    return this.#vault.openVersion(name, current).use((bytes) => bytes.equals(value.reveal()))
  }

  /** Seals the changed file under a new generation. */
  seal(header: NativeHeader): Buffer {
    const count = header.dek.count + this.#encryptions
    if (count > MAX_ENCRYPTIONS)
      throw new VaultError('INPUT', 'cannot write the vault: its data key has encrypted 2^32 values, its limit')
    const sorted = [...this.#lines].map(([name, line]) => ({ key: Buffer.from(name), line }))
    sorted.sort((a, b) => Buffer.compare(a.key, b.key))
    const lines = sorted.map(({ line }) => line)
    return joinNative({ ...header, dek: { ...header.dek, count } }, lines, (input) => macOf(this.#keys, input))
  }

  /** Makes `value` the current version; the current becomes the previous one, and an older previous one goes. */
  #promote(name: string, entry: NativeEntry, options: PromoteOptions): RotatedVersion {
    const rotated = this.#advance(name, entry, options)
    if (rotated.retired !== undefined) this.#log('retired', name, { version: rotated.retired })
    this.#log(options.action, name, { version: rotated.version, reason: options.reason })
    return rotated
  }

  #advance(
    name: string,
    entry: NativeEntry,
    options: Pick<PromoteOptions, 'value' | 'since' | 'leaked' | 'graceSeconds'>,
  ): RotatedVersion & { readonly version: number } {
    const current = this.#current(entry)
    const retired = entry.versions.find((version) => version.stage === 'previous')
    const ver = Math.max(...entry.versions.map((version) => version.ver)) + 1
    const graceSeconds = options.graceSeconds ?? entry.policy?.grace ?? DEFAULT_GRACE_SECONDS
    const untilMs = clampTime(Date.parse(this.#nowText) + graceSeconds * 1000)
    const { until: _until, leaked, ...kept } = current
    const previous: NativeVersion = { ...kept, stage: 'previous', until: formatUtc(untilMs), ...leakedAt(leaked) }
    const next = { ...this.#seal(name, options.value, { ver, since: options.since }), ...leakedAt(options.leaked) }
    this.#put(name, { ...entry, versions: [next, previous] })
    if (retired !== undefined) this.dropsValues = true
    return { version: ver, previous: current.ver, previousUntilMs: untilMs, retired: retired?.ver }
  }

  #seal(
    name: string,
    value: Secret,
    options: { readonly ver: number; readonly since: string | undefined },
  ): NativeVersion {
    if (value.reveal().length > MAX_VALUE_BYTES)
      throw new VaultError('INPUT', `cannot keep the value of "${name}": it is over 1 MiB`)
    const { n, c } = this.#encrypt(name, value.reveal(), options.ver)
    const since = options.since === undefined ? {} : { since: options.since }
    return { ver: options.ver, stage: 'current', n, c, created: this.#nowText, ...since }
  }

  #encrypt(name: string, value: Buffer, ver: number): Pick<NativeVersion, 'n' | 'c'> {
    this.#encryptions += 1
    const aad = valueContext(this.#vault.parts.header, name, ver)
    return sealValue(this.#keys, value, { aad, randomBytes: this.#randomBytes })
  }

  #put(name: string, entry: NativeEntry): void {
    this.changed.add(name)
    this.#lines.set(name, formatEntry(name, entry))
  }

  #entry(name: string): NativeEntry {
    const line = this.#lines.get(name)
    if (line === undefined) throw unknownName(name, this.names())
    return parseEntry(line)[1]
  }

  #current(entry: NativeEntry): NativeVersion {
    const current = entry.versions.find((version) => version.stage === 'current')
    if (current === undefined) throw damaged('a credential has no current version')
    return current
  }

  #log(
    action: LogEvent['action'],
    name: string,
    { version, ...fields }: { readonly version: number; readonly from?: string; readonly reason?: string | undefined },
  ): void {
    const from = fields.from === undefined ? {} : { from: fields.from }
    const reason = fields.reason === undefined ? {} : { reason: fields.reason }
    this.events.push({ credential: name, rotated_at: this.#nowText, action, ...from, version, ...reason })
  }
}

interface PromoteOptions extends GraceOptions {
  readonly value: Secret
  readonly since: string | undefined
  /** A value that has leaked does not become secret again by coming back. */
  readonly leaked?: string | undefined
  readonly action: 'rotated' | 'rolled-back'
}

function leakedAt(leaked: string | undefined): Pick<NativeVersion, 'leaked'> {
  return leaked === undefined ? {} : { leaked }
}
