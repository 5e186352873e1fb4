/**
 * Whether a credential is due, and since when it counts.
 *
 * Everything that cannot be known errs to due: no record, a date that cannot be read, a date in the future. Nothing here
 * needs a key, a lock or the clock; the time comes in.
 *
 * @module
 */

import { readBackward } from '../log/read.js'
import type { Reader } from '../storage/store.js'
import { clampTime, parseTimestamp, type Timestamp } from '../timestamp.js'

/** Due unless told otherwise, as in the tutorial. */
export const DEFAULT_MAX_AGE_SECONDS = 30 * 86_400

/** A naive time may be this far ahead when it was written in another zone: UTC+14 seen from UTC-12. */
const NAIVE_SLACK_MS = 26 * 3_600_000
const CLOCK_SLACK_MS = 5 * 60_000

/** Why a credential is due, the first that holds; `soon` will be within the span that was asked for. */
export type DueReason =
  | 'stuck rotation'
  | 'leak'
  | 'no record'
  | 'unreadable date'
  | 'clock skew'
  | 'age'
  | 'old key not revoked'
  | 'soon'

/** What is asked about one credential. */
export interface DueQuestion {
  /** When its current value came to be, in milliseconds since the epoch; undefined when that is not known. */
  readonly sinceMs: number | undefined
  /** The time was written without a zone. */
  readonly isNaive?: boolean
  /** There is a record, but its date cannot be read. */
  readonly isUnreadable?: boolean
  /** When a leak of its current value was recorded, in milliseconds since the epoch. */
  readonly leakedMs?: number | undefined
  /** A rotation of it was interrupted. */
  readonly isStuck?: boolean
  /** When the grace ends of a replaced value that a person has to revoke, in milliseconds since the epoch. */
  readonly unrevokedMs?: number | undefined
  readonly maxAgeSeconds: number
  readonly nowMs: number
  /** Counts what becomes due within this span as due. */
  readonly withinSeconds?: number
}

/** The answer. */
export interface DueState {
  readonly isDue: boolean
  /** Undefined when it is not due. */
  readonly reason: DueReason | undefined
  /** Full seconds; undefined when it is not known. */
  readonly ageSeconds: number | undefined
  /** The age at which it is due. */
  readonly maxAgeSeconds: number
  /** The date lies ahead, by less than zones can differ, so the age was taken as 0. */
  readonly isApproximate: boolean
  /** When it becomes or became due, by age or a leak, in milliseconds since the epoch; undefined when that is not known. */
  readonly dueAtMs: number | undefined
}

/**
 * Tells whether a credential is due. It is when its age has reached the limit; for a limit in days that is the same as
 * comparing whole days of 86,400 s.
 */
export function dueState(question: DueQuestion): DueState {
  const { leakedMs, isStuck } = question
  const state = withUnrevoked(stateByAge(question), question)
  if (isStuck) return { ...state, isDue: true, reason: 'stuck rotation' }
  return leakedMs === undefined ? state : { ...state, isDue: true, reason: 'leak', dueAtMs: leakedMs }
}

/** An old key that may still work is the next thing to be done, unless the value itself is due already. */
function withUnrevoked(state: DueState, { unrevokedMs, nowMs, withinSeconds = 0 }: DueQuestion): DueState {
  if (unrevokedMs === undefined || (state.isDue && state.reason !== 'soon')) return state
  if (nowMs >= unrevokedMs) return { ...state, isDue: true, reason: 'old key not revoked', dueAtMs: unrevokedMs }
  if (state.isDue || nowMs + withinSeconds * 1000 < unrevokedMs) return state
  return { ...state, isDue: true, reason: 'soon', dueAtMs: unrevokedMs }
}

function stateByAge(question: DueQuestion): DueState {
  const { sinceMs, maxAgeSeconds, nowMs, withinSeconds = 0 } = question
  const unknown = (reason: DueReason): DueState => ({
    isDue: true,
    reason,
    ageSeconds: undefined,
    maxAgeSeconds,
    isApproximate: false,
    dueAtMs: undefined,
  })
  if (sinceMs === undefined) return unknown(question.isUnreadable ? 'unreadable date' : 'no record')
  const aheadMs = sinceMs - nowMs
  if (aheadMs > (question.isNaive ? NAIVE_SLACK_MS : CLOCK_SLACK_MS)) return unknown('clock skew')
  const ageSeconds = Math.max(0, Math.floor(-aheadMs / 1000))
  const reason = ageSeconds >= maxAgeSeconds ? 'age' : ageSeconds + withinSeconds >= maxAgeSeconds ? 'soon' : undefined
  return {
    isDue: reason !== undefined,
    reason,
    ageSeconds,
    maxAgeSeconds,
    isApproximate: question.isNaive === true && aheadMs > 0,
    dueAtMs: clampTime(sinceMs + maxAgeSeconds * 1000),
  }
}

/** A credential's last rotation, as a tutorial log has it. */
export interface LastRotation {
  /** As it stands in the log. */
  readonly rotatedAt: string
  /** Undefined when it cannot be read. */
  readonly at: Timestamp | undefined
}

/**
 * Finds the last rotation of each name in a tutorial log. As in the tutorial, a name's last record counts, whatever its
 * action says.
 *
 * Reads newest first and stops as soon as every name is found; a name without a record is missing from the answer, and
 * looking for it costs reading the whole log.
 *
 * @param reader undefined when there is no log.
 * @param names undefined for all that the log has.
 * @throws {VaultError} DAMAGED if the part of the log that was needed cannot be read.
 */
export function lastRotations(
  reader: Reader | undefined,
  names: Iterable<string> | undefined,
  zone?: string,
): Map<string, LastRotation> {
  const found = new Map<string, LastRotation>()
  const wanted = names === undefined ? undefined : new Set(names)
  if (!reader || wanted?.size === 0) return found
  for (const { credential, rotated_at: rotatedAt } of readBackward(reader)) {
    if (credential === null || found.has(credential) || (wanted && !wanted.has(credential))) continue
    found.set(credential, { rotatedAt, at: parseTimestamp(rotatedAt, zone) })
    if (found.size === wanted?.size) break
  }
  return found
}
