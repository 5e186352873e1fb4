import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { formatUtc } from '../timestamp.js'
import { type ImportedValue, type ImportOptions, type ImportStep, planImport, refuseConflicts } from './import.js'
import { checkNewName, existsAlready, isTaken, unknownName } from './name.js'
import {
  formatEntry,
  makeEntry,
  makeVersion,
  type NativeEntry,
  type NativeVersion,
  parseEntry,
  splitEntries,
} from './native-entry.js'
import { joinNative, type KeySlot, MAX_CONFIGS, type NativeHeader } from './native-format.js'
import { type DataKeys, macOf, type RandomBytes, sealValue, valueContext } from './native-keys.js'
import { compareNames, toJournal } from './native-journal.js'
import { type EntryDesk, NativeStages } from './native-staged.js'
import type { NativeVault } from './native-vault.js'
import type { Resealing } from './reseal.js'
import { advanceEntry, changePolicy, currentOf, isExpired, mayHaveExpired, nextVersion } from './native-versions.js'
import {
  type Draft,
  type DraftOptions,
  type GraceOptions,
  type LogEvent,
  MAX_ENTRIES,
  MAX_VALUE_BYTES,
  type PolicyChange,
  type RenameOptions,
  type RollbackOptions,
  type RotatedVersion,
} from './vault.js'
import { shellWord } from '../shell-word.js'

/** How many values one data key may encrypt: SP 800-38D section 8.3 bounds random nonces at 2^32. */
const MAX_ENCRYPTIONS = 2 ** 32

/** A native vault being changed. Lines of untouched entries are kept byte for byte. */
export class NativeDraft implements Draft {
  readonly format = 'native'
  readonly events: LogEvent[] = []
  /** Set when a value was taken out for good, so that the kept previous generation must go too. */
  dropsValues = false
  /** Names whose entries were written anew, some of them removed again since, or whose rotation has moved on. */
  readonly changed = new Set<string>()
  readonly staged: NativeStages
  /** The key slots to write, where they change under the same data key. */
  slots: readonly KeySlot[] | undefined
  /** Set when the vault is to be sealed under another data key. */
  resealing: Resealing | undefined
  readonly #vault: NativeVault
  readonly #keys: DataKeys
  readonly #lines: Map<string, Buffer>
  readonly #nowText: string
  readonly #randomBytes: RandomBytes
  #encryptions = 0
  #configs: readonly string[] | undefined

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
    this.staged = new NativeStages(this.#desk(options.nowMs), vault.rotations)
  }

