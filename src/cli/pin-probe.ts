import { pinProbe } from '../rotation/probe.js'
import { formatProbe, parseProbe } from '../rotation/spec.js'
import { followLinks } from '../storage/resolve-target.js'
import type { VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { rotationWorld } from './rotation-world.js'

/** A probe that was named on the command line, and for which credential. */
export interface NamedProbe extends GlobalOptions {
  readonly name?: string
  readonly verify?: string
}

/**
 * Takes the request template that `--verify` names as it is now: the SPEC then holds its digest.
 *
 * @throws {VaultError} as {@link pinProbe}
 */
export function pinVerify<T extends NamedProbe>(options: T, access: VaultAccess, context: Context): T {
  const { name = 'NAME', verify } = options
  if (verify === undefined) return options
  const world = rotationWorld(followLinks(access.store.locate('vault')), options, context)
  return { ...options, verify: formatProbe(pinProbe(parseProbe(verify), name, world)) }
}
