/**
 * mcpvault as a library: open a vault, load values, verify scoped tokens. For servers that want to keep a credential out
 * of their configuration, or to check tokens themselves.
 *
 * Everything is read anew when it is asked for, so that a rotation or a revocation by any process of the machine counts
 * at the next call. Nothing here writes a vault; that is the command line's part. Only a call that a token has a budget for
 * is recorded beside it.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { env, pid, platform } from 'node:process'
import { VaultError } from './errors.js'
import { Secret } from './secret.js'
import { createFileStore } from './storage/file-store.js'
import { followLinks } from './storage/resolve-target.js'
import type { Arguments } from './tokens/argument-rules.js'
import { BudgetKeeper, CALLS_AHEAD } from './tokens/budget.js'
import { TokenRecords } from './tokens/records.js'
import { SignatureCache } from './tokens/signature-cache.js'
import { type TokenRequest, type Verdict, verifyToken } from './tokens/verify.js'
import { parseRawKey, type VaultKey } from './vault/key.js'
import { openVault } from './vault/open.js'
import type { Credential, Vault, VaultAccess } from './vault/vault.js'

export { EXIT_CODES, type ErrorCode, VaultError } from './errors.js'
export { Secret } from './secret.js'
export type { Refusal, TokenRequest, Verdict } from './tokens/verify.js'
export type { Credential, CredentialVersion, VaultFormat } from './vault/vault.js'

/** How to open a vault: with one of `key` and `passphrase`. */
export interface VaultFileOptions {
  /** A raw key: 44 characters of base64url, 64 hex digits, as MCP_ENCRYPTION_KEY has it. */
  readonly key?: string | undefined
  readonly passphrase?: string | undefined
  /** Goes on with an older copy than this machine has seen, instead of refusing it. */
  readonly acceptRestore?: boolean | undefined
  /** Told what a person should know, such as a vault that other users can read; nobody is told by default. */
  readonly warn?: ((message: string) => void) | undefined
  /** Where this machine keeps what it has seen; `$XDG_STATE_HOME/mcpvault` by default. */
  readonly stateDirectory?: string | undefined
}

/** What a credential is loaded by. */
export interface LoadOptions {
  /** A kept version, or the one before the current; the current one by default. */
  readonly version?: number | 'previous' | undefined
}

/** Which request a token is checked for. */
export interface TokenCheck {
  /** The tool that is to be called: a builtin's bare name, or `UPSTREAM/tool`. */
  readonly tool: string
  /** The arguments of the call; a token that limits them is refused without. */
  readonly args?: Arguments | undefined
}

/** What following the token records takes. */
interface Follower {
  readonly records: TokenRecords
  readonly keeper: BudgetKeeper
  readonly cache: SignatureCache
}

/**
 * Opens a vault for reading.
 *
 * @throws {VaultError} NO_KEY if no well-formed key is given, NOT_FOUND, WRONG_KEY, DAMAGED, RESTORED, UNSAFE, INPUT, IO
 */
export function openVaultFile(path: string, options: VaultFileOptions): VaultFile {
  return new VaultFile(createAccess(resolve(path), options))
}

/** An opened vault. It holds the key until `close`, and no value longer than a call. */
export class VaultFile {
  readonly #access: VaultAccess
  #follower: Follower | undefined

  /** Use {@link openVaultFile}. */
  constructor(access: VaultAccess) {
    this.#access = access
    // Fails now rather than at the first request when the vault or the key is not what it should be.
    this.#open()
  }

  /** The names of all credentials. */
  names(): readonly string[] {
    return this.#open().names()
  }

  /** A credential's versions and dates, without its values; undefined when there is none. */
  describe(name: string): Credential | undefined {
    return this.#open().describe(name)
  }

  /**
   * Decrypts one value. The caller owns it: `secret.use(fn)` zeroes it afterwards.
   *
   * @throws {VaultError} NOT_FOUND, DAMAGED, WRONG_KEY
   */
  load(name: string, options: LoadOptions = {}): Secret {
    return this.#open().load(name, { version: options.version, nowMs: this.#access.now() })
  }

