import type { Command } from 'commander'
import { type Settlement, settleVault } from '../../vault/settle.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'

const LOG_SETTLE: CommandShape<GlobalOptions> = {
  name: 'log settle',
  examples: [
    ['a command was killed before it wrote the log', 'mcpvault log settle'],
    ['a backup was put back on purpose: go on from it', 'mcpvault log settle --accept-restore'],
  ],
}

/** Registers `log settle`. */
export function addLogSettleCommand(parent: Command, context: Context, run = runLogSettle): void {
  addCommand(parent, LOG_SETTLE, (options) => run(options, context))
}

/** Does to the log what the next change would do first, without a change. */
export async function runLogSettle(options: GlobalOptions, context: Context): Promise<void> {
  const access = await openForWriting(options, context)
  const settlement = await settleVault(access)
  createPrinter(context, options).done(describe(settlement), settlement)
}

function describe({ appended, cut, accepted }: Settlement): string {
  const done = [
    ...(appended > 0 ? [`appended ${countOf(appended, 'record')} to the rotation log`] : []),
    ...(cut ? ['cut off an unfinished record'] : []),
    ...(accepted ? ['went on from this state, which the rotation log now says'] : []),
  ]
  return done.length === 0 ? 'the rotation log is settled already' : done.join('; ')
}
