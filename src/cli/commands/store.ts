import type { Command } from 'commander'
import { changeVault } from '../../vault/change.js'
import { checkNewName, existsAlready } from '../../vault/name.js'
import { newNameOrAsk } from '../ask-missing.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { openVault } from '../../vault/open.js'
import { NO_VALUE_ARGUMENT, readValue, VALUE_FLAGS, type ValueOptions } from '../read-value.js'

/** Options of `store`. */
export interface StoreOptions extends GlobalOptions, ValueOptions {
  /** Asked for when it is missing. */
  readonly name?: string
  readonly note?: string
}

const STORE: CommandShape<StoreOptions> = {
  name: 'store',
  positionals: [{ key: 'name', arity: 'optional', help: 'the credential; asked for on a terminal' }],
  flags: [
    ...VALUE_FLAGS,
    { key: 'note', long: '--note', value: 'TEXT', help: 'what the credential is for; not secret' },
  ],
  refuseExtra: NO_VALUE_ARGUMENT,
  refuseFlags: { '--value': NO_VALUE_ARGUMENT },
  examples: [
    ['type or paste the value without echo', 'mcpvault store scavio_api_key'],
    ['take the value from another program', 'pass show scavio | mcpvault store scavio_api_key --stdin'],
    ['make up a random value', 'mcpvault store webhook_secret --generate'],
  ],
}

/** Registers `store`. */
export function addStoreCommand(parent: Command, context: Context, run = runStore): void {
  addCommand(parent, STORE, (options) => run(options, context))
}

/** Keeps a new credential. */
export async function runStore(options: StoreOptions, context: Context): Promise<void> {
  const { note } = options
  const name = await newNameOrAsk(options, context, 'store')
  checkNewName(name)
  const access = await openForWriting(options, context)
  // Asked before the value is: nobody should paste a key only to be told that the name is taken.
  if (openVault(access).describe(name) !== undefined) throw existsAlready(name)
  const value = await readValue(`value of "${name}"`, options, context)
  const stored = await changeVault(access, 'store', (draft) => draft.store(name, value, { note }))
  value.wipe()
  const printer = createPrinter(context, options)
  printer.done(`stored "${name}"`, { name, version: stored.version ?? null })
}
