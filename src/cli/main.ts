/**
 * The command line as a function: arguments and a world in, an exit status out.
 *
 * @module
 */

import type { Context } from './context.js'
import { parseHot } from './hot.js'
import { HOT_COMMANDS } from './hot-commands.js'

/** Runs a command line and gives its exit status; never throws and never exits. */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  try {
    return await dispatch(argv, context)
  } catch (error) {
    const { reportError } = await import('./report-error.js')
    return reportError(error, argv, context)
  }
}

async function dispatch(argv: readonly string[], context: Context): Promise<number> {
  const call = parseHot(argv, HOT_COMMANDS)
  if (call) {
    const status = await call.hot.run(call.options as never, context)
    return typeof status === 'number' ? status : 0
  }
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

const HELP_WORDS: ReadonlySet<string> = new Set(['help', '-h', '--help'])
