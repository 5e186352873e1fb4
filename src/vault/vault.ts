/**
 * The vault as the rooms outside see it: the same interface over the native format and the tutorial's.
 *
 * Byte layouts: `native-format.ts` (`["mcpvault/1",\nheader,\nentry,\n…"mac"]\n`) and `tutorial-format.ts` (a JSON object
 * of name → encoded value); docs/file-format.md has both in full. `open.ts` reads, `change.ts` writes vault and log as
 * one transaction through `outbox.ts`, `create.ts` and `upgrade.ts` make new files.
 *
 * @module
 */

import type { LogRecord } from '../log/record.js'
import type { Secret } from '../secret.js'
import type { ProcessRecord } from '../storage/owner.js'
import type { Store } from '../storage/store.js'
import type { ImportedValue, ImportOptions, ImportStep } from './import.js'
import type { VaultKey } from './key.js'

/** Which of the two file formats a vault is in; recognised by content. */
export type VaultFormat = 'native' | 'tutorial'

/** How a tutorial program encodes a value. */
export type TutorialCodec = 'fernet' | 'aes-256-gcm'

/** Longest value, in bytes. */
export const MAX_VALUE_BYTES = 1024 * 1024
/** Largest number of credentials. */
export const MAX_ENTRIES = 100_000
/** Largest vault file, in bytes. */
export const MAX_VAULT_BYTES = 64 * 1024 * 1024

/** One kept value of a credential, without the value. */
export interface CredentialVersion {
  readonly version: number
  /** One version is current at any time; the one before stays loadable until `untilMs`; a pending one is not yet in use. */
  readonly stage: 'pending' | 'current' | 'previous'
  /** When this version was made, in milliseconds since the epoch. */
  readonly createdMs: number
  /** When its value was first used: age counts from here. Undefined when nobody knows (upgraded without a log). */
  readonly sinceMs: number | undefined
  readonly untilMs: number | undefined
  /** When a leak of the value was recorded, in milliseconds since the epoch. */
  readonly leakedMs: number | undefined
  /** How the provider names the value; not secret. */
  readonly handle: string | undefined
  /** Which provider is asked to revoke it, as a SPEC: the one that made it, else the one that took its place. */
  readonly provider: string | undefined
  /** Who has to revoke a previous version before its value is wiped. */
  readonly revoker: Revoker
  /** When the provider last failed to revoke it, in milliseconds since the epoch. */
  readonly revokeFailedMs: number | undefined
}

/** Who revokes a replaced value where it was made: a person, who then says so; the provider; or nobody needs to. */
export type Revoker = 'person' | 'provider' | 'none'

/**
 * What holds for one credential alone; what is undefined is as for all others. The texts are SPECs (`rotation/spec.ts`),
 * which the vault keeps and does not read.
 */
export interface Policy {
  /** Age at which it is due, in seconds. */
  readonly maxAgeSeconds: number | undefined
  /** How long a replaced value stays loadable, in seconds. */
  readonly graceSeconds: number | undefined
  readonly provider: string | undefined
  readonly verify: string | undefined
  readonly targets: readonly string[]
  readonly onRotate: string | undefined
  /** Whether the provider's last answer said that it honours idempotency keys. */
  readonly isIdempotent: boolean
}

/** What `setPolicy` changes: members that are missing or undefined stay as they are, null takes one away. */
export type PolicyChange = {
  readonly [Member in keyof Omit<Policy, 'isIdempotent'>]?: Policy[Member] | undefined | null
}

/** A process, as a lock names one. */
export type ProcessOwner = ProcessRecord

/**
 * How far a rotation is, named after the next step: `obtain` the new value, `verify` it while it is pending, or, behind
 * the promotion, write the `targets` and run the hook.
 */
export type RotationStage = 'obtain' | 'verify' | 'targets'

/** How a rotation is done, as it was decided when it began; the texts are SPECs. */
export interface RotationPlan {
  readonly provider: string
  readonly verify: string | undefined
  readonly targets: readonly string[]
  readonly onRotate: string | undefined
  readonly graceSeconds: number | undefined
  readonly reason: string | undefined
}

/** A rotation that is under way or was interrupted. */
export interface Rotation {
  readonly name: string
  /** The version that the new value is to have, or has. */
  readonly version: number
  readonly stage: RotationStage
  /** The idempotency key: 16 bytes in hex. */
  readonly id: string
  readonly startedMs: number
  /** The process that is at it; undefined when that has given up in good order. */
  readonly owner: ProcessOwner | undefined
  /** Whether the provider may have made a value that nobody knows, so that asking it again could make a second one. */
  readonly isCreateUnknown: boolean
  readonly plan: RotationPlan
}

/** How long a replaced value stays loadable unless told otherwise, in seconds. */
export const DEFAULT_GRACE_SECONDS = 7 * 86_400

