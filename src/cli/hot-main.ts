import type { Context } from './context.js'
import { type HotCall, type HotCommand, parseHot } from './hot.js'
import { printWarnings } from './printer.js'
import { reportFailure } from './report-error.js'

/** Runs a command line if it is one of the commands', spelled exactly; undefined leaves it to `main`. Never throws. */
export function runHot(
  argv: readonly string[],
  context: Context,
  commands: readonly HotCommand[],
): Promise<number> | undefined {
  const call = parseHot(argv, commands)
  return call && runCall(call, argv, context)
}

async function runCall(call: HotCall<HotCommand>, argv: readonly string[], context: Context): Promise<number> {
  try {
    const status = await call.hot.run(call.options as never, context)
    printWarnings(context)
    return typeof status === 'number' ? status : 0
  } catch (error) {
    return reportFailure(error, argv, context)
  }
}
