/**
 * Rotations that are in the journal: whether somebody is at them, and which way leads out.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import { judgeProcess } from '../storage/owner.js'
import type { StorageHost } from '../storage/read-file.js'
import { formatUtc } from '../timestamp.js'
import { shellWord } from '../vault/name.js'
import type { Rotation, RotationStage } from '../vault/vault.js'

/** `running` and `stopped` are certain; `elsewhere` is a process of another machine or container. */
export type RotationState = 'running' | 'stopped' | 'elsewhere'

/** What the state of a rotation is judged by. */
export interface JudgeOptions {
  readonly host: StorageHost
  readonly nowMs: number
}

/** A process of another container of this boot is judged by age alone; so much longer than a lock a rotation may take. */
const CONTAINER_SLACK_MS = 600_000

/** Judges whether a rotation is under way or was interrupted. */
export function judgeRotation({ owner, startedMs }: Rotation, { host, nowMs }: JudgeOptions): RotationState {
  if (owner === undefined) return 'stopped'
  const found = judgeProcess(owner, { host, ageMs: nowMs - startedMs - CONTAINER_SLACK_MS })
  return found === 'live' ? 'running' : found === 'dead' ? 'stopped' : found
}

const MEANINGS: Readonly<Record<RotationStage, string>> = {
  obtain: 'there is no new value yet',
  verify: 'the new value is kept and not yet in use',
  targets: 'the new value is in use, and what follows a rotation is not all done',
}

/** Says which value is live: every message about a rotation does. */
export function liveVersion({ stage, version }: Pick<Rotation, 'stage' | 'version'>): string {
  // Nothing else changes a credential that is being rotated, so the one before is the current one.
  return `version ${stage === 'targets' ? version : version - 1} is live`
}

/** Says where a rotation stands, without a full stop. */
export function describeStop(rotation: Rotation): string {
  const { stage, isCreateUnknown } = rotation
  const meaning = isCreateUnknown ? 'the provider may have made a key that nobody has' : MEANINGS[stage]
  return `stopped at the stage "${isCreateUnknown ? 'create-unknown' : stage}" (${meaning}); ${liveVersion(rotation)}`
}

/** Gives the commands that lead out, the most useful first. */
export function waysOut({ name, stage, startedMs, isCreateUnknown }: Rotation): readonly string[] {
  const rotate = `mcpvault rotate ${shellWord(name)}`
  if (isCreateUnknown) {
    return [
      `look at the provider for a key made since ${formatUtc(startedMs)} and delete it, then: ${rotate} --abort --confirmed-clean`,
    ]
  }
  if (stage === 'targets') return [`${rotate} --resume`, `mcpvault rollback ${shellWord(name)}`]
  return [`${rotate} --resume`, `${rotate} --abort`]
}

/** Builds the error for a rotation that keeps another one from beginning. */
export function inTheWay(rotation: Rotation, state: RotationState, action: string): VaultError {
  const { name, owner, startedMs } = rotation
  const since = formatUtc(startedMs)
  if (state === 'stopped') {
    return new VaultError('ROTATION', `cannot ${action} "${name}": a rotation of it ${describeStop(rotation)}`, {
      hints: waysOut(rotation),
    })
  }
  if (state === 'running') {
    const who = `process ${owner?.pid}, since ${since}`
    return new VaultError(
      'LOCKED',
      `cannot ${action} "${name}": it is being rotated (${who}); ${liveVersion(rotation)}`,
    )
  }
  const who = `a process of another machine or container has rotated it since ${since}`
  return new VaultError('LOCKED', `cannot ${action} "${name}": ${who}; ${liveVersion(rotation)}`, {
    hints: [`if that runs nowhere any more: mcpvault rotate ${shellWord(name)} --abort --confirmed-clean`],
  })
}
