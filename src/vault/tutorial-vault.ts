import { isUtf8 } from 'node:buffer'
import { hkdfSha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { formatNaive } from '../timestamp.js'
import type { RawKey, VaultKey } from './key.js'
import { type ImportedValue, type ImportOptions, type ImportStep, planImport, refuseConflicts } from './import.js'
import { checkNewName, existsAlready, isTaken, unknownName } from './name.js'
import { checkFileSize } from './native-format.js'
import type { RandomBytes } from './native-keys.js'
import { noKey } from './native-vault.js'
import {
  appendMember,
  codecOf,
  parseTutorial,
  removeMember,
  renameMember,
  replaceValue,
  setMembers,
  type TutorialFile,
  type TutorialMember,
} from './tutorial-format.js'
import { openText, sealText } from './tutorial-value.js'
import {
  type Credential,
  type Draft,
  type DraftOptions,
  type LogEvent,
  MAX_ENTRIES,
  MAX_VALUE_BYTES,
  type RenameOptions,
  type RotatedVersion,
  type TutorialCodec,
  type Vault,
  type VersionChoice,
} from './vault.js'

const UNVERSIONED: RotatedVersion = {
  version: undefined,
  previous: undefined,
  previousUntilMs: undefined,
  retired: undefined,
}

/** A vault that a program written from the tutorial made: no versions, no dates, no check over the whole. */
export class TutorialVault implements Vault {
  readonly format = 'tutorial'
  readonly id = undefined
  readonly isVerified = false
  /** Only the holder of the raw key can have written what opens. */
  readonly isTrusted = true
  readonly logAnchor = undefined
  readonly tokenStoreId = undefined
  readonly approvedConfigs: readonly string[] = []
  readonly rotations = []
  readonly file: TutorialFile
  readonly #key: RawKey | undefined

  /** @throws {VaultError} DAMAGED, WRONG_KEY if the key is not a raw one */
  constructor(bytes: Buffer, key: VaultKey | undefined) {
    this.file = parseTutorial(bytes)
    if (key !== undefined && key.type !== 'raw') {
      const what = key.type === 'age' ? 'an age identity' : 'a passphrase'
      throw new VaultError('WRONG_KEY', `a vault in the tutorial format opens with a raw key, not with ${what}`)
    }
    this.#key = key
  }

  names(): readonly string[] {
    return [...this.file.members.keys()]
  }

  describe(name: string): Credential | undefined {
    const member = this.file.members.get(name)
    return member && { name, versions: [], note: undefined, policy: undefined, codec: codecOf(member.text) }
  }

  load(name: string, options: { readonly version?: VersionChoice; readonly nowMs: number }): Secret {
    if (options.version !== undefined) throw needsNative('versions')
    const member = this.file.members.get(name)
    if (member === undefined) throw unknownName(name, this.names())
    return this.openMember(member)
  }

  /**
   * Decrypts one member.
   *
   * @throws {VaultError} DAMAGED if its value is in neither codec, or does not open while another one does; WRONG_KEY if
   * none opens; NO_KEY.
   */
  openMember(member: TutorialMember): Secret {
    const key = this.rawKey()
    const value = openText(key, member.text)
    if (value !== undefined) return value
    if (codecOf(member.text) === undefined || this.#opensAny(key)) {
      throw new VaultError('DAMAGED', `the value of "${member.name}" is damaged`, {
        hints: ['the other credentials stay usable; store this one anew under another name, or rotate it'],
      })
    }
    throw wrongKey()
  }

  /** Refuses a key that opens nothing, before a value is written that the owner's programs could not read. */
  checkKey(): void {
    if (!this.#mayBeKey()) {
      throw new VaultError('WRONG_KEY', 'cannot change the vault: the key does not fit any of its values', {
        hints: ['nothing was written; programs that use this file hold another MCP_ENCRYPTION_KEY'],
      })
    }
  }

  /** Refuses to add to a file that was named by mistake: any JSON object looks like a vault whose values are damaged. */
  checkSealed(): void {
    if (this.file.members.size === 0 || this.#hasSealed()) return
    throw new VaultError('DAMAGED', 'cannot add to the vault: no value in it is encrypted, so it may be another file', {
      hints: ['nothing was changed; to make a vault: mcpvault init --vault FILE'],
    })
  }

  /** Any key gives some tokens key, so a wrong one is refused here: all records would look damaged under it. */
  tokensKey(storeId: Buffer): Secret {
    if (!this.#mayBeKey()) throw wrongKey()
    return new Secret(hkdfSha256(this.rawKey().bytes.reveal(), storeId, 'mcpvault/tokens', 32))
  }

  /** @throws {VaultError} NO_KEY */
  rawKey(): RawKey {
    if (this.#key === undefined) throw noKey()
    return this.#key
  }

  /** Whether the key opens a value, or there is none to try it on. */
  #mayBeKey(): boolean {
    return !this.#hasSealed() || this.#opensAny(this.rawKey())
  }

  #hasSealed(): boolean {
    return [...this.file.members.values()].some(({ text }) => codecOf(text) !== undefined)
  }

  #opensAny(key: RawKey): boolean {
    for (const member of this.file.members.values()) {
      const value = openText(key, member.text)
      if (value !== undefined) {
        value.wipe()
        return true
      }
    }
    return false
  }
}

/** A tutorial vault being changed. */
export class TutorialDraft implements Draft {
  readonly format = 'tutorial'
  readonly events: LogEvent[] = []
  dropsValues = false
  #file: TutorialFile
  readonly #vault: TutorialVault
  readonly #options: TutorialDraftOptions

  constructor(vault: TutorialVault, options: TutorialDraftOptions) {
    vault.checkKey()
    this.#vault = vault
    this.#file = vault.file
    this.#options = options
  }

  names(): readonly string[] {
    return [...this.#file.members.keys()]
  }

  has(name: string): boolean {
    return this.#file.members.has(name)
  }

  store(name: string, value: Secret, options: DraftOptions & { readonly note?: string | undefined }): RotatedVersion {
    checkNewName(name)
    if (this.has(name)) throw existsAlready(name)
    this.#vault.checkSealed()
    if (options.note !== undefined) throw needsNative('notes')
    if (this.#file.members.size >= MAX_ENTRIES)
      throw new VaultError('INPUT', 'cannot store: the vault holds 100,000 credentials, its limit')
    this.#edit(appendMember(this.#file, name, this.#seal(name, value, this.#codec(undefined))))
    this.#log('created', name, options)
    return UNVERSIONED
  }

  rotate(name: string, value: Secret, options: DraftOptions): RotatedVersion {
    const member = this.#member(name)
    if (this.holds(name, value)) {
      throw new VaultError('INPUT', `cannot rotate "${name}": the new value is the current one`, {
        hints: ['nothing was changed; make a new key at the provider first'],
      })
    }
    this.#edit(replaceValue(this.#file, member, this.#seal(name, value, this.#codec(member.text))))
    this.#log('rotated', name, options)
    return UNVERSIONED
  }

  rollback(): RotatedVersion {
    throw needsNative('rollback')
  }

  get staged(): never {
    throw needsNative('stages')
  }

  logAborted(name: string, options: DraftOptions): void {
    this.#log('aborted', name, options)
  }

  setPolicy(): void {
    throw needsNative('policies')
  }

  markLeaked(): number {
    throw needsNative('record of leaks')
  }

  approveConfig(): void {
    throw needsNative('approval of configurations')
  }

  remove(name: string, options: DraftOptions): void {
    this.#edit(removeMember(this.#file, this.#member(name)))
    this.dropsValues = true
    this.#log('removed', name, options)
  }

  /**
   * Changes the member's key and nothing else. A creation dated as the value is keeps its age, in mcpvault and in the
   * tutorial's programs; it comes first, so that `renamed` is the newest that the log has of the credential.
   */
  rename(name: string, { to, reason, dated }: RenameOptions): void {
    const member = this.#member(name)
    checkNewName(to)
    if (this.has(to)) throw isTaken(name, to)
    this.#edit(renameMember(this.#file, member, to))
    const because = `renamed from "${name}"; the date is that of its value`
    if (dated !== undefined) {
      this.events.push({ credential: to, rotated_at: dated, action: 'created', reason: because })
    }
    this.#log('renamed', to, { from: name, reason })
  }

  importAll(values: readonly ImportedValue[], options: ImportOptions): readonly ImportStep[] {
    const steps = planImport(
      values,
      { has: (name) => this.has(name), holds: this.holds.bind(this) },
      options.onConflict,
    )
    refuseConflicts(steps)
    this.#vault.checkSealed()
    const sealed = new Map<string, string>()
    for (const [index, { name, value, sinceMs }] of values.entries()) {
      const fate = steps[index]?.fate
      if (fate === 'stored' || fate === 'rotated') {
        sealed.set(name, this.#seal(name, value, this.#codec(this.#file.members.get(name)?.text)))
        const rotated_at = formatNaive(sinceMs ?? this.#options.nowMs, this.#options.zone)
        const action = fate === 'stored' ? 'created' : 'rotated'
        this.events.push({ credential: name, rotated_at, action, reason: options.reason })
      }
      options.onProgress?.(index + 1, values.length)
    }
    if (sealed.size > 0) this.#edit(setMembers(this.#file, sealed))
    if (this.#file.members.size > MAX_ENTRIES)
      throw new VaultError('INPUT', 'cannot import: the vault would hold more than 100,000 credentials, its limit')
    return steps
  }

  holds(name: string, value: Secret): boolean {
    const text = this.#file.members.get(name)?.text
    return openText(this.#vault.rawKey(), text)?.use((bytes) => bytes.equals(value.reveal())) ?? false
  }

  /** An entry keeps its codec; a new one gets that of the key's spelling. */
  #codec(text: string | undefined): TutorialCodec {
    return codecOf(text) ?? (this.#vault.rawKey().spelling === 'hex' ? 'aes-256-gcm' : 'fernet')
  }

  /** Gives the changed file. @throws {VaultError} INPUT if it would be over 64 MiB */
  seal(): Buffer {
    const bytes = Buffer.from(this.#file.text, 'utf8')
    checkFileSize(bytes)
    return bytes
  }

  #edit(text: string): void {
    this.#file = parseTutorial(Buffer.from(text, 'utf8'))
  }

  #member(name: string): TutorialMember {
    const member = this.#file.members.get(name)
    if (member === undefined) throw unknownName(name, this.names())
    return member
  }

  #seal(name: string, value: Secret, codec: TutorialCodec): string {
    const bytes = value.reveal()
    if (!isUtf8(bytes)) {
      throw new VaultError('INPUT', `cannot keep the value of "${name}": the tutorial format holds UTF-8 text only`, {
        hints: ['mcpvault upgrade'],
      })
    }
    if (bytes.length > MAX_VALUE_BYTES)
      throw new VaultError('INPUT', `cannot keep the value of "${name}": it is over 1 MiB`)
    return sealText(this.#vault.rawKey(), bytes, { codec, ...this.#options })
  }

  /** The tutorial takes a name's last record for its rotation, so other records keep the name in `subject`. */
  #log(action: LogEvent['action'], name: string, { from, reason }: DraftOptions & { readonly from?: string }): void {
    const isDated = action === 'created' || action === 'rotated'
    const rotated_at = formatNaive(this.#options.nowMs, this.#options.zone)
    const subject = isDated ? {} : { subject: name }
    this.events.push({
      credential: isDated ? name : null,
      rotated_at,
      action,
      ...subject,
      ...(from === undefined ? {} : { from }),
      ...(reason === undefined ? {} : { reason }),
    })
  }
}

/** What a tutorial draft needs to know of the world. */
export interface TutorialDraftOptions {
  readonly nowMs: number
  readonly zone: string | undefined
  readonly randomBytes: RandomBytes
}

function wrongKey(): VaultError {
  return new VaultError('WRONG_KEY', 'cannot open the vault: the key does not fit any of its values')
}

function needsNative(what: string): VaultError {
  return new VaultError('INPUT', `the tutorial format has no ${what}`, { hints: ['mcpvault upgrade'] })
}