  /**
   * Judges a scoped token without spending anything, so that a token with a budget of calls is refused: `acceptCall` takes
   * those too. A refusal's reason is for your log, not for whoever sent the token.
   *
   * @throws {VaultError} DAMAGED or RESTORED if the token records are; then no token may be let through.
   */
  verifyToken(token: unknown, check: TokenCheck): Verdict {
    const verdict = this.#judge(token, check)
    const isLimited = verdict.allowed && verdict.counters.length > 0
    return isLimited ? { allowed: false, reason: 'calls' } : verdict
  }

  /**
   * Judges a scoped token and spends one call of its budgets, if it has any. To be awaited before the call is made; a call
   * that was accepted is spent, whatever becomes of it, and a crash forfeits up to 15 more of each budget.
   *
   * @throws {VaultError} DAMAGED or RESTORED as above; LOCKED, IO, DURABILITY or UNSAFE if a call cannot be recorded as
   * spent. The call must not be made then.
   */
  async acceptCall(token: unknown, check: TokenCheck): Promise<Verdict> {
    const verdict = this.#judge(token, check)
    if (!verdict.allowed || (await this.#follow().keeper.spend(verdict))) return verdict
    return { allowed: false, reason: 'calls' }
  }

  /** Zeroes the key; the vault cannot be used afterwards. */
  close(): void {
    const { key } = this.#access
    if (key?.type === 'raw') key.bytes.wipe()
    else key?.text.wipe()
    this.#follower?.records.close()
    this.#follower = undefined
  }

  #judge(token: unknown, { tool, args }: TokenCheck): Verdict {
    const { records, keeper, cache } = this.#follow()
    records.refresh()
    const request: TokenRequest = { method: 'tools', tool, args }
    return verifyToken(token, request, { records, nowMs: this.#access.now(), cache, held: keeper })
  }

  #follow(): Follower {
    if (this.#follower !== undefined) return this.#follower
    const { store, now, randomBytes, warn } = this.#access
    const keys = this.#open()
    const records = TokenRecords.open(store, keys)
    const access = { store, keys, records, acceptRestore: false, now, randomBytes, warn }
    const keeper = new BudgetKeeper(access, { ahead: CALLS_AHEAD })
    this.#follower = { records, keeper, cache: new SignatureCache() }
    return this.#follower
  }

  #open(): Vault {
    return openVault(this.#access)
  }
}

function createAccess(path: string, options: VaultFileOptions): VaultAccess {
  const warn = options.warn ?? (() => {})
  const directory = dirname(followLinks(path))
  const uid = userInfo().uid
  return {
    store: createFileStore({
      paths: { vault: path, log: join(directory, 'rotation_log.json'), tokens: join(directory, 'mcp_tokens.jsonl') },
      stateDirectory: options.stateDirectory ?? defaultStateDirectory(),
      lockTimeoutMs: 5000,
      host: { pid, platform, uid },
      randomBytes,
      warn,
    }),
    key: readKey(options),
    by: userInfo().username,
    zone: undefined,
    acceptRestore: options.acceptRestore ?? false,
    isInGit: () => existsSync(join(directory, '.git')),
    now: () => Date.now(),
    randomBytes,
    warn,
  }
}

function readKey({ key, passphrase }: VaultFileOptions): VaultKey {
  if ((key === undefined) === (passphrase === undefined)) {
    throw new VaultError('NO_KEY', 'cannot open the vault: give either a key or a passphrase')
  }
  if (passphrase !== undefined) return { type: 'passphrase', text: Secret.fromText(passphrase) }
  const parsed = parseRawKey(key ?? '')
  if (parsed !== undefined) return parsed
  throw new VaultError('NO_KEY', 'cannot read the key: expected 44 characters of base64url or 64 hex digits')
}

function defaultStateDirectory(): string {
  const named = env.XDG_STATE_HOME
  return join(named !== undefined && isAbsolute(named) ? named : join(homedir(), '.local/state'), 'mcpvault')
}
