import { followLinks } from '../storage/resolve-target.js'
import type { RotationDesk } from '../rotation/desk.js'
import type { VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { createPrinter, printWarnings } from './printer.js'
import { eraseLine, rotationWorld } from './rotation-world.js'
import { withSpinner } from './spinner.js'
import { visible } from './visible.js'

/** Makes what a rotation needs; steps that may take long are a line each on stderr, and a spinner on a terminal. */
export function rotationDesk(
  access: VaultAccess,
  options: Pick<GlobalOptions, 'json' | 'quiet' | 'color'>,
  context: Context,
): RotationDesk {
  const quiet = options.quiet || options.json
  const printer = createPrinter(context, options)
  const show = <T>(sentence: string, work: () => Promise<T>): Promise<T> => {
    const label = visible(sentence)
    if (context.stderr.isTerminal) return withSpinner(context, { label, quiet }, work())
    if (!quiet) context.stderr.write(`${label}\n`)
    return work()
  }
  const sayStop = (stop: string): void => {
    context.stderr.write(eraseLine(context))
    printer.warn(stop)
    // Nothing comes after a signal that warnings could wait for.
    if (options.json) printWarnings(context)
  }
  return {
    access,
    world: rotationWorld(followLinks(access.store.locate('vault')), options, context),
    async during(sentence, work, stop) {
      if (stop === undefined) return show(sentence, work)
      const release = context.whenEnded(() => sayStop(stop))
      try {
        return await show(sentence, work)
      } finally {
        release()
      }
    },
  }
}
