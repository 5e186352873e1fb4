import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { formatHelp, HELP_TOPICS } from '../help.js'
import { findPath } from '../tree.js'

/** Options of `help`. */
export interface HelpOptions extends GlobalOptions {
  /** The words of a command's name, or a topic; empty for the overview. */
  readonly topics: readonly string[]
}

const HELP: CommandShape<HelpOptions> = {
  name: 'help',
  positionals: [{ key: 'topics', arity: 'many' }],
  examples: [['what the exit codes mean', 'mcpvault help exit-codes']],
}

/** Registers `help`. */
export function addHelpCommand(parent: Command, context: Context, run = runHelp): void {
  addCommand(parent, HELP, (options) => run(options, context))
}

/** Prints the overview, a topic, or a command's help. */
export async function runHelp({ topics }: HelpOptions, context: Context): Promise<void> {
  const [first] = topics
  const topic = first !== undefined && Object.hasOwn(HELP_TOPICS, first) ? HELP_TOPICS[first] : undefined
  if (first === undefined) context.stdout.write(formatHelp())
  else if (topic) context.stdout.write(topic())
  else if (findPath(topics)) await (await import('../program.js')).runProgram([...topics, '--help'], context)
  else throw new VaultError('USAGE', 'there is no help on that', { hints: ['mcpvault help'] })
}
