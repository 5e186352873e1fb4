import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { isNewName } from './name.js'
import type { Vault } from './vault.js'

/** A value that comes from elsewhere. */
export interface ImportedValue {
  readonly name: string
  readonly value: Secret
  /** Since when it is known to be in use, in milliseconds since the epoch; undefined counts from now. */
  readonly sinceMs: number | undefined
}

/** What happens to a credential that is there already: it stays, gets a new version, or nothing at all is imported. */
export type OnConflict = 'skip' | 'rotate' | 'fail'

/** How values are imported. */
export interface ImportOptions {
  readonly onConflict: OnConflict
  /** For the log. */
  readonly reason: string
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** What became, or would become, of one imported value; `unchanged` is one that the vault has already. */
export interface ImportStep {
  readonly name: string
  readonly fate: 'stored' | 'rotated' | 'skipped' | 'unchanged' | 'conflict'
}

/** What a plan needs to know of a vault. */
export interface ImportTarget {
  has(name: string): boolean
  /** Whether a credential's current value is this one. */
  holds(name: string, value: Secret): boolean
}

/**
 * Decides what becomes of each value; changes nothing.
 *
 * @throws {VaultError} INPUT naming every name that no new credential may have.
 */
export function planImport(
  values: readonly ImportedValue[],
  target: ImportTarget,
  onConflict: OnConflict,
): readonly ImportStep[] {
  const odd = values.filter(({ name }) => !target.has(name) && !isNewName(name))
  if (odd.length > 0) {
    throw new VaultError('INPUT', `cannot import: ${namesOf(odd)} cannot be a credential's name`, {
      hints: [
        'a name starts with a letter, a digit or _, goes on with those or . : / @ -, and has at most 256 characters',
        'give it another name where it comes from: mcpvault rename does that in a tutorial vault',
      ],
    })
  }
  return values.map(({ name, value }) => {
    if (!target.has(name)) return { name, fate: 'stored' }
    if (onConflict === 'skip') return { name, fate: 'skipped' }
    if (onConflict === 'fail') return { name, fate: 'conflict' }
    return { name, fate: target.holds(name, value) ? 'unchanged' : 'rotated' }
  })
}

/** Refuses a plan with conflicts. @throws {VaultError} EXISTS naming all of them */
export function refuseConflicts(steps: readonly ImportStep[]): void {
  const conflicts = steps.filter(({ fate }) => fate === 'conflict')
  if (conflicts.length === 0) return
  const verb = conflicts.length === 1 ? 'exists' : 'exist'
  throw new VaultError('EXISTS', `cannot import: ${namesOf(conflicts)} ${verb} already`, {
    hints: ['nothing was imported; --on-conflict skip keeps what is there, --on-conflict rotate replaces it'],
  })
}

/** Says what an import into a vault would do, without doing it. @throws {VaultError} as {@link planImport} */
export function previewImport(
  vault: Vault,
  values: readonly ImportedValue[],
  options: { readonly onConflict: OnConflict; readonly nowMs: number },
): readonly ImportStep[] {
  const names = new Set(vault.names())
  const holds = (name: string, value: Secret): boolean => {
    try {
      return vault.load(name, { nowMs: options.nowMs }).use((bytes) => bytes.equals(value.reveal()))
    } catch (error) {
      // A damaged value can be replaced by a good one.
      if (error instanceof VaultError && error.code === 'DAMAGED' && vault.format === 'tutorial') return false
      throw error
    }
  }
  return planImport(values, { has: (name) => names.has(name), holds }, options.onConflict)
}

function namesOf(steps: readonly { readonly name: string }[]): string {
  return steps.map(({ name }) => `"${name}"`).join(', ')
}
