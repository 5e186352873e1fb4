import { VaultError } from '../errors.js'

/**
 * Writes the vault and takes the steps that belong to it. From the moment it is written the change stands: no failure
 * keeps the other steps from being taken, and none is told as if nothing had happened.
 *
 * @throws {VaultError} DURABILITY if it was written and a step failed; else what `write` throws: nothing has changed.
 */
export function commitVault(write: () => void, steps: readonly (() => void)[]): void {
  const failures: unknown[] = []
  try {
    write()
  } catch (error) {
    if (!isDurability(error)) throw error
    failures.push(error)
  }
  for (const step of steps) {
    try {
      step()
    } catch (error) {
      failures.push(error)
    }
  }
  const [first, ...others] = failures.map(asStanding)
  if (first === undefined) return
  const hints = [...first.hints, ...others.flatMap(({ message, hints }) => [message, ...hints])]
  throw new VaultError('DURABILITY', first.message, { cause: first, hints })
}

function asStanding(error: unknown): VaultError {
  if (isDurability(error)) return error
  const isKnown = error instanceof VaultError
  const reason = isKnown ? error.message : 'what belongs to it could not all be done'
  return new VaultError('DURABILITY', `the change stands, but ${reason}`, {
    cause: error,
    hints: isKnown ? error.hints : [],
  })
}

function isDurability(error: unknown): error is VaultError {
  return error instanceof VaultError && error.code === 'DURABILITY'
}
