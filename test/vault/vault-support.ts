/** What the vault tests share: a vault over real files in a temporary directory, with a clock that stands still. */

import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type ErrorCode, VaultError } from '../../src/errors.js'
import type { LogRecord } from '../../src/log/record.js'
import type { LogReport } from '../../src/log/verify.js'
import { Secret } from '../../src/secret.js'
import { createFileStore } from '../../src/storage/file-store.js'
import type { Store, Transaction } from '../../src/storage/store.js'
import { changeVault } from '../../src/vault/change.js'
import { checkLog } from '../../src/vault/check-log.js'
import { createVault } from '../../src/vault/create.js'
import type { KeySpelling, PassphraseKey, RawKey, VaultKey } from '../../src/vault/key.js'
import { openVault } from '../../src/vault/open.js'
import { sealText } from '../../src/vault/tutorial-value.js'
import type {
  Draft,
  RotatedVersion,
  TutorialCodec,
  Vault,
  VaultAccess,
  VaultFormat,
  VersionChoice,
} from '../../src/vault/vault.js'
import { temporaryDirectory } from '../support/directory.js'

/** 2026-11-22T12:00:00Z, where the clock stands at first. */
export const START_MS = Date.UTC(2026, 10, 22, 12)
export const DAY_MS = 86_400_000
export const WEEK_SECONDS = 7 * 86_400

/** Replaces some of a transaction's methods. */
export type Meddle = (transaction: Transaction) => Partial<Transaction>

/** A vault's files, and all that is needed to use them. */
export class VaultWorld {
  readonly directory: string
  readonly key: VaultKey
  readonly warnings: string[] = []
  nowMs = START_MS
  zone: string | undefined = 'UTC'
  acceptRestore = false
  isInGit = false
  stateDirectory: string

  constructor(options: { readonly key?: VaultKey; readonly directory?: string } = {}) {
    this.directory = options.directory ?? temporaryDirectory()
    this.key = options.key ?? rawKey()
    this.stateDirectory = join(this.directory, 'state')
  }

  /** Makes a world with an empty vault in it. */
  static async create(options: { readonly key?: VaultKey; readonly format?: VaultFormat } = {}): Promise<VaultWorld> {
    const world = new VaultWorld(options)
    await createVault(world.access(), options.format ?? 'native')
    return world
  }

  path(name: 'vault' | 'log' | 'tokens', suffix = ''): string {
    const names = { vault: 'mcp_credentials.enc', log: 'rotation_log.json', tokens: 'mcp_tokens.jsonl' }
    return join(this.directory, names[name] + suffix)
  }

  store(): Store {
    return createFileStore({
      paths: { vault: this.path('vault'), log: this.path('log'), tokens: this.path('tokens') },
      stateDirectory: this.stateDirectory,
      lockTimeoutMs: 5000,
      host: { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 },
      randomBytes,
      warn: (text) => this.warnings.push(text),
    })
  }

  access(changes: Partial<VaultAccess> = {}): VaultAccess {
    return {
      store: this.store(),
      key: this.key,
      by: 'tester@machine',
      zone: this.zone,
      acceptRestore: this.acceptRestore,
      isInGit: () => this.isInGit,
      now: () => this.nowMs,
      randomBytes,
      warn: (message) => this.warnings.push(message),
      ...changes,
    }
  }

  /** Access whose transactions are meddled with. */
  meddled(meddle: Meddle, changes: Partial<VaultAccess> = {}): VaultAccess {
    return this.access({ store: meddleWith(this.store(), meddle), ...changes })
  }

  open(changes: Partial<VaultAccess> = {}): Vault {
    return openVault(this.access(changes))
  }

  change<T>(change: (draft: Draft) => T): Promise<T> {
    return changeVault(this.access(), 'rotate', change)
  }

  put(name: string, value: string | Buffer, note?: string): Promise<RotatedVersion> {
    return this.change((draft) => draft.store(name, secret(value), { note }))
  }

  rotate(name: string, value: string | Buffer, graceSeconds = WEEK_SECONDS): Promise<RotatedVersion> {
    return this.change((draft) => draft.rotate(name, secret(value), { graceSeconds }))
  }

  rollback(name: string, to?: number): Promise<RotatedVersion> {
    return this.change((draft) => draft.rollback(name, { to, graceSeconds: WEEK_SECONDS }))
  }

  remove(name: string): Promise<void> {
    return this.change((draft) => draft.remove(name, {}))
  }

  bytes(name: string, version?: VersionChoice): Buffer {
    return this.open().load(name, { version, nowMs: this.nowMs }).reveal()
  }

  text(name: string, version?: VersionChoice): string {
    return this.bytes(name, version).toString('utf8')
  }

  read(suffix = ''): Buffer {
    return readFileSync(this.path('vault', suffix))
  }

  write(bytes: Buffer | string): void {
    writeFileSync(this.path('vault'), bytes, { mode: 0o600 })
  }

  has(suffix: string): boolean {
    return existsSync(this.path('vault', suffix))
  }

  lines(): readonly string[] {
    return this.read().toString('utf8').split('\n')
  }

  records(): readonly LogRecord[] {
    return existsSync(this.path('log')) ? JSON.parse(readFileSync(this.path('log'), 'utf8')) : []
  }

  /** The members of a tutorial vault. */
  json(): Readonly<Record<string, unknown>> {
    return JSON.parse(this.read().toString('utf8'))
  }

  /** What verifying the log against the vault finds. */
  report(): LogReport {
    return checkLog(this.open(), this.access())
  }

  /** `action name` of every record. */
  history(): readonly string[] {
    return this.records().map((record) => `${record.action} ${record.credential ?? record.subject ?? '-'}`)
  }
}

function meddleWith(store: Store, meddle: Meddle): Store {
  return {
    ...store,
    transaction: (command, body) =>
      store.transaction(command, (real) => {
        const changes = meddle(real)
        return body({
          read: real.read.bind(real),
          open: real.open.bind(real),
          replace: real.replace.bind(real),
          append: real.append.bind(real),
          discardPrevious: real.discardPrevious.bind(real),
          ...changes,
        })
      }),
  }
}

export function rawKey(bytes: Buffer = randomBytes(32), spelling: KeySpelling = 'base64url'): RawKey {
  return { type: 'raw', bytes: new Secret(bytes), spelling }
}

export function passphraseKey(text: string): PassphraseKey {
  return { type: 'passphrase', text: Secret.fromText(text) }
}

/** A value as a tutorial program writes it. */
export function sealed(key: RawKey, codec: TutorialCodec, text: string): string {
  return sealText(key, Buffer.from(text), { codec, nowMs: START_MS, randomBytes })
}

export function secret(value: string | Buffer): Secret {
  return typeof value === 'string' ? Secret.fromText(value) : new Secret(Buffer.from(value))
}

/** Gives what was thrown, and fails when nothing was or it is no {@link VaultError} of the code. */
export async function expectCode(code: ErrorCode, run: () => unknown): Promise<VaultError> {
  let failure: unknown
  try {
    await run()
  } catch (error) {
    failure = error
  }
  if (!(failure instanceof VaultError)) throw failure ?? new Error(`it did not fail with ${code}`)
  expect(failure.code, failure.message).toBe(code)
  return failure
}
