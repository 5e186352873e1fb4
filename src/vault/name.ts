import { VaultError } from '../errors.js'
import { shellWord } from '../shell-word.js'

export { shellWord } from '../shell-word.js'

/** Longest name of a credential, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 256

const NEW_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,255}$/

/**
 * Refuses names that no new credential may have. Odd names that an older program wrote can be read and rotated.
 *
 * @throws {VaultError} INPUT
 */
export function checkNewName(name: string): void {
  if (isNewName(name)) return
  throw new VaultError('INPUT', 'cannot use that name for a credential', {
    hints: [
      'a name starts with a letter, a digit or _, goes on with those or . : / @ -, and has at most 256 characters',
    ],
  })
}

/** Tells whether a new credential may have a name. */
export function isNewName(name: string): boolean {
  return NEW_NAME.test(name)
}

/** Builds the error for a credential that is not there, with the nearest name as a suggestion. */
export function unknownName(name: string, names: readonly string[]): VaultError {
  const nearest = nearestName(name, names)
  return new VaultError('NOT_FOUND', `no credential is named "${name}"`, {
    hints: nearest === undefined ? ['mcpvault list'] : [`did you mean "${nearest}"?`],
  })
}

/** Builds the error for storing over a credential. */
export function existsAlready(name: string): VaultError {
  return new VaultError('EXISTS', `cannot store "${name}": it exists already`, {
    hints: [`mcpvault rotate ${shellWord(name)}`],
  })
}

/** Builds the error for renaming to a name that is taken. */
export function isTaken(name: string, to: string): VaultError {
  const why = name === to ? 'that is its name' : `there is a credential named "${to}"`
  return new VaultError('EXISTS', `cannot rename "${name}" to "${to}": ${why}`, { hints: ['mcpvault list'] })
}

/** Finds the name that a typo most likely meant: at most a third of its characters differ. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(name.length / 3))
  let best: { readonly name: string; readonly distance: number } | undefined
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) > limit) continue
    const distance = editDistance(name, candidate)
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { name: candidate, distance }
  }
  return best?.name
}

/** Levenshtein distance over UTF-16 units. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
