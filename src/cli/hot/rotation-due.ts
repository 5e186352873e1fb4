import { runRotationDue } from '../commands/rotation-due.js'
import type { Context } from '../context.js'
import { ROTATION_DUE } from '../hot-commands.js'
import { runHot } from '../hot-main.js'

export { systemContext } from '../system.js'

/** Runs `rotation-due`; undefined for any other command line and spelling. */
export function run(argv: readonly string[], context: Context): Promise<number> | undefined {
  return runHot(argv, context, [{ shape: ROTATION_DUE, run: runRotationDue }])
}
