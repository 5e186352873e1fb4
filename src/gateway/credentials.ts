/**
 * Credentials of requests: decrypted when a request needs them, shared by the requests that overlap, wiped when the last
 * of them is over. A rotation by any process counts at the next request.
 */

import { VaultError } from '../errors.js'
import { createRedactor } from '../redact/forms.js'
import type { Secret } from '../secret.js'
import type { Revision } from '../storage/store.js'
import type { TokenAccess } from '../tokens/change.js'
import { openVault } from '../vault/open.js'
import type { Credential, CredentialVersion, Vault, VaultAccess } from '../vault/vault.js'
import { redactMessage } from './redact-message.js'
import type { CredentialUse } from './upstream.js'

/** Below this length a value cannot be kept out of answers, so it is not used. */
export const SHORTEST_CREDENTIAL_BYTES = 8

/** Told when a value stood in what an upstream said; nothing of the value is told. */
export type LeakListener = (leak: CredentialUse) => void

/** The values of one request. To be released when the request is over, streams included. */
export interface Lease {
  /** The versions that `value` gives. */
  readonly uses: readonly CredentialUse[]
  /** Gives a value as text. @throws {VaultError} INPUT if it is not text */
  value(name: string): string
  /** Gives JSON text without any live value of these credentials. */
  redactMessage(json: string): string
  /** Gives text without any live value of these credentials. */
  redactText(text: string): string
  release(): void
}

/** Which of two live versions to use: the current one, or the one that is not the one given. */
export interface LeaseOptions {
  readonly onLeak: LeakListener
  /** Uses another live version than these, if there is one. */
  readonly otherThan?: readonly CredentialUse[] | undefined
}

/** Loads the credentials of one vault for as long as requests need them. */
export class CredentialLoader {
  readonly #access: VaultAccess
  readonly #held = new Map<string, HeldCredential>()
  #opened: { readonly vault: Vault; readonly revision: Revision | undefined } | undefined
  #glimpsed: Vault | undefined

  /** Called when the vault was written by somebody and has been read anew. */
  onReopened: (() => void) | undefined

  constructor(access: VaultAccess) {
    this.#access = access
  }

  /** Milliseconds since the epoch. */
  get nowMs(): number {
    return this.#access.now()
  }

  /** What the token records need; their key is the vault's. */
  tokenAccess(): TokenAccess {
    const { store, now, randomBytes, warn } = this.#access
    return { store, keys: this.vault(), acceptRestore: false, now, randomBytes, warn }
  }

  /** The vault as it is now; read anew only when it was written since. @throws {VaultError} as `openVault` */
  vault(): Vault {
    const { store } = this.#access
    const { revision, vault } = this.#opened ?? {}
    if (vault !== undefined && revision !== undefined && store.isAt?.('vault', revision) === true) return vault
    const reader = store.open('vault')
    // Before the vault is read: whatever is written in between is noticed at the next look.
    const seen = reader?.revision
    reader?.close()
    const isFirst = this.#opened === undefined
    this.#opened = { vault: openVault(this.#access), revision: seen }
    if (!isFirst) this.onReopened?.()
    return this.#opened.vault
  }

  /**
   * The vault as it was a moment ago: what is asked in one go, without giving the control back, costs one look at the
   * file. Whoever asks had come before that look.
   */
  #glimpse(): Vault {
    if (this.#glimpsed !== undefined) return this.#glimpsed
    this.#glimpsed = this.vault()
    queueMicrotask(() => {
      this.#glimpsed = undefined
    })
    return this.#glimpsed
  }

  /** Names the versions that a request would use. @throws {VaultError} NOT_FOUND if one is missing */
  uses(names: readonly string[]): readonly CredentialUse[] {
    const vault = this.#glimpse()
    return names.map((name) => ({ name, version: currentVersion(describe(vault, name).versions) }))
  }

  /** Whether these versions may still be used: the current ones, and those before them for as long as they are kept. */
  areLive(uses: readonly CredentialUse[]): boolean {
    const vault = this.vault()
    return uses.every(({ name, version }) => {
      const found = look(vault, name)?.versions.find((one) => one.version === version)
      return found !== undefined && isLive(found, this.nowMs)
    })
  }

