import { dirname } from 'node:path'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { createPrivateFile, ensurePrivateDirectory } from '../../storage/create-file.js'
import { drawIdentity, readAgeSlots } from '../../vault/age-key.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { defaultKeyFile, readKeyFile } from '../key-source.js'
import { createWarner } from '../open-vault.js'
import { createPrinter } from '../printer.js'

/** Options of `key identity`. */
export interface KeyIdentityOptions extends GlobalOptions {
  readonly file?: string
}

const KEY_IDENTITY: CommandShape<KeyIdentityOptions> = {
  name: 'key identity',
  positionals: [
    { key: 'file', arity: 'optional', help: 'where the identity lies, or is to lie (the default key file)' },
  ],
  examples: [
    ['what to send to whoever lets you into a vault', 'mcpvault key identity'],
    ['the recipient of an identity that age-keygen has made', 'mcpvault key identity ~/.config/age/keys.txt'],
  ],
}

/** Registers `key identity`. */
export function addKeyIdentityCommand(parent: Command, context: Context, run = runKeyIdentity): void {
  addCommand(parent, KEY_IDENTITY, (options) => run(options, context))
}

/** Prints the recipients of an identity file, which is made where there is none. */
export async function runKeyIdentity(options: KeyIdentityOptions, context: Context): Promise<void> {
  const path = options.file === undefined ? defaultKeyFile(context) : absolutePath(options.file, context)
  const printer = createPrinter(context, options)
  const found = readKeyFile(path, context, createWarner(context, options))
  if (found !== undefined && found.key.type !== 'age') {
    throw new VaultError('EXISTS', `"${path}" holds a raw key, which is no identity of age and has no recipient`, {
      hints: ['keep the identity elsewhere: mcpvault key identity FILE, and give it with --key-file FILE'],
    })
  }
  if (found?.key.type === 'age') {
    await readAgeSlots(found.key, [])
    print(found.key.recipients, { options, context, path })
    return
  }
  const { identity, recipient } = await drawIdentity()
  const text = `# made ${new Date(context.now()).toISOString()}\n# public key: ${recipient}\n${identity.revealText()}\n`
  ensurePrivateDirectory(dirname(path))
  createPrivateFile(path, Buffer.from(text), { randomBytes: (length) => context.randomBytes(length) })
  identity.wipe()
  if (!options.json && !options.quiet)
    context.stderr.write(`made an identity of age in "${path}"; its recipient may be known to anybody:\n`)
  print([recipient], { options, context, path })
  printer.warn('a lost identity cannot be recovered by anybody: keep a copy of it in another safe place')
}

function print(
  recipients: readonly string[],
  { options, context, path }: { options: GlobalOptions; context: Context; path: string },
): void {
  if (options.json) createPrinter(context, options).json({ file: path, recipients })
  else context.stdout.write(recipients.map((recipient) => `${recipient}\n`).join(''))
}
