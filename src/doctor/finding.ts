import { VaultError } from '../errors.js'

/** `error`: something is broken or open to others; `warning`: it may come to that; `note`: worth knowing. */
export type Severity = 'error' | 'warning' | 'note'

/** One thing that was found, for people and programs. */
export interface Finding {
  /** Stable and kebab-case, such as `vault-damaged`. */
  readonly id: string
  readonly severity: Severity
  /** A sentence without a full stop; quotes paths and names, never a value. */
  readonly what: string
  /** A command that mends it, or where none can, the one that shows the way. */
  readonly mend: string
}

const ORDER: readonly Severity[] = ['error', 'warning', 'note']

/** Sorts findings, the worst first; those of one severity keep their order. */
export function sortFindings(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity))
}

/** Tells whether there is more than notes. */
export function isTroubled(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity !== 'note')
}

/** Cuts findings of one kind to the first few and says in the last one how many more there are. */
export function capFindings(findings: readonly Finding[], most: number): readonly Finding[] {
  const last = findings[most - 1]
  if (last === undefined || findings.length === most) return findings
  const more = findings.length - most
  return [...findings.slice(0, most - 1), { ...last, what: `${last.what}; and ${more} more like this` }]
}

/**
 * Makes a finding of a failure: what it says, and its first hint as what mends it.
 *
 * Throws on what is not a {@link VaultError}: that is a bug, and no finding.
 */
export function findingOf(
  error: unknown,
  { id, severity = 'error', mend }: { readonly id: string; readonly severity?: Severity; readonly mend: string },
): Finding {
  if (!(error instanceof VaultError)) throw error
  return { id, severity, what: error.message, mend }
}

/** Tells whether a failure has one of some codes. */
export function hasCode(error: unknown, ...codes: readonly VaultError['code'][]): error is VaultError {
  return error instanceof VaultError && codes.includes(error.code)
}