  /**
   * Leases another live version than one that was refused: a credential that was rotated a moment ago may not be known
   * everywhere yet, or the old one not any more.
   *
   * @param onChosen Told before it is used; what it throws keeps it from being used.
   * @returns undefined if no other version is live.
   */
  leaseOther(
    names: readonly string[],
    { uses }: Lease,
    { onLeak, onChosen }: LeaseOptions & { readonly onChosen: (uses: readonly CredentialUse[]) => void },
  ): Lease | undefined {
    const other = this.lease(names, { onLeak, otherThan: uses })
    try {
      if (other.uses.every(({ version }, index) => version === uses[index]?.version)) {
        other.release()
        return undefined
      }
      onChosen(other.uses)
      return other
    } catch (error) {
      other.release()
      throw error
    }
  }

  /**
   * Decrypts what a request needs.
   *
   * @throws {VaultError} NOT_FOUND, DAMAGED, WRONG_KEY; INPUT if a value is too short to be kept out of answers.
   */
  lease(names: readonly string[], { onLeak, otherThan = [] }: LeaseOptions): Lease {
    const vault = this.#glimpse()
    const held: HeldCredential[] = []
    try {
      for (const name of names) held.push(this.#hold(vault, name))
      return new SharedLease(held, {
        onLeak,
        otherThan,
        drop: (one) => this.#drop(one),
        renew: () => this.#renew(names),
      })
    } catch (error) {
      for (const one of held) this.#drop(one)
      throw error
    }
  }

  #renew(names: readonly string[]): readonly HeldCredential[] {
    const vault = this.#glimpse()
    return names.filter((name) => look(vault, name) !== undefined).map((name) => this.#hold(vault, name))
  }

  #hold(vault: Vault, name: string): HeldCredential {
    const known = this.#held.get(name)
    if (known?.isOf(vault, this.nowMs)) return known.take()
    const fresh = new HeldCredential(vault, name, this.nowMs)
    // What overlaps with the one before keeps that; it is wiped with its last request.
    this.#held.set(name, fresh)
    return fresh.take()
  }

  #drop(one: HeldCredential): void {
    if (one.release() && this.#held.get(one.name) === one) this.#held.delete(one.name)
  }
}

/** The live values of one credential, as one reading of the vault has them. */
class HeldCredential {
  readonly name: string
  readonly #vault: Vault
  readonly #values: readonly { readonly version: number | undefined; readonly secret: Secret }[]
  readonly #redactors: readonly { readonly version: number | undefined; redact(text: string): string }[]
  readonly #untilMs: number
  #users = 0

  constructor(vault: Vault, name: string, nowMs: number) {
    this.name = name
    this.#vault = vault
    const { versions } = describe(vault, name)
    const live = versions.filter((version) => isLive(version, nowMs))
    this.#untilMs = Math.min(...live.map(({ untilMs }) => untilMs ?? Number.POSITIVE_INFINITY))
    const numbers = orderVersions(live)
    this.#values = numbers.map((version) => ({ version, secret: vault.load(name, { version, nowMs }) }))
    if (this.#values.some(({ secret }) => secret.reveal().length < SHORTEST_CREDENTIAL_BYTES)) {
      this.#wipe()
      throw new VaultError('INPUT', `cannot use "${name}" in the gateway: it is too short to be kept out of answers`)
    }
    this.#redactors = this.#values.map(({ version, secret }) => ({ version, redact: createRedactor([secret]) }))
  }

  isOf(vault: Vault, nowMs: number): boolean {
    return this.#vault === vault && nowMs < this.#untilMs
  }

  take(): this {
    this.#users += 1
    return this
  }