  /** The header and the keys that the vault was opened with. */
  get opened(): { readonly header: NativeHeader; readonly keys: DataKeys } {
    return { header: this.#vault.parts.header, keys: this.#keys }
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
    this.staged.refuseDuring(name, 'rotate')
    if (this.holds(name, value)) {
      throw new VaultError('INPUT', `cannot rotate "${name}": the new value is the current one`, {
        hints: ['nothing was changed; make a new key at the provider first'],
      })
    }
    return this.#promote(name, entry, { value, since: this.#nowText, action: 'rotated', ...options })
  }

  rollback(name: string, options: RollbackOptions): RotatedVersion {
    const entry = this.#entry(name)
    // What is through but for its targets is taken back with them.
    this.staged.refuseDuring(name, 'roll back', { allowed: 'targets' })
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
      const { since } = target
      const back = this.#promote(name, from, { value, since, carried: target, action: 'rolled-back', ...options })
      const base = options.then ?? this.staged.find(name)
      if (base !== undefined) {
        const plan = options.then?.plan ?? { ...base.plan, targets: [], onRotate: undefined }
        const startedMs = Date.parse(this.#nowText)
        this.staged.goOn({ ...base, plan, version: back.version, stage: 'targets', startedMs })
      }
      return back
    } finally {
      value.wipe()
    }
  }

  remove(name: string, options: DraftOptions): void {
    const version = currentOf(this.#entry(name)).ver
    this.staged.refuseDuring(name, 'remove')
    this.#lines.delete(name)
    this.dropsValues = true
    this.#log('removed', name, { version, reason: options.reason })
  }

  setPolicy(name: string, change: PolicyChange | undefined): void {
    const { versions, note, policy: before } = this.#entry(name)
    const changed = change && changePolicy(before, change)
    this.#put(name, makeEntry(versions, { policy: changed, note }))
  }

  logAborted(name: string, { reason }: DraftOptions): void {
    this.#log('aborted', name, { version: nextVersion(this.#entry(name)), reason })
  }

  markLeaked(name: string, { reason }: DraftOptions): number {
    const entry = this.#entry(name)
    const current = currentOf(entry)
    // The first date counts: it is how long the value has been open to others.
    if (current.leaked !== undefined) return Date.parse(current.leaked)
    const marked = makeVersion({ ...current, leaked: this.#nowText })
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
    this.staged.refuseDuring(name, 'rename')
    const versions = entry.versions.map((version) =>
      this.#vault.openVersion(name, version).use((value) => ({ ...version, ...this.#encrypt(to, value, version.ver) })),
    )
    this.#lines.delete(name)
    this.#put(to, { ...entry, versions })
    this.#log('renamed', to, { from: name, version: currentOf(entry).ver, reason })
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
      { has: (name) => this.has(name), holds: this.holds.bind(this) },
      options.onConflict,
    )
    refuseConflicts(steps)
    const counts = { stored: 0, rotated: 0, retired: 0 }
    for (const [index, { name, value, sinceMs }] of values.entries()) {
      const fate = steps[index]?.fate
      const since = sinceMs ?? Date.parse(this.#nowText)
      if (fate === 'stored') this.adopt(name, value, since)
      if (fate === 'rotated') {
        this.staged.refuseDuring(name, 'import')
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

  holds(name: string, value: Secret): boolean {
    const current = currentOf(this.#entry(name))
    return this.#vault.openVersion(name, current).use((bytes) => bytes.equals(value.reveal()))
  }

  approveConfig(digest: string, replaced?: string): void {
    const kept = this.#vault.approvedConfigs.filter((one) => one !== replaced && one !== digest)
    this.#configs = [digest, ...kept].slice(0, MAX_CONFIGS)
  }

  /** Whether there is anything to write. */
  get isChanged(): boolean {
    return this.changed.size > 0 || this.#configs !== undefined
  }

  /** Seals the changed file under a new generation. */
  seal(header: NativeHeader): Buffer {
    const count = header.dek.count + this.#encryptions
    if (count > MAX_ENCRYPTIONS && this.resealing === undefined)
      throw new VaultError('INPUT', 'cannot write the vault: its data key has encrypted 2^32 values, its limit')
    const sorted = [...this.#lines].map(([name, line]) => ({ key: Buffer.from(name), line }))
    sorted.sort((a, b) => Buffer.compare(a.key, b.key))
    const lines = sorted.map(({ line }) => line)
    const journal = this.staged.rotations.map(toJournal).sort(compareNames)
    const dek = { ...header.dek, count }
    const configs = this.#configs ?? header.configs
    const next = { ...header, keys: this.slots ?? header.keys, dek, journal, configs }
    if (this.resealing !== undefined) return this.resealing.seal(next, lines)
    return joinNative(next, lines, (input) => macOf(this.#keys, input))
  }

  /** Wipes the previous versions whose grace is over and that nobody needs to revoke. */
  retireExpired(): void {
    const nowMs = Date.parse(this.#nowText)
    for (const [name, line] of this.#lines) {
      if (!mayHaveExpired(line)) continue
      for (const version of parseEntry(line)[1].versions) {
        if (isExpired(version, nowMs)) this.staged.retire(name, version.ver, {})
      }
    }
  }

  /** Makes `value` the current version; the current becomes the previous one, and an older previous one goes. */
  #promote(name: string, entry: NativeEntry, options: PromoteOptions): RotatedVersion & { readonly version: number } {
    const rotated = this.#advance(name, entry, options)
    if (rotated.retired !== undefined) this.#log('retired', name, { version: rotated.retired })
    this.#log(options.action, name, { version: rotated.version, reason: options.reason })
    return rotated
  }

  #advance(
    name: string,
    entry: NativeEntry,
    options: Omit<PromoteOptions, 'action'>,
  ): RotatedVersion & { readonly version: number } {
    const ver = nextVersion(entry)
    const { leaked, handle, provider } = options.carried ?? {}
    const sealed = this.#seal(name, options.value, { ver, since: options.since })
    const next = makeVersion({ ...sealed, leaked, handle, provider })
    const advanced = advanceEntry(entry, next, { ...options, nowText: this.#nowText })
    this.#put(name, advanced.entry)
    if (advanced.retired.length > 0) this.dropsValues = true
    const { previous, previousUntilMs, retired } = advanced
    return { version: ver, previous, previousUntilMs, retired: retired[0] }
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

  #desk(nowMs: number): EntryDesk {
    return {
      nowMs,
      entry: (name) => this.#entry(name),
      put: (name, entry) => this.#put(name, entry),
      seal: (name, value, ver) => this.#seal(name, value, { ver, since: this.#nowText }),
      findHolder: (name, value) =>
        this.#entry(name).versions.find((version) =>
          this.#vault.openVersion(name, version).use((bytes) => bytes.equals(value.reveal())),
        ),
      log: (action, name, fields) => this.#log(action, name, fields),
      dropValue: () => {
        this.dropsValues = true
      },
      touch: (name) => void this.changed.add(name),
    }
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
  /** What the value brings along: one that has leaked does not become secret again by coming back. */
  readonly carried?: Pick<NativeVersion, 'leaked' | 'handle' | 'provider'>
  readonly action: 'rotated' | 'rolled-back'
}
