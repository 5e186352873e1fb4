import { VaultError } from '../errors.js'

/** Makes the error for a log that cannot be read; `position` counts bytes from 0. */
export function damagedAt(position: number, reason: string): VaultError {
  return new VaultError('DAMAGED', `cannot read the rotation log: ${reason} at byte ${position}`, {
    hints: ['put back a good copy of the log, or move it aside: the next change begins a new one'],
  })
}