  /** Gives whether nobody uses it any more. */
  release(): boolean {
    this.#users -= 1
    if (this.#users === 0) this.#wipe()
    return this.#users === 0
  }

  /** Chooses a version; the current one unless that is the one to avoid. */
  choose(avoid: CredentialUse | undefined): { readonly version: number | undefined; readonly secret: Secret } {
    const [current] = this.#values
    const chosen = avoid === undefined ? current : this.#values.find(({ version }) => version !== avoid.version)
    const value = chosen ?? current
    if (value === undefined) throw new VaultError('NOT_FOUND', `cannot use "${this.name}": it has no live value`)
    return value
  }

  redact(text: string, onHit: (version: number | undefined) => void): string {
    let result = text
    for (const { version, redact } of this.#redactors) {
      const clean = redact(result)
      if (clean !== result) onHit(version)
      result = clean
    }
    return result
  }

  #wipe(): void {
    for (const { secret } of this.#values) secret.wipe()
  }
}

interface LeaseParts extends LeaseOptions {
  readonly drop: (held: HeldCredential) => void
  readonly renew: () => readonly HeldCredential[]
}

class SharedLease implements Lease {
  readonly uses: readonly CredentialUse[]
  readonly #parts: LeaseParts
  readonly #values: ReadonlyMap<string, Secret>
  #held: readonly HeldCredential[]
  readonly #told = new Set<string>()
  #isReleased = false

  constructor(held: readonly HeldCredential[], parts: LeaseParts) {
    this.#parts = parts
    this.#held = held
    const chosen = held.map((one) => ({
      name: one.name,
      ...one.choose(parts.otherThan?.find(({ name }) => name === one.name)),
    }))
    this.uses = chosen.map(({ name, version }) => ({ name, version }))
    this.#values = new Map(chosen.map(({ name, secret }) => [name, secret]))
  }

  value(name: string): string {
    const text = this.#values.get(name)?.revealText()
    if (text !== undefined) return text
    throw new VaultError('INPUT', `cannot send the credential "${name}": it is not text`)
  }

  redactMessage(json: string): string {
    this.#follow()
    return redactMessage(json, (text) => this.#redact(text))
  }

  redactText(text: string): string {
    this.#follow()
    return this.#redact(text)
  }

  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    for (const one of this.#held) this.#parts.drop(one)
  }

  /** A long stream may outlive a rotation: its server may have got the new value by another request. */
  #follow(): void {
    if (this.#isReleased) return
    const fresh = this.#parts.renew()
    const added = fresh.filter((one) => !this.#held.includes(one))
    for (const one of fresh) if (!added.includes(one)) this.#parts.drop(one)
    if (added.length > 0) this.#held = [...this.#held, ...added]
  }

  #redact(text: string): string {
    return this.#held.reduce(
      (result, one) => one.redact(result, (version) => this.#tell({ name: one.name, version })),
      text,
    )
  }

  /** Once a request and value is enough. */
  #tell(leak: CredentialUse): void {
    const key = `${leak.name} ${leak.version}`
    if (this.#told.has(key)) return
    this.#told.add(key)
    this.#parts.onLeak(leak)
  }
}

const seen = new WeakMap<Vault, Map<string, Credential | undefined>>()

/** What one reading of the vault tells about a credential, which is nothing secret: read once, and asked for at every request. */
function look(vault: Vault, name: string): Credential | undefined {
  const known = seen.get(vault) ?? new Map<string, Credential | undefined>()
  seen.set(vault, known)
  if (!known.has(name)) known.set(name, vault.describe(name))
  return known.get(name)
}

function describe(vault: Vault, name: string): { readonly versions: readonly CredentialVersion[] } {
  const credential = look(vault, name)
  if (credential !== undefined) return credential
  throw new VaultError('NOT_FOUND', 'Credential not configured', { hints: [`mcpvault store ${name}`] })
}

/** A pending value is at its provider and its probe alone. */
function isLive({ stage, untilMs }: CredentialVersion, nowMs: number): boolean {
  return stage !== 'pending' && (untilMs === undefined || untilMs > nowMs)
}

function currentVersion(versions: readonly CredentialVersion[]): number | undefined {
  return versions.find(({ stage }) => stage === 'current')?.version
}

/** The current version first. A tutorial vault keeps one value without a number. */
function orderVersions(live: readonly CredentialVersion[]): readonly (number | undefined)[] {
  const current = currentVersion(live)
  const others = live.map(({ version }) => version).filter((version) => version !== current)
  return [current, ...others]
}
