/**
 * Finds the vault that a command is about, the key that opens it, and puts together what the vault room needs.
 *
 * @module
 */

import { statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { VaultError } from '../errors.js'
import { createFileStore } from '../storage/file-store.js'
import type { VaultKey } from '../vault/key.js'
import { openVault, readVault } from '../vault/open.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { mcpvaultDirectory } from './directories.js'
import { type FoundKey, findKey, findRawKey } from './key-source.js'
import { createPrinter } from './printer.js'

const VAULT_NAME = 'mcp_credentials.enc'
const LOCK_TIMEOUT_MS = 5000

/** Where the vault is looked for, in order; the first is taken, and for the last two the first that exists. */
export interface VaultPlace {
  readonly path: string
  /** Where the path comes from, for messages. */
  readonly origin: string
}

/** How a command gets at its vault. */
export interface Opened {
  readonly vault: Vault
  readonly access: VaultAccess
}

/** Names the places of cli.md that apply: `--vault`, else MCPVAULT_FILE, else here, else the data directory. */
export function vaultPlaces(options: Pick<GlobalOptions, 'vault'>, context: Context): readonly VaultPlace[] {
  const at = (path: string, origin: string): VaultPlace => ({ path: resolve(context.cwd, path), origin })
  if (options.vault !== undefined) return [at(options.vault, '--vault')]
  if (context.env.MCPVAULT_FILE) return [at(context.env.MCPVAULT_FILE, 'MCPVAULT_FILE')]
  return [at(VAULT_NAME, 'the current directory'), at(defaultVaultPath(context), 'the data directory')]
}

/** `$XDG_DATA_HOME/mcpvault/mcp_credentials.enc` */
export function defaultVaultPath(context: Context): string {
  return join(mcpvaultDirectory('XDG_DATA_HOME', context), VAULT_NAME)
}

/**
 * Opens the vault for reading. With `key: 'if-there'` a key that is at hand is used to verify the vault, but nothing is
 * asked and no key program is run; with `'needed'` a missing key is an error.
 *
 * @throws {VaultError} NOT_FOUND, NO_KEY, WRONG_KEY, DAMAGED, RESTORED, UNSAFE, INPUT, IO
 */
export async function openForReading(
  options: GlobalOptions,
  context: Context,
  key: 'needed' | 'if-there',
): Promise<Opened> {
  const access = await accessVault(options, context, key)
  return { vault: openVault(access), access }
}

/** Puts together what a change of the vault needs; the vault is opened under the lock later. */
export async function openForWriting(options: GlobalOptions, context: Context): Promise<VaultAccess> {
  return accessVault(options, context, 'needed')
}

async function accessVault(
  options: GlobalOptions,
  context: Context,
  need: 'needed' | 'if-there',
): Promise<VaultAccess> {
  const path = findVault(options, context)
  const request = { isPassive: need === 'if-there', warn: createWarner(context, options) }
  // A tutorial's 0644 would be mailed by cron with every question: who opens the vault or watches is told.
  const isToldOfModes = need === 'needed' || context.stderr.isTerminal
  const given = { context, warn: request.warn, isToldOfModes }
  let found: FoundKey | undefined = findRawKey(options, context, request)
  // Only a vault with a passphrase slot makes a question worth asking.
  if (found === undefined && need === 'needed' && hasPassphraseSlot(createAccess(path, options, given))) {
    found = await findKey(options, context, { ...request, hasPassphrase: true })
  }
  if (found === undefined && need === 'needed') throw missingKey()
  return createAccess(path, options, { ...given, key: found?.key })
}

/** What vault access is made of beside the vault's place. */
interface AccessParts {
  readonly context: Context
  readonly key?: VaultKey | undefined
  /** Says a warning; a new warner by default. */
  readonly warn?: (message: string) => void
  /** Whether a file that others can read is worth a warning. */
  readonly isToldOfModes?: boolean
}

/** Puts together what the vault room needs, for a vault at a path. */
export function createAccess(
  path: string,
  options: GlobalOptions,
  { context, key, warn = createWarner(context, options), isToldOfModes = true }: AccessParts,
): VaultAccess {
  const logPath = options.log ?? context.env.MCPVAULT_LOG
  const directory = dirname(path)
  const store = createFileStore({
    paths: {
      vault: path,
      log: logPath ? resolve(context.cwd, logPath) : join(directory, 'rotation_log.json'),
      tokens: join(directory, 'mcp_tokens.jsonl'),
    },
    stateDirectory: mcpvaultDirectory('XDG_STATE_HOME', context),
    lockTimeoutMs: options.lockTimeoutMs ?? LOCK_TIMEOUT_MS,
    host: context.host,
    randomBytes: (length) => context.randomBytes(length),
    warn: isToldOfModes ? warn : () => {},
  })
  return {
    store,
    key,
    // Late: only a record in the log names the user, and looking the name up takes time.
    get by() {
      return context.host.user
    },
    zone: options.assumeTz,
    acceptRestore: options.acceptRestore,
    isInGit: () => isInGit(directory),
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
    warn,
  }
}

/** Says each warning once, as a command's printer does. */
export function createWarner(
  context: Context,
  options: Pick<GlobalOptions, 'json' | 'quiet' | 'color'>,
): (message: string) => void {
  const printer = createPrinter(context, options)
  const said = new Set<string>()
  return (message) => {
    if (said.has(message)) return
    said.add(message)
    printer.warn(message)
  }
}

function findVault(options: GlobalOptions, context: Context): string {
  const places = vaultPlaces(options, context)
  const found = places.find(({ path }) => exists(path))
  if (found !== undefined) return found.path
  const looked = places.map(({ path, origin }) => `looked for "${path}" (${origin})`)
  throw new VaultError('NOT_FOUND', 'no vault was found', { hints: [...looked, 'to make one: mcpvault init'] })
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    // What cannot be looked at is there for our purposes; opening it says precisely why it cannot be read.
    return true
  }
}

function hasPassphraseSlot(access: VaultAccess): boolean {
  const head = readVault(access.store, access.store.locate('vault')).bytes.subarray(0, 65_600)
  return head[0] === 0x5b && head.includes('"type":"passphrase"')
}

function missingKey(): VaultError {
  return new VaultError('NO_KEY', 'no key was found', {
    hints: [
      'set MCP_ENCRYPTION_KEY or MCP_ENCRYPTION_KEY_FILE, or give --key-file FILE',
      'all places in order: mcpvault help environment',
    ],
  })
}

function isInGit(directory: string): boolean {
  for (let at = directory; ; at = dirname(at)) {
    if (exists(join(at, '.git'))) return true
    if (at === dirname(at)) return false
  }
}
