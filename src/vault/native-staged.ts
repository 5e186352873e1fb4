/** The steps of a staged rotation as changes of a native vault: journal, pending version, promotion, retirement. */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { formatUtc } from '../timestamp.js'
import { shellWord } from '../shell-word.js'
import { makeEntry, makePolicy, makeVersion, type NativeEntry, type NativeVersion } from './native-entry.js'
import { advanceEntry, nextVersion } from './native-versions.js'
import { liveVersion, waysOut } from './rotation-stop.js'
import type {
  BeginOptions,
  DraftOptions,
  LogEvent,
  MadeValue,
  ProcessOwner,
  Revoker,
  RotatedVersion,
  Rotation,
  RotationTicket,
  StagedDraft,
} from './vault.js'

/** What the steps need of the draft that they belong to. */
export interface EntryDesk {
  readonly nowMs: number
  /** @throws {VaultError} NOT_FOUND */
  entry(name: string): NativeEntry
  put(name: string, entry: NativeEntry): void
  /** Encrypts a value as a version that is current since now. */
  seal(name: string, value: Secret, ver: number): NativeVersion
  /** Finds the kept version that has a value. */
  findHolder(name: string, value: Secret): NativeVersion | undefined
  log(action: LogEvent['action'], name: string, fields: { readonly version: number } & DraftOptions): void
  /** A value was taken out for good. */
  dropValue(): void
  /** The header is to be written although no entry has changed. */
  touch(name: string): void
}

/** The journal of a draft, and the steps that write into it. */
export class NativeStages implements StagedDraft {
  readonly #desk: EntryDesk
  readonly #rotations: Map<string, Rotation>

  constructor(desk: EntryDesk, rotations: readonly Rotation[]) {
    this.#desk = desk
    this.#rotations = new Map(rotations.map((rotation) => [rotation.name, rotation]))
  }

