import { runTokenCheck } from '../commands/token-check.js'
import type { Context } from '../context.js'
import { TOKEN_CHECK } from '../hot-commands.js'
import { runHot } from '../hot-main.js'

export { systemContext } from '../system.js'

/** Runs `token check`; undefined for any other command line and spelling. */
export function run(argv: readonly string[], context: Context): Promise<number> | undefined {
  return runHot(argv, context, [{ shape: TOKEN_CHECK, run: runTokenCheck }])
}
