import type { Command } from 'commander'
import { readLog } from '../../rotation/ages.js'
import { lastRotations } from '../../rotation/due.js'
import { changeVault } from '../../vault/change.js'
import { openVault } from '../../vault/open.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { parseReason } from '../reason.js'

/** Options of `rename`. */
export interface RenameOptions extends GlobalOptions {
  readonly old: string
  readonly new: string
  readonly reason?: string
}

const RENAME: CommandShape<RenameOptions> = {
  name: 'rename',
  positionals: [
    { key: 'old', arity: 'one', help: 'the name that it has' },
    { key: 'new', arity: 'one', help: 'a free name' },
  ],
  flags: [
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
  ],
  examples: [
    ['give a credential another name; versions, dates and note stay', 'mcpvault rename scavio scavio_api_key'],
  ],
}

/** Registers `rename`. */
export function addRenameCommand(parent: Command, context: Context, run = runRename): void {
  addCommand(parent, RENAME, (options) => run(options, context))
}

/** Gives a credential another name. */
export async function runRename(options: RenameOptions, context: Context): Promise<void> {
  const { old: from, new: to, reason } = options
  const access = await openForWriting(options, context)
  const isTutorial = openVault(access).format === 'tutorial'
  const dated = isTutorial ? findDate(from, access) : undefined
  await changeVault(access, 'rename', (draft) => draft.rename(from, { to, reason, dated }))
  const sentence = `renamed "${from}" to "${to}"; what still asks for "${from}" is not found any more`
  const isUndated = isTutorial && dated === undefined
  const addition = isUndated ? '; the log knows no date of its value, so it is shown as due' : ''
  createPrinter(context, options).done(`${sentence}${addition}`, { name: to, from })
}

/** The date of a credential's value as the tutorial's log spells it; undefined when it has none that can be read. */
function findDate(name: string, access: VaultAccess): string | undefined {
  const last = readLog(access, (reader) => lastRotations(reader, [name], access.zone)).get(name)
  return last?.at === undefined ? undefined : last.rotatedAt
}
