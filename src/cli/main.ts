/**
 * The command line as a function: arguments and a world in, an exit status out.
 *
 * @module
 */

import type { Context } from './context.js'
import type { CommandShape, GlobalOptions } from './flags.js'
import type { HotCommand } from './hot.js'
import {
  LOAD,
  type LoadOptions,
  ROTATION_DUE,
  type RotationDueOptions,
  TOKEN_CHECK,
  type TokenCheckOptions,
} from './hot-commands.js'
import { runHot } from './hot-main.js'
import { printWarnings } from './printer.js'
import { reportFailure } from './report-error.js'

/** Runs a command line and gives its exit status; never throws and never exits. */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  const hot = runHot(argv, context, HOT_COMMANDS)
  if (hot) return hot
  try {
    const status = await dispatch(argv, context)
    printWarnings(context)
    return status
  } catch (error) {
    return reportFailure(error, argv, context)
  }
}

async function dispatch(argv: readonly string[], context: Context): Promise<number> {
  if (argv.every((word, index) => word.startsWith('-') || index > 0) && (await isAtHome(argv, context)))
    return (await import('./program.js')).runProgram(['status', ...argv], context)
  if (argv.length === 0 || (argv.length === 1 && HELP_WORDS.has(argv[0] as string))) {
    context.stdout.write((await import('./help.js')).formatHelp())
    return 0
  }
  if (argv.length === 1 && argv[0] === '--version') {
    context.stdout.write(`${(await import('./version.js')).VERSION}\n`)
    return 0
  }
  return (await import('./program.js')).runProgram(argv, context)
}

/** A person who has a vault and names no command wants to see how it is. */
async function isAtHome(argv: readonly string[], context: Context): Promise<boolean> {
  if (!context.stdout.isTerminal) return false
  const { parseHot } = await import('./hot.js')
  // What may stand before a command may stand behind this one: anything else is not only global flags.
  const call = parseHot(['status', ...argv], [{ shape: { name: 'status' } as CommandShape<GlobalOptions> }])
  return call !== undefined && (await import('./open-vault.js')).hasVault(call.options as GlobalOptions, context)
}

const HELP_WORDS: ReadonlySet<string> = new Set(['help', '-h', '--help'])

const HOT_COMMANDS: readonly HotCommand[] = [
  {
    shape: LOAD,
    run: async (options: LoadOptions, context) => (await import('./commands/load.js')).runLoad(options, context),
  },
  {
    shape: ROTATION_DUE,
    run: async (options: RotationDueOptions, context) =>
      (await import('./commands/rotation-due.js')).runRotationDue(options, context),
  },
  {
    shape: TOKEN_CHECK,
    run: async (options: TokenCheckOptions, context) =>
      (await import('./commands/token-check.js')).runTokenCheck(options, context),
  },
]
