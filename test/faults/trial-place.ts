/**
 * A directory in which the built program works on real files as real processes, and what the files there mean.
 *
 * @module
 */

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../src/crypto/kdf.js'
import { readForward } from '../../src/log/read.js'
import { type LogRecord, recordName } from '../../src/log/record.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { parseRawKey, type RawKey } from '../../src/vault/key.js'
import { parseVault } from '../../src/vault/open.js'
import type { Vault } from '../../src/vault/vault.js'
import type { BuiltCopy } from '../support/built.js'
import { TestWorld } from '../support/context.js'
import { ownerRecord } from '../storage/storage-support.js'
import { VaultWorld } from '../vault/vault-support.js'

/** The key of these trials, spelled as Fernet has it. */
export const KEY = `${Buffer.alloc(32, 'trial key').toString('base64url')}=`

const VAULT = 'mcp_credentials.enc'
const DOCUMENTS = [VAULT, 'rotation_log.json', 'mcp_tokens.jsonl', `${VAULT}.bak`, `${VAULT}.tutorial.bak`]

/** What a process did. */
export interface Ran {
  /** Undefined when a signal ended it. */
  readonly status: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
}

/** What the files mean to whoever reads them, without what differs from run to run. */
export interface State {
  readonly format: 'native' | 'tutorial' | 'none'
  /** Values by name: the current one and, where one is loadable, the one before. */
  readonly values: Readonly<Record<string, readonly string[]>>
  /** Action and name of each record, those included that are committed in the vault and not yet in the log. */
  readonly log: readonly string[]
  /** Label and state of each token. */
  readonly tokens: readonly string[]
}

/** How a command is run. */
export interface RunOptions {
  /** Puts other programs in front of the command, such as strace. */
  readonly wrap?: (command: readonly string[]) => readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** A vault, its log and its token records in a temporary directory that is also the home directory. */
export class TrialPlace {
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly #program: BuiltCopy
  readonly #values: string

  constructor(program: BuiltCopy) {
    this.#program = program
    this.directory = mkdtempSync(join(realpathSync(tmpdir()), 'mcpvault-trial-'))
    this.#values = mkdtempSync(join(realpathSync(tmpdir()), 'mcpvault-values-'))
    this.env = { PATH: process.env.PATH ?? '', HOME: this.directory, TZ: 'UTC' }
  }

