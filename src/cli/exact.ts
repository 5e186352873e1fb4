import type { Command } from 'commander'
import { CommandTaker } from './command.js'
import type { Context } from './context.js'
import { runHot } from './hot-main.js'
import type { AddCommand } from './tree.js'

/**
 * Runs a command line of one command without commander; undefined if it is another command's or not spelled exactly.
 * Never throws.
 *
 * What the launcher loads first for a command that is not hot: the build makes a file of this and the command.
 */
export function runExact(argv: readonly string[], context: Context, add: AddCommand): Promise<number> | undefined {
  const taker = new CommandTaker()
  // A command file does nothing with its parent but hand it to `addCommand`, which knows both kinds.
  add(taker as unknown as Command, context)
  return runHot(argv, context, taker.commands)
}
