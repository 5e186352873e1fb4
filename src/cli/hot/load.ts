/**
 * The launcher's ways in to the hot commands. Each is built into one file with all that it needs at once, since every
 * further file, and every line that is not needed, costs the command a part of its time.
 *
 * @module
 */

import { runLoad } from '../commands/load.js'
import type { Context } from '../context.js'
import { LOAD } from '../hot-commands.js'
import { runHot } from '../hot-main.js'

export { systemContext } from '../system.js'

/** Runs `load`; undefined for any other command line and spelling. */
export function run(argv: readonly string[], context: Context): Promise<number> | undefined {
  return runHot(argv, context, [{ shape: LOAD, run: runLoad }])
}