  remove(): void {
    for (const path of [this.directory, this.#values]) rmSync(path, { recursive: true, force: true })
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  get vault(): string {
    return this.path(VAULT)
  }

  /**
   * Makes the command line of the built program for words like `store a =VALUE`.
   *
   * The working directory is elsewhere, so that every path in a trace is a whole one.
   */
  command(argv: readonly string[]): readonly string[] {
    const flags = ['--vault', this.vault, '--lock-timeout', '120s']
    return [process.execPath, this.#program.launcher, ...this.words(argv), ...flags]
  }

  /** Gives the words with each `=VALUE` replaced by a file that holds the value. */
  words(argv: readonly string[]): readonly string[] {
    return argv.flatMap((word) => (word.startsWith('=') ? ['--from-file', this.#valueFile(word.slice(1))] : [word]))
  }

  run(argv: readonly string[], options: RunOptions = {}): Ran {
    const command = this.command(argv)
    return this.runCommand(command, { ...options, env: { ...this.keyFor(argv), ...options.env } })
  }

  runCommand(command: readonly string[], { wrap, env, input }: RunOptions = {}): Ran {
    const [file = '', ...args] = wrap ? wrap(command) : command
    const ran = spawnSync(file, args, {
      cwd: '/',
      env: { ...this.env, ...env },
      encoding: 'utf8',
      timeout: 120_000,
      ...(input === undefined ? { stdio: ['ignore', 'pipe', 'pipe'] } : { input }),
    })
    if (ran.error) throw ran.error
    return { status: ran.status ?? undefined, signal: ran.signal ?? undefined, stdout: ran.stdout, stderr: ran.stderr }
  }

  /** Runs a command that must succeed. */
  succeed(argv: readonly string[]): string {
    const { status, stdout, stderr } = this.run(argv)
    if (status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${status}: ${stderr}`)
    return stdout
  }

  /** Leaves the lock of a process that has been killed. */
  leaveDeadLock(): void {
    const { pid } = spawnSync('true')
    writeFileSync(`${this.vault}.lock`, ownerRecord({ pid }), { mode: 0o600 })
  }

  /** Keeps everything as it is now, to go back to. */
  keep(): void {
    this.keepAs('kept')
  }

  /** Copies everything to a directory of that name, and gives its path. */
  keepAs(name: string): string {
    const path = join(this.#values, name)
    cpSync(this.directory, path, { recursive: true })
    return path
  }

  /** Where {@link keep} keeps everything. */
  get kept(): string {
    return join(this.#values, 'kept')
  }

  /** Goes back to what was kept. */
  restore(): void {
    for (const name of readdirSync(this.directory)) rmSync(this.path(name), { recursive: true, force: true })
    cpSync(this.kept, this.directory, { recursive: true })
  }

  /**
   * What lies beside documents that are byte for byte as they were kept, without what is random in names; undefined
   * where a document has changed. Two places with the same view are the same to every command.
   */
  untouchedView(): string | undefined {
    const isKept = (name: string): boolean => {
      const [here, kept] = [this.path(name), join(this.kept, name)]
      return existsSync(kept) ? existsSync(here) && readFileSync(here).equals(readFileSync(kept)) : !existsSync(here)
    }
    if (!DOCUMENTS.every(isKept)) return undefined
    const others = this.files().filter((name) => !DOCUMENTS.includes(name))
    return others.map((name) => `${name.replace(/[0-9a-f]{16}/g, '*')} ${statSync(this.path(name)).size}`).join('\n')
  }

  /** Every file below the directory, with its path in it. */
  files(): readonly string[] {
    return readdirSync(this.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.directory.length + 1))
      .sort()
  }

  /** Files that no command means to leave behind. */
  leftovers(): readonly string[] {
    // What this machine has seen of a vault, and of a place.
    const marks = /^\.local\/state\/mcpvault\/([A-Za-z0-9_-]{22}|place-[A-Za-z0-9_-]{43})\.json$/
    // A place is written once, so nobody comes to sweep what a failing disk would not remove beside it.
    const strays = /^\.local\/state\/mcpvault\/\.place-[A-Za-z0-9_-]{43}\.json\.tmp-[0-9a-f]{16}$/
    // What a kill left beside a key is swept by the next one that is created there.
    const keys = /^\.config\/mcpvault\/(key|\.key\.tmp-[0-9a-f]{16})$/
    return this.files().filter(
      (name) => !DOCUMENTS.includes(name) && ![keys, marks, strays].some((one) => one.test(name)),
    )
  }

  /**
   * Reads everything and verifies it as a user would.
   *
   * Throws when anything does not verify; a torn end of the log is fine, a missing vault is the state `none`.
   */
  async state(): Promise<State> {
    if (!existsSync(this.vault)) return { format: 'none', values: {}, log: [], tokens: [] }
    await this.#expectSuccess('list', 'log verify', 'log show', 'token list --all', 'rotation-due --exit-zero')
    const world = this.#world()
    const vault = world.open()
    const values = Object.fromEntries(vault.names().map((name) => [name, loadAll(vault, name)]))
    return { format: vault.format, values, log: readLog(world, vault), tokens: readTokens(world, vault) }
  }

  /** Writes every document once more, when whatever a killed process left behind is old enough to be swept. */
  async workOn(): Promise<void> {
    for (const name of this.files()) if (name.includes('.tmp-')) utimesSync(this.path(name), 0, 0)
    await this.#expectSuccess('rotate afterwards --create --generate', 'token create --tools z')
    await this.state()
  }

  /** The names in the generation before, which `.bak` holds; none where there is none. */
  previousNames(): readonly string[] {
    if (!existsSync(`${this.vault}.bak`)) return []
    return parseVault(readFileSync(`${this.vault}.bak`), this.#key()).names()
  }

  async #expectSuccess(...commands: readonly string[]): Promise<void> {
    const env = { ...this.keyFor([]), MCPVAULT_FILE: this.vault }
    const world = new TestWorld({ directory: this.directory, env, nowMs: Date.now() })
    for (const command of commands) {
      const status = await world.run(...command.split(' '))
      if (status !== 0) throw new Error(`mcpvault ${command} gave ${status}: ${world.stderr}`)
    }
  }

  #world(): VaultWorld {
    const world = new VaultWorld({ directory: this.directory, key: this.#key() })
    world.stateDirectory = this.path('.local/state/mcpvault')
    world.nowMs = Date.now()
    return world
  }

  /** The environment that a command finds its key by: `init` makes one of its own, and then it lies in a file. */
  keyFor(argv: readonly string[]): Readonly<Record<string, string>> {
    const hasOwn = (argv[0] === 'init' && !argv.includes('--format')) || existsSync(this.path('.config/mcpvault/key'))
    return hasOwn ? {} : { MCP_ENCRYPTION_KEY: KEY }
  }

  #key(): RawKey {
    const text = this.keyFor([]).MCP_ENCRYPTION_KEY ?? readFileSync(this.path('.config/mcpvault/key'), 'utf8').trim()
    return parseRawKey(text) as RawKey
  }

  #valueFile(value: string): string {
    const path = join(this.#values, `${sha256(value).toString('hex')}.value`)
    if (!existsSync(path)) writeFileSync(path, value)
    return path
  }
}

function loadAll(vault: Vault, name: string): readonly string[] {
  const nowMs = Date.now()
  const versions = vault.describe(name)?.versions ?? []
  const read = (version: 'previous' | undefined): string =>
    vault.load(name, { version, nowMs }).reveal().toString('utf8')
  return versions.some(({ stage }) => stage === 'previous') ? [read(undefined), read('previous')] : [read(undefined)]
}

function readLog(world: VaultWorld, vault: Vault): readonly string[] {
  const reader = world.store().open('log')
  try {
    const records: LogRecord[] = reader ? [...readForward(reader)] : []
    const known = new Set(records.map(({ id }) => id))
    const pending = (vault.logAnchor?.pending ?? []).filter(({ id }) => !known.has(id))
    return [...records, ...pending].map((record) => `${record.action} ${recordName(record) ?? '-'}`)
  } finally {
    reader?.close()
  }
}

function readTokens(world: VaultWorld, vault: Vault): readonly string[] {
  const records = TokenRecords.open(world.store(), vault)
  return records.all().map(({ label, revokedMs }) => `${label} ${revokedMs === undefined ? 'live' : 'revoked'}`)
}
