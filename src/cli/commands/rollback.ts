import type { Command } from 'commander'
import { parseDuration } from '../../duration.js'
import { rollBack } from '../../rotation/roll-back.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, wholeNumber } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { parseReason } from '../reason.js'
import { rotationDesk } from '../rotation-desk.js'
import { describePrevious, versionsJson } from '../rotation-text.js'
import { warnOfTutorialBackup } from '../side-files.js'

/** Options of `rollback`. */
export interface RollbackOptions extends GlobalOptions {
  readonly name: string
  readonly to?: number
  readonly graceSeconds?: number
  readonly reason?: string
}

const ROLLBACK: CommandShape<RollbackOptions> = {
  name: 'rollback',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    {
      key: 'to',
      long: '--to',
      value: 'VERSION',
      help: 'a kept version (the previous one)',
      parse: wholeNumber(1, 2 ** 31),
    },
    {
      key: 'graceSeconds',
      long: '--grace',
      value: 'TIME',
      help: 'how long the replaced value stays loadable (its policy, else 7d)',
      parse: (text) => parseDuration(text),
    },
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
  ],
  examples: [['the new key does not work: go back', 'mcpvault rollback scavio_api_key --reason "new key is refused"']],
}

/** Registers `rollback`. */
export function addRollbackCommand(parent: Command, context: Context, run = runRollback): void {
  addCommand(parent, ROLLBACK, (options) => run(options, context))
}

/** Makes a kept version current again, as a new version that keeps the age of its value. */
export async function runRollback(options: RollbackOptions, context: Context): Promise<void> {
  const { name, to, reason, graceSeconds } = options
  const access = await openForWriting(options, context)
  const back = await rollBack(name, { to, reason, graceSeconds }, rotationDesk(access, options, context))
  if (back.retired !== undefined) warnOfTutorialBackup(access)
  const message = `rolled "${name}" back; its value is now version ${back.version}; ${describePrevious(back, context.now())}`
  createPrinter(context, options).done(message, versionsJson(name, back))
}
