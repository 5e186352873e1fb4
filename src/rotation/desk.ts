import { describeProcess } from '../storage/owner.js'
import { openVault } from '../vault/open.js'
import { requireTrust } from '../vault/trust.js'
import { describeStop, waysOut } from '../vault/rotation-stop.js'
import type { ProcessOwner, Rotation, RotationPlan, VaultAccess } from '../vault/vault.js'
import { isMadeUpstream } from './plan.js'
import type { RotationWorld } from './programs.js'

/** All that a rotation needs: the vault, the world that programs run in, and somebody to tell. */
export interface RotationDesk {
  readonly access: VaultAccess
  readonly world: RotationWorld
  /**
   * Shows that a step which may take long is under way, for as long as it is; `stop` is said if a signal ends mcpvault
   * during the step.
   */
  during<T>(sentence: string, work: () => Promise<T>, stop?: string): Promise<T>
}

/** Names this process for the journal. @throws {VaultError} UNSAFE if processes cannot be told apart here */
export function selfOf({ world }: RotationDesk): ProcessOwner {
  return describeProcess(world.host)
}

/** Who waits for a step, and what others are told meanwhile: the step's name, a colon, and what happens. */
export interface Step {
  readonly desk: RotationDesk
  readonly sentence: string
  /** The rotation in the journal that it is a step of, if any. */
  readonly rotation?: Rotation
  /** What is said if a signal ends it; follows from the rotation where there is one. */
  readonly stop?: string
}

/**
 * Runs a program that the vault names, or writes a file that it names, for a vault that somebody has confirmed.
 *
 * @throws {VaultError} UNSAFE, and what `work` throws
 */
export async function takeStep<T>({ desk, sentence, rotation, stop }: Step, work: () => Promise<T>): Promise<T> {
  requireTrust(openVault(desk.access), `take the step "${sentence.split(':', 1)[0]}"`)
  return desk.during(sentence, work, rotation ? describeInterruption(rotation) : stop)
}

function describeInterruption(rotation: Rotation): string {
  return `the rotation of "${rotation.name}" ${describeStop(rotation)} (${waysOut(rotation).join('; or ')})`
}

/**
 * Refuses at the beginning what {@link takeStep} would refuse half-way.
 *
 * @throws {VaultError} UNSAFE if a plan runs programs or writes files and nobody has confirmed the vault
 */
export function requireTrustFor(plan: RotationPlan, what: string, { access }: Pick<RotationDesk, 'access'>): void {
  const { verify, targets, onRotate } = plan
  const isPlain = !isMadeUpstream(plan) && verify === undefined && targets.length === 0 && onRotate === undefined
  if (!isPlain) requireTrust(openVault(access), what)
}
