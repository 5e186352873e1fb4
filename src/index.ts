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
import { digestTool, type ToolDefinition } from './tokens/digest.js'
import { RateKeeper } from './tokens/rate.js'
import { TokenRecords } from './tokens/records.js'
import { SignatureCache } from './tokens/signature-cache.js'
import { inspectToken, type TokenRequest, type Verdict, verifyToken } from './tokens/verify.js'
import { parseRawKey, type VaultKey, wipeKey } from './vault/key.js'
import { openVault } from './vault/open.js'
import type { Credential, Vault, VaultAccess } from './vault/vault.js'

export { EXIT_CODES, type ErrorCode, VaultError } from './errors.js'
export { Secret } from './secret.js'
export { parseArguments } from './tokens/parse-arguments.js'
export type { ToolDefinition } from './tokens/digest.js'
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
  /** The tool as `tools/list` shows it; a token that is pinned to the tool's definition is refused without. */
  readonly definition?: ToolDefinition | undefined
}

/** What an MCP server learns of a token: the SDK's `AuthInfo`. */
export interface AuthInfo {
  readonly token: string
  /** The token's id, 32 hex digits. */
  readonly clientId: string
  /** The tools that may be called, by their exact names; `*` alone for all of them. */
  readonly scopes: string[]
  /** Seconds since the epoch. */
  readonly expiresAt: number
  readonly extra: { readonly label: string | null; readonly methods: readonly string[] }
}

/** What the SDK's `requireBearerAuth` takes as its `verifier`. */
export interface AccessTokenVerifier {
  /** @throws What `invalidToken` gives if the token is refused; {@link VaultError} if the token records cannot be read. */
  verifyAccessToken(token: string): Promise<AuthInfo>
}

/** How a verifier is to answer. */
export interface VerifierOptions {
  /**
   * Makes the error that the SDK answers with 401: `() => new OAuthError(OAuthErrorCode.InvalidToken, '…')` of
   * `@modelcontextprotocol/server`, or an `InvalidTokenError` of version 1 of the SDK.
   */
  readonly invalidToken: (message: string) => Error
  /**
   * Whether the server hands each call to {@link VaultFile.acceptCall}. Only then are tokens let through that are limited in
   * ways that scopes cannot say: by arguments, calls, rates or pinned definitions.
   */
  readonly acceptsCalls?: boolean | undefined
}

/** What following the token records takes. */
interface Follower {
  readonly records: TokenRecords
  readonly keeper: BudgetKeeper
  readonly cache: SignatureCache
  readonly rates: RateKeeper
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
   * Judges a scoped token without spending anything, so that a token with a budget of calls or a rate is refused:
   * `acceptCall` takes those too. A refusal's reason is for your log, not for whoever sent the token.
   *
   * @throws {VaultError} DAMAGED or RESTORED if the token records are; then no token may be let through.
   */
  verifyToken(token: unknown, check: TokenCheck): Verdict {
    const verdict = this.#judge(token, check)
    if (verdict.allowed && verdict.rates.length > 0) return { allowed: false, reason: 'rate' }
    if (verdict.allowed && verdict.counters.length > 0) return { allowed: false, reason: 'calls' }
    return verdict
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
    if (!verdict.allowed) return verdict
    const { rates, keeper } = this.#follow()
    if (!rates.take(verdict.rates)) return { allowed: false, reason: 'rate' }
    return (await keeper.spend(verdict)) ? verdict : { allowed: false, reason: 'calls' }
  }

  /** Makes the verifier that the MCP SDK's `requireBearerAuth` takes. It spends nothing. */
  createTokenVerifier({ invalidToken, acceptsCalls = false }: VerifierOptions): AccessTokenVerifier {
    return {
      verifyAccessToken: async (token) => {
        const { records, keeper, cache } = this.#follow()
        records.refresh()
        const status = inspectToken(token, { records, nowMs: this.#access.now(), cache, held: keeper })
        const isRefused = 'allowed' in status || (status.isLimited && !acceptsCalls)
        if (isRefused) throw invalidToken('Unauthorized or expired token')
        const { id, label, scope } = status
        return {
          token,
          clientId: id,
          scopes: scope.methods.includes('tools') ? [...scope.tools] : [],
          expiresAt: Math.floor((scope.beforeMs ?? 0) / 1000),
          extra: { label: label ?? null, methods: scope.methods },
        }
      },
    }
  }

  /** Zeroes the key; the vault cannot be used afterwards. */
  close(): void {
    const { key } = this.#access
    if (key !== undefined) wipeKey(key)
    this.#follower?.records.close()
    this.#follower = undefined
  }

  #judge(token: unknown, { tool, args, definition }: TokenCheck): Verdict {
    const { records, keeper, cache } = this.#follow()
    records.refresh()
    const request: TokenRequest = { method: 'tools', tool, args, digest: definition && digestTool(definition) }
    return verifyToken(token, request, { records, nowMs: this.#access.now(), cache, held: keeper })
  }

  #follow(): Follower {
    if (this.#follower !== undefined) return this.#follower
    const { store, now, randomBytes, warn } = this.#access
    const keys = this.#open()
    const records = TokenRecords.open(store, keys)
    const access = { store, keys, records, acceptRestore: false, now, randomBytes, warn }
    const keeper = new BudgetKeeper(access, { ahead: CALLS_AHEAD })
    this.#follower = { records, keeper, cache: new SignatureCache(), rates: new RateKeeper(() => performance.now()) }
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
