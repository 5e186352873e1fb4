import { describeProcess } from '../storage/owner.js'
import type { ProcessOwner, VaultAccess } from '../vault/vault.js'
import type { RotationWorld } from './programs.js'

/** All that a rotation needs: the vault, the world that programs run in, and somebody to tell. */
export interface RotationDesk {
  readonly access: VaultAccess
  readonly world: RotationWorld
  /** Shows that a step which may take long is under way, for as long as it is. */
  during<T>(sentence: string, work: () => Promise<T>): Promise<T>
}

/** Names this process for the journal. @throws {VaultError} UNSAFE if processes cannot be told apart here */
export function selfOf({ world }: RotationDesk): ProcessOwner {
  return describeProcess(world.host)
}
