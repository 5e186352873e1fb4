/**
 * Looks a vault and everything around it over, and tells what it found: each finding with the command that mends it.
 *
 * Nothing here writes, takes a lock or moves a high-water mark, and no file is broken enough to stop it: what cannot be
 * read is a finding. What the system tells is gathered by `storage/inspect.ts` and judged here by pure functions. Values
 * are opened one at a time to see whether they open, and dropped at once.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import { examineClock } from './clock.js'
import { examineContent, examineStanding } from './content.js'
import { examineFiles, examineGit, examineLeftovers, examinePrivateFolders } from './files.js'
import { type Finding, findingOf, sortFindings } from './finding.js'
import { examineLocks } from './locks.js'
import { examineLog } from './log.js'
import { examineRotations } from './rotations.js'
import type { Scene } from './scene.js'
import { examineTokens } from './tokens.js'

/** What an examination has found. */
export interface Report {
  /** The worst first. */
  readonly findings: readonly Finding[]
  /** Undefined when the vault cannot be read. */
  readonly format: 'native' | 'tutorial' | undefined
  /** Whether the key was there and fits. */
  readonly isUnlocked: boolean
}

const ATTEMPTS = 3

/**
 * Examines a vault. The files are read one after another and without the lock: when the vault was written meanwhile,
 * they may not belong together, and everything is looked at again.
 */
export function examine(scene: Scene): Report {
  for (let attempt = 1; ; attempt++) {
    const before = revisionOf(scene)
    const report = examineOnce(scene)
    if (attempt === ATTEMPTS || revisionOf(scene) === before) return report
  }
}

/** Names the state of the vault file; undefined when it cannot be opened. */
function revisionOf({ access }: Scene): string | undefined {
  try {
    const reader = access.store.open('vault')
    reader?.close()
    return reader?.revision.id
  } catch (error) {
    if (error instanceof VaultError) return undefined
    throw error
  }
}

function examineOnce(scene: Scene): Report {
  const { findings, vault, unlocked } = examineContent(scene)
  const found = [
    ...examineFiles(scene),
    ...examineKey(scene),
    ...findings,
    ...(vault === undefined
      ? []
      : [
          ...examineStanding(vault, scene),
          ...examineClock(vault, scene.access.now()),
          ...examineRotations(vault, scene),
        ]),
    ...examineLog(scene, vault),
    ...examineTokens(scene, unlocked),
    ...examineLocks(scene, vault),
    ...examineLeftovers(scene, vault),
    ...examinePrivateFolders(scene),
    ...examineGit(scene),
  ]
  return { findings: sortFindings(found), format: vault?.format, isUnlocked: unlocked !== undefined }
}

/** Says whether a key was there at all; whether it fits shows when the vault is opened. */
export function examineKey({ key }: Pick<Scene, 'key'>): readonly Finding[] {
  if (key.kind === 'found') return []
  if (key.kind === 'refused') {
    return [findingOf(key.error, { id: 'key-refused', mend: key.error.hints[0] ?? 'mcpvault help environment' })]
  }
  const what =
    'no key was at hand, and here none is asked for or fetched by a program: values, the seal over the vault and the token records were not checked'
  return [{ id: 'key-missing', severity: 'note', what, mend: 'mcpvault key check' }]
}
