import type { Command } from 'commander'
import { changeVault } from '../../vault/change.js'
import { unknownName } from '../../vault/name.js'
import { openVault } from '../../vault/open.js'
import { addCommand } from '../command.js'
import { requireConfirmation } from '../confirm.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { parseReason } from '../reason.js'
import { warnOfTutorialBackup } from '../side-files.js'

/** Options of `remove`. */
export interface RemoveOptions extends GlobalOptions {
  readonly name: string
  readonly yes: boolean
  readonly reason?: string
}

const REMOVE: CommandShape<RemoveOptions> = {
  name: 'remove',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    { key: 'yes', long: '--yes', help: 'do not ask' },
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
  ],
  examples: [['remove a credential from a script', 'mcpvault remove old_key --yes']],
}

/** Registers `remove`. */
export function addRemoveCommand(parent: Command, context: Context, run = runRemove): void {
  addCommand(parent, REMOVE, (options) => run(options, context))
}

/** Removes a credential with all its versions, for good. */
export async function runRemove(options: RemoveOptions, context: Context): Promise<void> {
  const { name, reason } = options
  const access = await openForWriting(options, context)
  const vault = openVault(access)
  if (vault.describe(name) === undefined) throw unknownName(name, vault.names())
  await requireConfirmation(`Remove "${name}" and every version of it for good?`, options, context)
  await changeVault(access, 'remove', (draft) => draft.remove(name, { reason }))
  warnOfTutorialBackup(access)
  createPrinter(context, options).done(
    `removed "${name}"; the key at the provider still works until you revoke it there`,
    { name },
  )
}