/** A credential without its values. Tutorial vaults know neither versions nor dates. */
export interface Credential {
  readonly name: string
  /** Newest first; empty in the tutorial format. */
  readonly versions: readonly CredentialVersion[]
  readonly note: string | undefined
  /** Undefined when it has none of its own, as always in the tutorial format. */
  readonly policy: Policy | undefined
  /** How the value is encoded, in the tutorial format; undefined there when it is damaged. */
  readonly codec: TutorialCodec | undefined
}

/** Where the log stood when the vault was last written. */
export interface LogAnchor {
  readonly seq: number
  readonly head: string
  /** Records that were committed in the vault and may not have reached the log file yet. */
  readonly pending: readonly LogRecord[]
}

/** Which version of a credential to load: a number, the one before the current, or the one that a rotation tries. */
export type VersionChoice = number | 'previous' | 'pending' | undefined

/** An opened vault. */
export interface Vault {
  readonly format: VaultFormat
  /** Base64url of 16 random bytes; undefined in the tutorial format. */
  readonly id: string | undefined
  /** Whether every byte was checked against the key; never in the tutorial format, which has no such check. */
  readonly isVerified: boolean
  /**
   * Whether programs may be run for what stands in it (hooks, probes, providers): false for a vault that was opened with
   * an age identity and that the user has not confirmed on this machine, since anybody could have made it.
   */
  readonly isTrusted: boolean
  readonly logAnchor: LogAnchor | undefined
  /** The rotations that are under way or were interrupted, by name; none in the tutorial format. */
  readonly rotations: readonly Rotation[]
  /** SHA-256 of the gateway configurations that were approved; empty where nobody checked the MAC. */
  readonly approvedConfigs: readonly string[]
  /** All names, in file order (native: sorted by UTF-8 bytes). */
  names(): readonly string[]
  /** Gives a credential without its values; undefined when there is none. */
  describe(name: string): Credential | undefined
  /**
   * Decrypts one value.
   *
   * @throws {VaultError} NOT_FOUND if there is no such credential or version, DAMAGED, WRONG_KEY, NO_KEY if the vault
   * was opened without a key.
   */
  load(name: string, options: { readonly version?: VersionChoice; readonly nowMs: number }): Secret
  /** The id that token records carry; undefined where their file draws its own. */
  readonly tokenStoreId: Buffer | undefined
  /** The key of token records and tokens, 32 bytes. @throws {VaultError} NO_KEY */
  tokensKey(storeId: Buffer): Secret
}

/** What a change leaves for the log; its link of the chain is added when the record is written. */
export type LogEvent = Pick<LogRecord, 'credential' | 'rotated_at' | 'action'> &
  Partial<Omit<LogRecord, 'seq' | 'prev' | 'hash' | 'id'>>

/** What `rotate` did. */
export interface RotatedVersion {
  /** Undefined in the tutorial format. */
  readonly version: number | undefined
  readonly previous: number | undefined
  readonly previousUntilMs: number | undefined
  /** An older version that had to go to make room for the previous one. */
  readonly retired: number | undefined
}

/** Options of every change to a credential. */
export interface DraftOptions {
  readonly reason?: string | undefined
}

/** Options of what replaces a value. */
export interface GraceOptions extends DraftOptions {
  readonly graceSeconds?: number | undefined
  /** Who has to revoke the replaced value; a person unless told. */
  readonly revoker?: Revoker | undefined
}

/** Names a rotation under way to the vault: only who holds it may go on with it. */
export type RotationTicket = Pick<Rotation, 'name' | 'id' | 'owner'>

/** Options of {@link StagedDraft.begin}. */
export type BeginOptions = Pick<Rotation, 'name' | 'id' | 'owner' | 'isCreateUnknown' | 'plan'>

/**
 * The steps of a staged rotation as changes of the vault, each one commit. Native only.
 *
 * What takes a ticket throws {VaultError} LOCKED if the rotation is not the holder's any more.
 */
export interface StagedDraft {
  /** Finds the rotation of a credential that is under way or was interrupted. */
  find(name: string): Rotation | undefined
  /** Writes the intent into the journal. @throws {VaultError} LOCKED if there is a rotation of that name */
  begin(options: BeginOptions): Rotation
  /** Gives an interrupted rotation another owner, or with none lets go of it. */
  assign(ticket: RotationTicket, to: Pick<Rotation, 'owner'> & Partial<Pick<Rotation, 'plan'>>): Rotation
  /** Keeps the new value as the pending version. @throws {VaultError} INPUT if a kept version has that value */
  hold(ticket: RotationTicket, made: MadeValue): void
  /**
   * Makes the pending version, or `value` where none was held, the current one; older previous versions that the provider
   * need not revoke go. The journal keeps the rotation only if there are targets or a hook.
   */
  promote(
    ticket: RotationTicket,
    options: { readonly value?: Secret | undefined; readonly revoker: Revoker },
  ): RotatedVersion
  /** Takes a rotation that is through, or never began, out of the journal. */
  end(ticket: RotationTicket): void
  /** Wipes the pending version, takes the rotation out of the journal and logs `aborted`. */
  abort(ticket: RotationTicket, options: DraftOptions): void
  /** Wipes a previous version and logs `retired`. @throws {VaultError} NOT_FOUND if there is no such previous version */
  retire(name: string, version: number, options: DraftOptions): void
  /** Keeps in mind that the provider failed to revoke a previous version. */
  markRevokeFailed(name: string, version: number): void
}

