import type { Command } from 'commander'
import { formatUtc } from '../../timestamp.js'
import { changeVault } from '../../vault/change.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { parseReason } from '../reason.js'

/** Options of `leaked`. */
export interface LeakedOptions extends GlobalOptions {
  readonly name: string
  readonly reason?: string
}

const LEAKED: CommandShape<LeakedOptions> = {
  name: 'leaked',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'where; goes into the rotation log', parse: parseReason },
  ],
  examples: [['a key was seen where it should not be', 'mcpvault leaked scavio_api_key --reason "pasted into a chat"']],
}

/** Registers `leaked`. */
export function addLeakedCommand(parent: Command, context: Context, run = runLeaked): void {
  addCommand(parent, LEAKED, (options) => run(options, context))
}

/** Records that a credential's current value has leaked: it is due until it is rotated. */
export async function runLeaked(options: LeakedOptions, context: Context): Promise<void> {
  const { name, reason } = options
  const access = await openForWriting(options, context)
  const nowMs = context.now()
  const leakedMs = await changeVault(access, 'leaked', (draft) => draft.markLeaked(name, { reason }))
  const date = formatUtc(leakedMs)
  const isNew = leakedMs >= nowMs
  const what = isNew ? `recorded that "${name}" has leaked` : `it is recorded since ${date} that "${name}" has leaked`
  createPrinter(context, options).done(`${what}; it is due until it is rotated`, { name, leaked_at: date })
}
