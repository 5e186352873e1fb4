/**
 * Durations as users write them: `90` (seconds), `90s`, `30m`, `12h`, `30d`.
 *
 * @module
 */

import { VaultError } from './errors.js'

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
const LONGEST_SECONDS = 100 * 365 * 86_400

/** A day has 86,400 seconds everywhere in mcpvault; leap seconds and daylight saving are not counted. */
export const DAY_SECONDS = 86_400

/**
 * Reads a duration, in seconds. A bare number counts in `bareUnit` (seconds unless told).
 *
 * @throws {VaultError} USAGE if the text is not a whole number with at most one unit, or is over 100 years.
 */
export function parseDuration(text: string, bareUnit: 's' | 'd' = 's'): number {
  const match = /^(\d{1,12})([smhd]?)$/.exec(text)
  const unit = UNIT_SECONDS[match?.[2] || bareUnit]
  const seconds = match && unit ? Number(match[1]) * unit : Number.NaN
  if (!(seconds <= LONGEST_SECONDS)) {
    throw new VaultError('USAGE', `cannot read the duration "${text}": expected a whole number and a unit`, {
      hints: ['durations look like 90s, 30m, 12h or 30d, and are at most 100 years'],
    })
  }
  return seconds
}

/** Prints seconds in the largest unit that divides them: 1800 is `30m`, 2592000 is `30d`. */
export function formatDuration(seconds: number): string {
  for (const unit of ['d', 'h', 'm'] as const) {
    const size = UNIT_SECONDS[unit] ?? 1
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`
  }
  return `${seconds}s`
}

/** Prints a span of time roughly, for people: `45s`, `12m`, `3h`, `17d`. */
export function formatSpan(seconds: number): string {
  for (const unit of ['d', 'h', 'm'] as const) {
    const size = UNIT_SECONDS[unit] ?? 1
    if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`
  }
  return `${Math.max(0, Math.floor(seconds))}s`
}