/** A new value, as the provider gave it. */
export interface MadeValue {
  readonly value: Secret
  readonly handle?: string | undefined
  /** The SPEC of the provider that made it, if one did. */
  readonly provider?: string | undefined
  /** What the policy's provider says of itself; undefined where nobody of the policy's was asked. */
  readonly isIdempotent?: boolean | undefined
}

/**
 * A vault being changed, under the lock. Nothing is written until the function that received it has returned.
 *
 * Every method throws {VaultError} NOT_FOUND for an unknown name (`store`: EXISTS for a known one) and INPUT for a value
 * that the format cannot hold.
 */
export interface Draft {
  readonly format: VaultFormat
  names(): readonly string[]
  has(name: string): boolean
  /** Tells whether the current value of a credential is this one. */
  holds(name: string, value: Secret): boolean
  store(name: string, value: Secret, options: DraftOptions & { readonly note?: string | undefined }): RotatedVersion
  /** The replaced value stays loadable for `graceSeconds`, else as the policy says, else for the default. */
  rotate(name: string, value: Secret, options: GraceOptions): RotatedVersion
  /** With `then`, what must hold the value is named in the journal, to be written behind the commit. */
  rollback(name: string, options: RollbackOptions): RotatedVersion
  /** The steps of a staged rotation. @throws {VaultError} INPUT in the tutorial format */
  readonly staged: StagedDraft
  /** Logs that a new value was given up before it was used; for the tutorial format, which has no stages. */
  logAborted(name: string, options: DraftOptions): void
  /**
   * Sets what holds for a credential alone: what is missing stays as it is, undefined as a whole clears all. Another
   * provider has not answered yet, so what the last one said of itself is forgotten.
   *
   * @throws {VaultError} INPUT in the tutorial format, which has no place for them.
   */
  setPolicy(name: string, policy: PolicyChange | undefined): void
  /**
   * Records that the current value has leaked; gives when that was first recorded, in milliseconds since the epoch.
   *
   * @throws {VaultError} INPUT in the tutorial format, which has no place for it.
   */
  markLeaked(name: string, options: DraftOptions): number
  /**
   * Approves a gateway configuration by its SHA-256 in hex, in the place of the one that it replaces, if any.
   *
   * @throws {VaultError} INPUT in the tutorial format, which has no place for it.
   */
  approveConfig(digest: string, replaced?: string): void
  remove(name: string, options: DraftOptions): void
  /**
   * Gives a credential another name, with everything that is kept of it.
   *
   * @throws {VaultError} EXISTS if the new name is taken, INPUT if no new credential may have it.
   */
  rename(name: string, options: RenameOptions): void
  /**
   * Takes in many values at once and gives what became of each, in their order.
   *
   * @throws {VaultError} EXISTS naming every conflict where those fail, INPUT naming every name that none can have.
   */
  importAll(values: readonly ImportedValue[], options: ImportOptions): readonly ImportStep[]
}

/** Options of {@link Draft.rollback}. */
export interface RollbackOptions extends GraceOptions {
  readonly to?: number | undefined
  /** The rotation that is journaled at the stage `targets`; takes the place of an interrupted one of that stage. */
  readonly then?: BeginOptions | undefined
}

/** Options of {@link Draft.rename}. */
export interface RenameOptions extends DraftOptions {
  readonly to: string
  /**
   * The date of the value as the log spells it, for the tutorial format: there a name's age is the date of its last
   * record, so without it the credential becomes due. The native format keeps the dates itself.
   */
  readonly dated?: string | undefined
}

/** All that the vault needs of the world around one command. */
export interface VaultAccess {
  readonly store: Store
  readonly key: VaultKey | undefined
  /** `user@host`, for the log. */
  readonly by: string
  /** IANA zone of naive timestamps; local time when undefined. */
  readonly zone: string | undefined
  readonly acceptRestore: boolean
  /** Takes a vault with another data key than this machine has seen, and confirms one that it sees for the first time. */
  readonly trustNewKey?: boolean
  /** Whether the vault lies in a git work tree, where older copies are normal. */
  isInGit(): boolean
  /** Milliseconds since the epoch. */
  now(): number
  randomBytes(length: number): Buffer
  warn(message: string): void
}
