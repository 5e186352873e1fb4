/** What the commands that rotate say: one line for a person, the same as JSON. */

import type { RotationOutcome } from '../rotation/staged.js'
import { backupPath } from '../storage/resolve-target.js'
import { formatUtc } from '../timestamp.js'
import type { RotatedVersion, VaultAccess } from '../vault/vault.js'

/** The success line of a rotation: which value is live now, and what became of the one before. */
export function describeRotation(
  name: string,
  { rotated, isVerified }: RotationOutcome,
  { store, now }: Pick<VaultAccess, 'store' | 'now'>,
): string {
  const nowMs = now()
  const checked = isVerified ? '' : '; not verified'
  if (rotated.version === undefined) {
    return `rotated "${name}"; the previous value survives only in "${backupPath(store.locate('vault'))}"${checked}`
  }
  // A resumed rotation that had been promoted already.
  if (rotated.previous === undefined) return `finished the rotation of "${name}"; version ${rotated.version} is live`
  return `rotated "${name}" to version ${rotated.version}; ${describePrevious(rotated, nowMs)}${checked}`
}

/** Says what became of the versions before. */
export function describePrevious(rotated: RotatedVersion, nowMs: number): string {
  const { previous, previousUntilMs = 0 } = rotated
  const retired = rotated.retired === undefined ? '' : `; version ${rotated.retired} was retired`
  if (previousUntilMs <= nowMs) return `version ${previous} is not loadable any more${retired}`
  return `version ${previous} stays loadable until ${formatUtc(previousUntilMs).slice(0, 16)}Z${retired}`
}

/** A change of versions for `--json`. */
export function versionsJson(name: string, rotated: RotatedVersion): Record<string, unknown> {
  return {
    name,
    version: rotated.version ?? null,
    previous_version: rotated.previous ?? null,
    previous_until: rotated.previousUntilMs === undefined ? null : formatUtc(rotated.previousUntilMs),
    retired_version: rotated.retired ?? null,
  }
}

/** A rotation for `--json`. */
export function rotationJson(name: string, { rotated, isVerified }: RotationOutcome): Record<string, unknown> {
  return { ...versionsJson(name, rotated), verified: isVerified }
}