  /** All that the journal is to hold. */
  get rotations(): readonly Rotation[] {
    return [...this.#rotations.values()]
  }

  find(name: string): Rotation | undefined {
    return this.#rotations.get(name)
  }

  begin(options: BeginOptions): Rotation {
    const version = nextVersion(this.#desk.entry(options.name))
    this.refuseDuring(options.name, 'rotate')
    return this.#write({ ...options, version, stage: 'obtain', startedMs: this.#desk.nowMs })
  }

  assign(ticket: RotationTicket, { owner, plan }: Pick<Rotation, 'owner'> & Partial<Pick<Rotation, 'plan'>>): Rotation {
    const rotation = this.#mine(ticket)
    return this.#write({ ...rotation, owner, plan: plan ?? rotation.plan })
  }

  hold(ticket: RotationTicket, { value, handle, provider, isIdempotent }: MadeValue): void {
    const rotation = this.#mine(ticket)
    const { name, version, plan } = rotation
    this.#refuseKept(name, value)
    const entry = this.#desk.entry(name)
    const twin = entry.versions.find((one) => handle !== undefined && one.handle === handle)
    if (twin !== undefined) throw sameHandle(name, twin.ver)
    const pending = { ...this.#desk.seal(name, value, version), since: undefined, handle, provider }
    const [current, ...others] = entry.versions
    const versions = [...(current ? [current] : []), makeVersion({ ...pending, stage: 'pending' }), ...others]
    const isAsked = isIdempotent !== undefined && (entry.policy?.provider ?? 'manual') === plan.provider
    const policy = isAsked ? makePolicy({ ...entry.policy, idempotent: isIdempotent || undefined }) : entry.policy
    this.#desk.put(name, makeEntry(versions, { policy, note: entry.note }))
    this.#write({ ...rotation, stage: 'verify', isCreateUnknown: false })
  }

  promote(
    ticket: RotationTicket,
    { value, revoker }: { readonly value?: Secret | undefined; readonly revoker: Revoker },
  ): RotatedVersion {
    const rotation = this.#mine(ticket)
    const { name, version, plan } = rotation
    const entry = this.#desk.entry(name)
    const pending = entry.versions.find(({ stage }) => stage === 'pending')
    if (value !== undefined) this.#refuseKept(name, value)
    const next = value === undefined ? pending : this.#desk.seal(name, value, version)
    if (next === undefined) throw lost(name)
    const nowText = formatUtc(this.#desk.nowMs)
    const without = { ...entry, versions: entry.versions.filter(({ stage }) => stage !== 'pending') }
    const { graceSeconds, reason } = plan
    const advanced = advanceEntry(without, { ...next, since: nowText }, { nowText, graceSeconds, revoker })
    this.#desk.put(name, advanced.entry)
    this.#logRetired(name, advanced.retired)
    this.#desk.log('rotated', name, { version: next.ver, reason })
    this.goOn({ ...rotation, stage: 'targets', isCreateUnknown: false })
    const { previous, previousUntilMs, retired } = advanced
    return { version: next.ver, previous, previousUntilMs, retired: retired[0] }
  }

  end(ticket: RotationTicket): void {
    this.#mine(ticket)
    this.#forget(ticket.name)
  }

  abort(ticket: RotationTicket, { reason }: DraftOptions): void {
    const { name, version } = this.#mine(ticket)
    const entry = this.#desk.entry(name)
    const versions = entry.versions.filter(({ stage }) => stage !== 'pending')
    if (versions.length < entry.versions.length) {
      this.#desk.put(name, { ...entry, versions })
      this.#desk.dropValue()
    }
    this.#desk.log('aborted', name, { version, reason })
    this.#forget(name)
  }

  retire(name: string, version: number, { reason }: DraftOptions): void {
    const entry = this.#desk.entry(name)
    const versions = entry.versions.filter((one) => !(one.stage === 'previous' && one.ver === version))
    if (versions.length === entry.versions.length) throw notKept(name, version)
    this.#desk.put(name, { ...entry, versions })
    this.#desk.dropValue()
    this.#desk.log('retired', name, { version, reason })
  }

  markRevokeFailed(name: string, version: number): void {
    const entry = this.#desk.entry(name)
    const nowText = formatUtc(this.#desk.nowMs)
    const mark = (one: NativeVersion): NativeVersion =>
      one.stage === 'previous' && one.ver === version ? makeVersion({ ...one, revoke_failed: nowText }) : one
    this.#desk.put(name, { ...entry, versions: entry.versions.map(mark) })
  }

  /** Logs what a promotion retired beside what it made. */
  #logRetired(name: string, versions: readonly number[]): void {
    for (const version of versions) this.#desk.log('retired', name, { version })
    if (versions.length > 0) this.#desk.dropValue()
  }

  /** Keeps a promoted rotation in the journal as long as something must still be written or run for it. */
  goOn(rotation: Rotation): void {
    const { targets, onRotate } = rotation.plan
    if (targets.length > 0 || onRotate !== undefined) this.#write(rotation)
    else this.#forget(rotation.name)
  }

  /**
   * Refuses to change a credential at the same time as a rotation does. One that waits at the stage `targets` has been
   * promoted already, so that nothing is pending.
   *
   * @throws {VaultError} LOCKED
   */
  refuseDuring(name: string, what: string, { allowed }: { readonly allowed?: Rotation['stage'] } = {}): void {
    const rotation = this.#rotations.get(name)
    if (rotation === undefined || rotation.stage === allowed) return
    // Whether somebody is at it cannot be told here; the ways out refuse as long as somebody is.
    const stage = rotation.isCreateUnknown ? 'create-unknown' : rotation.stage
    const where = `a rotation of it is at the stage "${stage}"; ${liveVersion(rotation)}`
    throw new VaultError('LOCKED', `cannot ${what} "${name}": ${where}`, { hints: waysOut(rotation) })
  }

  #refuseKept(name: string, value: Secret): void {
    const holder = this.#desk.findHolder(name, value)
    if (holder === undefined) return
    if (holder.stage === 'current') {
      throw new VaultError('INPUT', `cannot rotate "${name}": the new value is the current one`, {
        hints: ['nothing was changed; make a new key at the provider first'],
      })
    }
    throw new VaultError('INPUT', `cannot rotate "${name}": the new value is that of version ${holder.ver}`, {
      hints: [`to go back to it: mcpvault rollback ${shellWord(name)} --to ${holder.ver}`],
    })
  }

  #mine(ticket: RotationTicket): Rotation {
    const rotation = this.#rotations.get(ticket.name)
    if (rotation?.id === ticket.id && isSameOwner(rotation.owner, ticket.owner)) return rotation
    throw new VaultError('LOCKED', `cannot go on with the rotation of "${ticket.name}": another process has taken it`, {
      hints: [`mcpvault history ${shellWord(ticket.name)}`],
    })
  }

  #write(rotation: Rotation): Rotation {
    this.#rotations.set(rotation.name, rotation)
    this.#desk.touch(rotation.name)
    return rotation
  }

  #forget(name: string): void {
    this.#rotations.delete(name)
    this.#desk.touch(name)
  }
}

function isSameOwner(a: ProcessOwner | undefined, b: ProcessOwner | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return (['pid', 'start', 'boot', 'machine', 'namespace'] as const).every((member) => a[member] === b[member])
}

/** Revoking the one by its handle would revoke the other. */
function sameHandle(name: string, version: number): VaultError {
  return new VaultError('INPUT', `cannot rotate "${name}": the new value has the handle of version ${version}`, {
    hints: ['a handle names one value; nothing was revoked'],
  })
}

function lost(name: string): VaultError {
  return new VaultError('DAMAGED', `the vault is damaged: the pending version of "${name}" is missing`, {
    hints: [`mcpvault rotate ${shellWord(name)} --abort`],
  })
}

function notKept(name: string, version: number): VaultError {
  return new VaultError('NOT_FOUND', `cannot retire version ${version} of "${name}": it is no previous version`, {
    hints: [`mcpvault history ${shellWord(name)}`],
  })
}
