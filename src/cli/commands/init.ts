import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { Secret } from '../../secret.js'
import { ensurePrivateDirectory } from '../../storage/create-file.js'
import { sweepOldTempFiles } from '../../storage/temp-file.js'
import { createVault } from '../../vault/create.js'
import { formatRawKey, type KeySpelling, RAW_KEY_BYTES, type RawKey, type VaultKey } from '../../vault/key.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import { type CommandShape, type GlobalOptions, oneOf } from '../flags.js'
import { keepInKeychain, keepKeyFile } from '../keep-key.js'
import { defaultKeyFile, findGivenKey } from '../key-source.js'
import { createAccess, createWarner, defaultVaultPath } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { askTwice, canAsk } from '../read-value.js'
import { shellWord } from '../../shell-word.js'

/** Options of `init`. */
export interface InitOptions extends GlobalOptions {
  readonly format?: 'native' | 'fernet' | 'aes-256-gcm'
  readonly passphrase: boolean
  readonly printKey: boolean
  readonly keychain: boolean
}

const INIT: CommandShape<InitOptions> = {
  name: 'init',
  flags: [
    {
      key: 'format',
      long: '--format',
      value: 'FORMAT',
      help: 'native (default); fernet or aes-256-gcm for programs written from the tutorial',
      parse: oneOf('native', 'fernet', 'aes-256-gcm'),
    },
    { key: 'passphrase', long: '--passphrase', help: 'open the vault with a passphrase, asked on the terminal' },
    { key: 'keychain', long: '--keychain', help: 'keep a new key in the keychain of this operating system' },
    {
      key: 'printKey',
      long: '--print-key',
      help: 'print the key as "export MCP_ENCRYPTION_KEY=…" instead of keeping a new one in a file',
    },
  ],
  examples: [
    ['make a vault and a key for this user', 'mcpvault init'],
    [
      'make a vault for a project, its key in a file of its own',
      'mcpvault init --vault ./mcp_credentials.enc --key-file ~/.config/mcpvault/project.key',
    ],
    ['for direnv', '(umask 077; mcpvault init --vault ./mcp_credentials.enc --print-key >> .envrc)'],
    [
      'for a Python server written from the tutorial',
      'mcpvault init --vault ./mcp_credentials.enc --format fernet --print-key',
    ],
  ],
}

/** Registers `init`. */
export function addInitCommand(parent: Command, context: Context, run = runInit): void {
  addCommand(parent, INIT, (options) => run(options, context))
}

/** A key to make the vault with. */
interface InitKey {
  readonly key: VaultKey
  /** The file that a new key is to be kept in. */
  readonly newFile?: string
  /** Nobody can have a copy of it yet. */
  readonly isNew?: boolean
  /** Set when it lies in the keychain: takes it out again. */
  readonly undo?: () => void
  /** Where the key lies, in words. */
  readonly place: string
}

/** Makes a vault, and a key if there is none. */
export async function runInit(options: InitOptions, context: Context): Promise<void> {
  const path = absolutePath(options.vault ?? (context.env.MCPVAULT_FILE || defaultVaultPath(context)), context)
  if (existsSync(path))
    throw new VaultError('EXISTS', `a vault is already there: "${path}"`, {
      hints: [`mcpvault list --vault ${shellWord(path)}`],
    })
  refuseMixed(options)
  const chosen = await chooseKey(options, context)
  // A killed run may have left a key that nobody will ever look for.
  sweepOldTempFiles([keyFileOf(options, context) ?? defaultKeyFile(context)], context.now())
  checkSpelling(options, chosen.key)
  const exported = exportKey(options, chosen.key)
  // Printed first: a vault whose only key was lost in a closed pipe would be worth nothing.
  if (exported !== undefined && !options.json) printKey(exported, context)
  ensurePrivateDirectory(dirname(path))
  if (chosen.newFile !== undefined && chosen.key.type === 'raw') keepKeyFile(chosen.newFile, chosen.key, context)
  const access = createAccess(path, options, { context, key: chosen.key })
  try {
    await createVault(access, isTutorial(options) ? 'tutorial' : 'native', options.keychain ? { keychain: true } : {})
  } catch (error) {
    // A vault that may stand needs its key.
    if (!(error instanceof VaultError && error.code === 'DURABILITY')) chosen.undo?.()
    throw error
  }
  report(options, context, { path, chosen, exported })
}

