/**
 * Finds the vault that a command is about, the key that opens it, and puts together what the vault room needs.
 *
 * @module
 */

import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { createFileStore } from '../storage/file-store.js'
import { followLinks } from '../storage/resolve-target.js'
import type { DocumentName, Store } from '../storage/store.js'
import { ageSlotsOf, readAgeSlots, withFreshKey } from '../vault/age-key.js'
import { rawKeyId, type VaultKey } from '../vault/key.js'
import { openVault } from '../vault/open.js'
import { type ListedSlot, readSlots } from '../vault/slots.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { absolutePath, mcpvaultDirectory } from './directories.js'
import {
  askPassphrase,
  type FoundKey,
  findGivenKey,
  findInKeychain,
  type GivenKey,
  type KeyRequest,
} from './key-source.js'
import { createPrinter } from './printer.js'
import { sideFiles } from './side-files.js'

export const VAULT_NAME = 'mcp_credentials.enc'
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
  const at = (path: string, origin: string): VaultPlace => ({ path: absolutePath(path, context), origin })
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
  return { vault: await withFreshKey(access, () => openVault(access)), access }
}

/** Puts together what a change of the vault needs; the vault is opened under the lock later. */
export async function openForWriting(options: GlobalOptions, context: Context): Promise<VaultAccess> {
  return accessVault(options, context, 'needed')
}

/**
 * Puts together what is needed of a vault that is there, with its key; the vault itself is not opened.
 *
 * @throws {VaultError} NOT_FOUND, NO_KEY if a key is `'needed'`, UNSAFE, INPUT, IO
 */
export async function accessVault(
  options: GlobalOptions,
  context: Context,
  need: 'needed' | 'if-there',
): Promise<VaultAccess> {
  const path = findVault(options, context)
  const request = { isPassive: need === 'if-there', warn: createWarner(context, options) }
  // A tutorial's 0644 would be mailed by cron with every question: who opens the vault or watches is told.
  const isToldOfModes = need === 'needed' || context.stderr.isTerminal
  const given = { context, warn: request.warn, isToldOfModes }
  const locked = createAccess(path, options, given)
  const found = await chooseKey(options, context, { ...request, store: locked.store })
  if (found === undefined && need === 'needed') throw missingKey(readSlots(locked.store))
  // Nobody has it yet, and making another would read the same directories again.
  return found === undefined ? locked : Object.assign(locked, { key: { ...found.key, source: found.source } })
}

/**
 * Finds the key. A key file that nobody named (the default one) is passed over where the vault lists other
 * keys: it belongs to another vault (docs/decisions/0005). Asks for a passphrase where the vault has a slot for one.
 */
export async function chooseKey(
  options: GlobalOptions,
  context: Context,
  request: KeyRequest & { readonly store: Store },
): Promise<FoundKey | undefined> {
  const found = findGivenKey(options, context, request)
  if (found?.key.type === 'age') await readAgeSlots(found.key, ageSlotsOf(request.store))
  if (found !== undefined && !found.isImplicit) return found
  if (found === undefined && request.isPassive) return undefined
  const slots = readSlots(request.store)
  const kids = request.isPassive ? [] : (slots ?? []).filter(({ isInKeychain }) => isInKeychain).map(({ kid }) => kid)
  const kept = findInKeychain(kids, context)
  if (kept.found !== undefined) return kept.found
  if (found !== undefined && (slots === undefined || isListed(found.key, slots))) return found
  if (!request.isPassive && slots?.some(({ type }) => type === 'passphrase')) {
    const asked = await askPassphrase(options, context)
    if (asked !== undefined) return asked
  }
  if (kept.failure !== undefined) throw kept.failure
  if (found === undefined || request.isPassive) return undefined
  // Nothing else is there: opening with it says precisely why it does not fit.
  return slots?.some(({ type }) => type !== 'passphrase') ? found : undefined
}

function isListed(key: GivenKey, slots: readonly ListedSlot[]): boolean {
  if (key.type === 'age') return slots.some(({ age }) => age !== undefined && key.recipients.includes(age.recipient))
  const kid = rawKeyId(key.bytes.reveal())
  return slots.some((slot) => slot.type === 'raw' && slot.kid === kid)
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
  // What belongs to the vault lies beside the file itself, by whichever link it was named.
  const directory = dirname(followLinks(path))
  const paths = {
    vault: path,
    log: logPath ? absolutePath(logPath, context) : join(directory, 'rotation_log.json'),
    tokens: join(directory, 'mcp_tokens.jsonl'),
  }
  if (logPath) refuseTakenPlace(paths)
  const store = createFileStore({
    paths,
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
    trustNewKey: options.trustNewKey,
    isInGit: () => isInGit(directory),
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
    warn,
  }
}

function refuseTakenPlace(paths: Readonly<Record<DocumentName, string>>): void {
  const taken = sideFiles((name) => paths[name]).get(followLinks(paths.log))
  if (taken === 'the rotation log') return
  throw new VaultError('USAGE', `cannot keep the rotation log in "${paths.log}": that is the place of ${taken}`)
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

/** Tells whether there is a vault to work with. */
export function hasVault(options: Pick<GlobalOptions, 'vault'>, context: Context): boolean {
  return vaultPlaces(options, context).some(({ path }) => exists(path))
}

/** Finds the vault that is there. @throws {VaultError} NOT_FOUND, naming where it was looked for */
export function findVault(options: Pick<GlobalOptions, 'vault'>, context: Context): string {
  const places = vaultPlaces(options, context)
  const found = places.find(({ path }) => exists(path))
  if (found !== undefined) return found.path
  const looked = places.map(({ path, origin }) => `looked for "${path}" (${origin})`)
  throw new VaultError('NOT_FOUND', 'no vault was found', { hints: [...looked, 'to make one: mcpvault init'] })
}

function exists(path: string): boolean {
  try {
    // With the kind of numbers that all other files are looked at: the first use of another costs every start.
    return statSync(path, { bigint: true, throwIfNoEntry: false }) !== undefined
  } catch {
    // What cannot be looked at is there for our purposes; opening it says precisely why it cannot be read.
    return true
  }
}

function missingKey(slots: readonly ListedSlot[] | undefined): VaultError {
  const isPassphraseOnly = slots !== undefined && slots.length > 0 && slots.every(({ type }) => type === 'passphrase')
  return new VaultError('NO_KEY', 'no key was found', {
    hints: isPassphraseOnly
      ? ['this vault opens with a passphrase, which is asked on a terminal']
      : [
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
