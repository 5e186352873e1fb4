import { VaultError } from '../errors.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { visible } from './visible.js'

/**
 * Goes on with `--yes`, asks on a terminal, and refuses elsewhere.
 *
 * @throws {VaultError} USAGE if there is nobody to ask, CANCELLED if the answer is no
 */
export async function requireConfirmation(
  question: string,
  options: GlobalOptions & { readonly yes: boolean },
  context: Context,
): Promise<void> {
  if (options.yes) return
  if (!options.input || !context.stdin.isTerminal || !context.stderr.isTerminal) {
    throw new VaultError('USAGE', 'this needs a confirmation, and there is no terminal to ask on', {
      hints: ['add --yes'],
    })
  }
  if (!(await context.prompt.confirm(visible(question)))) {
    throw new VaultError('CANCELLED', 'nothing was changed')
  }
}
