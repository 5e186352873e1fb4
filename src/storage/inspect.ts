/** Looks at what lies at a path without opening it: for `doctor`, which must survive whatever that is. */

import { accessSync, type BigIntStats, constants, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isSystemError } from '../errors.js'
import { describeSystemError } from './io-error.js'
import { othersMode } from './read-file.js'

/** What a path means, symbolic links followed. */
export interface PathFact {
  readonly path: string
  /** `hidden`: the system does not tell. */
  readonly kind: 'absent' | 'file' | 'directory' | 'other' | 'hidden'
  /** Why it is hidden, in a few words. */
  readonly reason: string | undefined
  /** The owner's user id; undefined when it is absent or hidden. */
  readonly uid: number | undefined
  readonly canOthersRead: boolean
  readonly canOthersWrite: boolean
  /** In a sticky directory others cannot rename or remove what is not theirs. */
  readonly isSticky: boolean
  readonly isReadable: boolean
  readonly isWritable: boolean
}

const NOTHING = {
  reason: undefined,
  uid: undefined,
  canOthersRead: false,
  canOthersWrite: false,
  isSticky: false,
  isReadable: false,
  isWritable: false,
} as const

/** Looks at a path; never throws. */
export function inspectPath(path: string): PathFact {
  try {
    const stats = statSync(path, { bigint: true })
    const others = othersMode(stats)
    return {
      path,
      kind: kindOf(stats),
      reason: undefined,
      uid: Number(stats.uid),
      canOthersRead: (others & 0o044n) !== 0n,
      canOthersWrite: (others & 0o022n) !== 0n,
      isSticky: (stats.mode & 0o1000n) !== 0n,
      isReadable: isAllowed(path, constants.R_OK),
      isWritable: isAllowed(path, constants.W_OK),
    }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return { path, kind: 'absent', ...NOTHING }
    return { path, kind: 'hidden', ...NOTHING, reason: describeSystemError(error) }
  }
}

/** Looks at the directories above a path, nearest first; those that do not exist are missing. */
export function inspectAncestors(path: string): readonly PathFact[] {
  const facts: PathFact[] = []
  for (let at = dirname(resolvePath(path)); ; at = dirname(at)) {
    const fact = inspectPath(at)
    if (fact.kind !== 'absent') facts.push(fact)
    if (at === dirname(at)) return facts
  }
}

/** Follows symbolic links as far as they lead to something; never throws. */
export function resolvePath(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return resolve(path)
  }
}

function kindOf(stats: BigIntStats): PathFact['kind'] {
  if (stats.isFile()) return 'file'
  return stats.isDirectory() ? 'directory' : 'other'
}

function isAllowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}
