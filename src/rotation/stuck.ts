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
import { describeStop, liveVersion, waysOut } from '../vault/rotation-stop.js'
import type { Rotation } from '../vault/vault.js'
import { isMadeUpstream } from './plan.js'

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

/** What takes longer is at rest, though nobody can see from here whether its process lives. */
const LONGEST_ELSEWHERE_MS = 86_400_000

/** Whether a rotation needs a hand: it was interrupted, or a process that cannot be seen from here has had a day for it. */
export function isStuck(rotation: Rotation, judging: JudgeOptions): boolean {
  const state = judgeRotation(rotation, judging)
  return state === 'stopped' || (state === 'elsewhere' && judging.nowMs - rotation.startedMs >= LONGEST_ELSEWHERE_MS)
}

/** Nothing is lost and nothing was made anywhere: the value was still to come from a person, or from here. */
export function isHarmless({ stage, plan }: Rotation): boolean {
  return stage === 'obtain' && !isMadeUpstream(plan)
}

/**
 * Refuses to begin a rotation where another one is under way, or was interrupted and holds something.
 *
 * @throws {VaultError} LOCKED, ROTATION
 */
export function refuseInTheWay(found: Rotation | undefined, judging: JudgeOptions): void {
  if (found === undefined) return
  const state = judgeRotation(found, judging)
  if (state !== 'stopped' || !isHarmless(found)) throw inTheWay(found, state, 'rotate')
}

/** Gives the command that takes over what a process of another machine has left. */
export function takeOver({ name, stage }: Rotation): string {
  return `mcpvault rotate ${shellWord(name)} --${stage === 'targets' ? 'resume' : 'abort'} --confirmed-clean`
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
    hints: [`if that runs nowhere any more: ${takeOver(rotation)}`],
  })
}