function refuseMixed({ passphrase, keychain, printKey, keyFile, ...options }: InitOptions): void {
  const given = { '--passphrase': passphrase, '--keychain': keychain, '--print-key': printKey }
  const [first, second] = Object.entries(given).flatMap(([flag, isGiven]) => (isGiven ? [flag] : []))
  if (first !== undefined && second !== undefined) {
    throw new VaultError('USAGE', `cannot use ${first} and ${second} together: they are different keys`)
  }
  if (keychain && keyFile !== undefined) {
    throw new VaultError('USAGE', 'cannot use --keychain and --key-file together: they are different keys')
  }
  if (keychain && isTutorial(options)) {
    throw new VaultError('USAGE', 'the tutorial formats cannot name a keychain: their programs read MCP_ENCRYPTION_KEY')
  }
}

async function chooseKey(options: InitOptions, context: Context): Promise<InitKey> {
  if (options.passphrase) return { key: await askPassphrase(options, context), isNew: true, place: 'the passphrase' }
  if (options.keychain) {
    const key: RawKey = { type: 'raw', bytes: new Secret(context.randomBytes(RAW_KEY_BYTES)), spelling: 'base64url' }
    return { key, isNew: true, ...keepInKeychain(key, context) }
  }
  const keyFile = keyFileOf(options, context)
  if (keyFile === undefined || existsSync(keyFile)) {
    const found = findGivenKey(options, context, { isPassive: false, warn: createWarner(context, options) })
    if (found !== undefined) return { key: found.key, place: found.source }
  }
  const spelling: KeySpelling = options.format === 'aes-256-gcm' ? 'hex' : 'base64url'
  const key: RawKey = { type: 'raw', bytes: new Secret(context.randomBytes(RAW_KEY_BYTES)), spelling }
  if (options.printKey && keyFile === undefined) return { key, isNew: true, place: 'on stdout, and nowhere else' }
  const newFile = keyFile ?? defaultKeyFile(context)
  return { key, isNew: true, newFile, place: `in "${newFile}"` }
}

function keyFileOf({ keyFile }: InitOptions, context: Context): string | undefined {
  return keyFile === undefined ? undefined : absolutePath(keyFile, context)
}

async function askPassphrase(options: InitOptions, context: Context): Promise<VaultKey> {
  if (isTutorial(options))
    throw new VaultError('USAGE', 'the tutorial formats open with a raw key, not with a passphrase')
  if (!canAsk(options, context)) throw new VaultError('USAGE', 'cannot ask for a passphrase: there is no terminal')
  const bytes = await askTwice('passphrase for the new vault', context)
  if (bytes.length === 0) throw new VaultError('INPUT', 'cannot take an empty passphrase')
  return { type: 'passphrase', text: new Secret(bytes) }
}

function isTutorial(options: Pick<InitOptions, 'format'>): boolean {
  return options.format === 'fernet' || options.format === 'aes-256-gcm'
}

/** A program written from the tutorial reads its key in one spelling, and the spelling names the codec of new values. */
function checkSpelling(options: InitOptions, key: VaultKey): void {
  if (key.type === 'age' && isTutorial(options))
    throw new VaultError('INPUT', 'the tutorial formats open with a raw key, not with an age identity')
  if (key.type === 'age' && options.printKey)
    throw new VaultError('INPUT', 'cannot print the key: an age identity was found, which stays where it is')
  if (!isTutorial(options) || key.type !== 'raw') return
  const wanted = options.format === 'fernet' ? 'base64url' : 'hex'
  if (key.spelling === wanted) return
  const words = wanted === 'hex' ? '64 hex digits' : '44 characters of base64url'
  throw new VaultError('INPUT', `cannot make a vault for ${options.format}: its programs read a key of ${words}`, {
    hints: ['the key at hand is spelled the other way; give another one with --key-file FILE'],
  })
}

function exportKey(options: InitOptions, key: VaultKey): string | undefined {
  return options.printKey && key.type === 'raw' ? formatRawKey(key.bytes.reveal(), key.spelling) : undefined
}

function printKey(key: string, context: Context): void {
  context.stdout.write(`export MCP_ENCRYPTION_KEY=${key}\n`)
  if (context.stdout.isClosed)
    throw new VaultError('IO', 'cannot print the key: nobody reads stdout; no vault was made')
}

function report(
  options: InitOptions,
  context: Context,
  made: { readonly path: string; readonly chosen: InitKey; readonly exported: string | undefined },
): void {
  const { path, chosen, exported } = made
  const printer = createPrinter(context, options)
  printer.done(`made the vault "${path}"; its key is ${chosen.place}`, {
    vault: path,
    format: options.format ?? 'native',
    key_file: chosen.newFile ?? null,
    ...(exported === undefined ? {} : { key: exported }),
  })
  if (!chosen.isNew) return
  printer.warn(
    'a lost key cannot be recovered by anybody: keep a copy of it in another safe place, such as a password manager',
  )
}
