import { existsSync, rmSync } from 'node:fs'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { Secret } from '../../secret.js'
import { prepareSlot, sealAgeSlot } from '../../vault/age-key.js'
import { RAW_KEY_BYTES, type RawKey } from '../../vault/key.js'
import { passphraseSlot, rawSlot, type SlotKey } from '../../vault/key-slots.js'
import { isAgeRecipient, isLabel, type KeySlot } from '../../vault/native-format.js'
import { addSlots, describeSlot, readHeader } from '../../vault/rekey.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { keepInKeychain, keepKeyFile } from '../keep-key.js'
import { readKeyFile } from '../key-source.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { askTwice, canAsk } from '../read-value.js'

/** Options of `key add`. */
export interface KeyAddOptions extends GlobalOptions {
  readonly recipients: readonly string[]
  readonly newKeyFile?: string
  readonly newPassphrase: boolean
  readonly keychain: boolean
  readonly label?: string
}

const KEY_ADD: CommandShape<KeyAddOptions> = {
  name: 'key add',
  flags: [
    {
      key: 'recipients',
      long: '--recipient',
      value: 'AGE1…',
      help: 'a recipient of age, whose identity then opens the vault; may be repeated',
      isList: true,
      parse: parseRecipient,
    },
    {
      key: 'newKeyFile',
      long: '--new-key-file',
      value: 'FILE',
      help: 'the key in this file; a new key is made where there is no such file',
    },
    { key: 'newPassphrase', long: '--new-passphrase', help: 'a passphrase, asked on the terminal' },
    { key: 'keychain', long: '--keychain', help: 'a new key in the keychain of this operating system' },
    { key: 'label', long: '--label', value: 'NAME', help: 'whose key it is, to name it by', parse: parseLabel },
  ],
  examples: [
    [
      'let a colleague in, by what "mcpvault key identity" printed there',
      'mcpvault key add --label alice --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
    ],
    ['a second key for the safe', 'mcpvault key add --label safe --new-key-file /media/safe/mcpvault.key'],
    ['open the vault by logging in to this machine', 'mcpvault key add --keychain'],
  ],
}

/** Registers `key add`. */
export function addKeyAddCommand(parent: Command, context: Context, run = runKeyAdd): void {
  addCommand(parent, KEY_ADD, (options) => run(options, context))
}

/** A key to add, and how to undo what was done for it outside of the vault. */
interface NewKey {
  readonly slots: readonly SlotKey[]
  readonly place?: string
  readonly undo?: () => void
}

/** Wraps the data key for another key; nothing else of the vault changes. */
export async function runKeyAdd(options: KeyAddOptions, context: Context): Promise<void> {
  refuseMixed(options)
  const access = await openForWriting(options, context)
  // What is wrong with the vault is said before a key is made for it.
  await readHeader(access)
  const made = await makeKey(options, context, access)
  const added = await addOrUndo(access, made)
  report(added, made, { options, context, access })
}

async function addOrUndo(access: VaultAccess, { slots, undo }: NewKey): Promise<readonly KeySlot[]> {
  try {
    return await addSlots(access, slots)
  } catch (error) {
    // A change that may stand needs its key.
    if (!(error instanceof VaultError && error.code === 'DURABILITY')) undo?.()
    throw error
  }
}

function refuseMixed({ recipients, newKeyFile, newPassphrase, keychain, label }: KeyAddOptions): void {
  const kinds = [recipients.length > 0, newKeyFile !== undefined, newPassphrase, keychain].filter(Boolean).length
  if (kinds !== 1) {
    throw new VaultError('USAGE', 'give one of --recipient, --new-key-file, --new-passphrase and --keychain', {
      hints: ['mcpvault help key add'],
    })
  }
  if (label !== undefined && recipients.length > 1) {
    throw new VaultError('USAGE', 'cannot give one label to several recipients: add them one by one')
  }
}

async function makeKey(options: KeyAddOptions, context: Context, access: VaultAccess): Promise<NewKey> {
  const { recipients, newKeyFile, newPassphrase, label } = options
  const randomBytes = access.randomBytes.bind(access)
  const given = label === undefined ? {} : { label }
  if (recipients.length > 0) {
    const unique = [...new Set(recipients)]
    return { slots: await Promise.all(unique.map((recipient) => sealAgeSlot(recipient, randomBytes, given))) }
  }
  if (newPassphrase) {
    if (!canAsk(options, context)) throw new VaultError('USAGE', 'cannot ask for a passphrase: there is no terminal')
    const bytes = await askTwice('new passphrase', context)
    if (bytes.length === 0) throw new VaultError('INPUT', 'cannot take an empty passphrase')
    return { slots: [passphraseSlot(new Secret(bytes), randomBytes, given)] }
  }
  if (newKeyFile === undefined) {
    const key = drawKey(context)
    const kept = keepInKeychain(key, context)
    return { slots: [rawSlot(key, { ...given, keychain: true })], ...kept }
  }
  const found = readKeyFile(newKeyFile, context, access.warn.bind(access))
  if (found !== undefined) return { slots: [await prepareSlot(found.key, randomBytes, given)] }
  const key = drawKey(context)
  const path = absolutePath(newKeyFile, context)
  keepKeyFile(path, key, context)
  return { slots: [rawSlot(key, given)], place: `in "${path}"`, undo: () => rmSync(path, { force: existsSync(path) }) }
}

function drawKey(context: Context): RawKey {
  return { type: 'raw', bytes: new Secret(context.randomBytes(RAW_KEY_BYTES)), spelling: 'base64url' }
}

function report(
  added: readonly KeySlot[],
  { place }: NewKey,
  { options, context, access }: { options: KeyAddOptions; context: Context; access: VaultAccess },
): void {
  const printer = createPrinter(context, options)
  const where = place === undefined ? '' : `; it is ${place}`
  printer.done(`added ${added.map(describeSlot).join(', ')}${where}`, {
    vault: access.store.locate('vault'),
    added: added.map(({ kid, type, label }) => ({ id: kid, type, label: label ?? null })),
  })
}

function parseRecipient(text: string): string {
  const recipient = text.trim()
  if (isAgeRecipient(recipient)) return recipient
  const reason = /^AGE-(SECRET-KEY|PLUGIN)/i.test(recipient)
    ? 'that is an identity, which stays with its owner; it was on the command line, so make a new one'
    : 'expected age1 and 58 more characters (X25519); recipients of plugins and post-quantum ones are not taken'
  throw new VaultError('USAGE', `cannot read --recipient: ${reason}`, { hints: ['mcpvault key identity prints one'] })
}

function parseLabel(text: string): string {
  if (isLabel(text)) return text
  throw new VaultError('USAGE', 'cannot read --label: expected up to 64 letters, digits and any of _ . : / @ + -')
}
