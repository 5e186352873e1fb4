import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { parseTimestamp } from '../timestamp.js'
import type { VaultKey } from './key.js'
import { unknownName } from './name.js'
import { damaged } from './canonical.js'
import {
  findEntryLine,
  type NativeEntry,
  type NativePolicy,
  type NativeVersion,
  parseEntry,
  splitEntries,
} from './native-entry.js'
import { joinNative, type NativeHeader, type NativeParts, splitNative } from './native-format.js'
import { type DataKeys, macOf, openTokensKey, openValue, unlockNative, valueContext, verifyMac } from './native-keys.js'
import { fromJournal } from './native-journal.js'
import type {
  Credential,
  CredentialVersion,
  LogAnchor,
  Policy,
  Revoker,
  Rotation,
  Vault,
  VersionChoice,
} from './vault.js'
import { shellWord } from '../shell-word.js'

/** A native vault, read-only. Entries are parsed one at a time, when they are asked for. */
export class NativeVault implements Vault {
  readonly format = 'native'
  readonly parts: NativeParts
  /** Undefined when the vault was opened without a key; then nothing was verified. */
  readonly keys: DataKeys | undefined
  /** Set by `open.ts`, which knows what this machine has seen. */
  isTrusted = false
  #lines: ReadonlyMap<string, Buffer> | undefined

  private constructor(parts: NativeParts, keys: DataKeys | undefined) {
    this.parts = parts
    this.keys = keys
  }

  /**
   * Opens the bytes of a native vault. With a key every byte is verified before anything but the header is parsed.
   *
   * @throws {VaultError} DAMAGED, WRONG_KEY
   */
  static open(bytes: Buffer, key: VaultKey | undefined): NativeVault {
    const parts = splitNative(bytes)
    return new NativeVault(parts, key && unlockNative(parts, key))
  }

  /** Opens bytes with keys that are known already: what a writer does with what it has just written. @throws {VaultError} DAMAGED */
  static openWith(bytes: Buffer, keys: DataKeys): NativeVault {
    const parts = splitNative(bytes)
    verifyMac(parts, keys)
    return new NativeVault(parts, keys)
  }

  /** Makes a vault in memory that has a header and no entries. */
  static empty(header: NativeHeader, keys: DataKeys): NativeVault {
    return NativeVault.openWith(
      joinNative(header, [], (input) => macOf(keys, input)),
      keys,
    )
  }

  get id(): string {
    return this.parts.header.vault_id
  }

  get isVerified(): boolean {
    return this.keys !== undefined
  }

  get logAnchor(): LogAnchor {
    return this.parts.header.log
  }

  get rotations(): readonly Rotation[] {
    return this.parts.header.journal.map(fromJournal)
  }

  get approvedConfigs(): readonly string[] {
    return this.isVerified ? this.parts.header.configs : []
  }

  get tokenStoreId(): Buffer {
    return Buffer.from(this.id, 'base64url')
  }

  names(): readonly string[] {
    this.#lines ??= splitEntries(this.parts.entries)
    return [...this.#lines.keys()]
  }

  describe(name: string): Credential | undefined {
    const entry = this.entry(name)
    if (entry === undefined) return undefined
    const versions = entry.versions.map(describeVersion).sort((a, b) => b.version - a.version)
    return { name, versions, note: entry.note, policy: describePolicy(entry.policy), codec: undefined }
  }

  load(name: string, options: { readonly version?: VersionChoice; readonly nowMs: number }): Secret {
    const entry = this.entry(name)
    if (entry === undefined) throw unknownName(name, this.names())
    const version = chooseVersion(entry, name, options)
    return this.openVersion(name, version)
  }

  /** Decrypts a version of a credential. @throws {VaultError} NO_KEY, DAMAGED */
  openVersion(name: string, version: NativeVersion): Secret {
    if (this.keys === undefined) throw noKey()
    const value = openValue(this.keys, version, valueContext(this.parts.header, name, version.ver))
    if (value === undefined) throw damaged(`version ${version.ver} of "${name}" does not open`)
    return new Secret(value)
  }

  tokensKey(): Secret {
    if (this.keys === undefined) throw noKey()
    return openTokensKey(this.keys, this.parts.header)
  }

  /** Gives the parsed entry of a name; undefined when there is none. @throws {VaultError} DAMAGED */
  entry(name: string): NativeEntry | undefined {
    // Cutting all lines pays only for whoever asks for all names.
    const line = this.#lines === undefined ? findEntryLine(this.parts.entries, name) : this.#lines.get(name)
    if (line === undefined) return undefined
    const [found, entry] = parseEntry(line)
    if (found !== name) throw damaged('an entry stands under two names')
    return entry
  }
}

/** Builds the error for an operation that needs a key where none was found. */
export function noKey(): VaultError {
  return new VaultError('NO_KEY', 'no key: the vault cannot be opened without one')
}

function chooseVersion(
  entry: NativeEntry,
  name: string,
  options: { readonly version?: VersionChoice; readonly nowMs: number },
): NativeVersion {
  const { version: choice, nowMs } = options
  const found = entry.versions.find((version) =>
    choice === undefined
      ? version.stage === 'current'
      : typeof choice === 'number'
        ? version.ver === choice
        : version.stage === choice,
  )
  if (found === undefined) {
    const kept = entry.versions.map((version) => `${version.ver} (${version.stage})`).join(', ')
    const wanted = typeof choice === 'number' ? `version ${choice}` : `a ${choice} version`
    throw new VaultError('NOT_FOUND', `"${name}" has not kept ${wanted}`, { hints: [`kept: ${kept}`] })
  }
  if (found.stage === 'pending' && choice !== 'pending') {
    throw new VaultError('NOT_FOUND', `version ${found.ver} of "${name}" is pending: it is not in use yet`, {
      hints: [`mcpvault rotate ${shellWord(name)} --resume`],
    })
  }
  const untilMs = timeOf(found.until)
  if (found.stage === 'previous' && untilMs !== undefined && nowMs >= untilMs) {
    throw new VaultError('NOT_FOUND', `version ${found.ver} of "${name}" was loadable until ${found.until}`, {
      hints: [`to make it current again: mcpvault rollback ${shellWord(name)}`],
    })
  }
  return found
}

function describeVersion(version: NativeVersion): CredentialVersion {
  return {
    version: version.ver,
    stage: version.stage,
    createdMs: timeOf(version.created) ?? 0,
    sinceMs: timeOf(version.since),
    untilMs: timeOf(version.until),
    leakedMs: timeOf(version.leaked),
    handle: version.handle,
    provider: version.provider,
    revoker: revokerOf(version),
    revokeFailedMs: timeOf(version.revoke_failed),
  }
}

/** A file that says nothing of it may be older than the question, so that a person is asked. */
export function revokerOf({ revoke }: Pick<NativeVersion, 'revoke'>): Revoker {
  return revoke ?? 'person'
}

function describePolicy(policy: NativePolicy | undefined): Policy | undefined {
  return (
    policy && {
      maxAgeSeconds: policy.max_age,
      graceSeconds: policy.grace,
      provider: policy.provider,
      verify: policy.verify,
      targets: policy.targets ?? [],
      onRotate: policy.on_rotate,
      isIdempotent: policy.idempotent === true,
    }
  )
}

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseTimestamp(text)?.epochMs
}
