/**
 * Points in time as the files hold them: RFC 3339 in UTC with milliseconds, and the naive local time of the tutorial.
 *
 * Parsing is strict: what `Date` would bend (30 February, hour 24) is refused. Times are milliseconds since the epoch.
 *
 * @module
 */

import { VaultError } from './errors.js'

const PATTERN = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?$/

/** The last millisecond of the year 9999, in milliseconds since the epoch. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** A point in time as read from a file. */
export interface Timestamp {
  readonly epochMs: number
  /** The text named no zone, so the time was taken as local time and is only approximately known. */
  readonly isNaive: boolean
}

/**
 * Reads an RFC 3339 timestamp or Python's naive `datetime.isoformat()`; undefined when it is neither.
 *
 * @param zone IANA zone of naive times; this machine's local time when it is undefined.
 */
export function parseTimestamp(text: unknown, zone?: string): Timestamp | undefined {
  const match = typeof text === 'string' ? PATTERN.exec(text) : null
  if (!match) return undefined
  const year = Number(match[1])
  const month = Number(match[2])
  const day = Number(match[3])
  const hour = Number(match[4])
  const minute = Number(match[5])
  const second = Number(match[6])
  const milliseconds = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  const asUtc = Date.UTC(year, month - 1, day, hour, minute, second, milliseconds)
  const check = new Date(asUtc)
  const isReal =
    check.getUTCMonth() === month - 1 && check.getUTCDate() === day && hour < 24 && minute < 60 && second < 60
  if (!isReal || year < 1970) return undefined
  const offset = match[8]
  const offsetMs = offset === undefined ? undefined : offsetToMs(offset)
  if (offset !== undefined && offsetMs === undefined) return undefined
  const epochMs = offsetMs === undefined ? naiveToEpoch(asUtc, zone) : asUtc - offsetMs
  // An offset may reach out of the years that can be printed again.
  return isPrintable(epochMs) ? { epochMs, isNaive: offset === undefined } : undefined
}

/**
 * Prints RFC 3339 in UTC with milliseconds and `Z`.
 *
 * @throws {VaultError} INPUT if the time lies outside of the years 1970 to 9999, which have four digits: what was printed
 * could not be read again.
 */
export function formatUtc(epochMs: number): string {
  return new Date(printable(epochMs)).toISOString()
}

/**
 * Prints naive local time with microseconds, as Python's `datetime.now().isoformat()` does.
 *
 * @throws {VaultError} INPUT as {@link formatUtc} does, of the local time.
 */
export function formatNaive(epochMs: number, zone?: string): string {
  const shifted = new Date(printable(epochMs + zoneOffsetMs(printable(epochMs), zone)))
  return `${shifted.toISOString().slice(0, -1)}000`
}

/** Gives the time itself, or the latest that can be printed: a grace or an age may reach beyond it. */
export function clampTime(epochMs: number): number {
  return Math.min(epochMs, LATEST_MS)
}

function isPrintable(epochMs: number): boolean {
  return epochMs >= 0 && epochMs <= LATEST_MS
}

function printable(epochMs: number): number {
  if (isPrintable(epochMs)) return epochMs
  throw new VaultError('INPUT', 'cannot write a time outside of the years 1970 to 9999', {
    hints: ['set the clock of this machine: date'],
  })
}

function offsetToMs(offset: string): number | undefined {
  if (offset === 'Z') return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(4, 6))
  if (hours > 23 || minutes > 59) return undefined
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

/**
 * Finds the instant whose local time is the given one. In an overlap (clocks set back) the earlier instant is taken, so
 * that an age is never understated; in a gap the offset before the gap is used.
 */
function naiveToEpoch(localMs: number, zone: string | undefined): number {
  const before = localMs - zoneOffsetMs(localMs - DAY_MS, zone)
  const at = localMs - zoneOffsetMs(localMs, zone)
  const after = localMs - zoneOffsetMs(localMs + DAY_MS, zone)
  // Far from any change of the clocks.
  if (before === at && at === after) return at
  const exact = [before, at, after].filter((epochMs) => epochMs + zoneOffsetMs(epochMs, zone) === localMs)
  return exact.length > 0 ? Math.min(...exact) : before
}

const DAY_MS = 86_400_000

/** How far local time is ahead of UTC at an instant. */
function zoneOffsetMs(epochMs: number, zone: string | undefined): number {
  if (zone === undefined) return -new Date(epochMs).getTimezoneOffset() * 60_000
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(epochMs)
  const field = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((part) => part.type === type)?.value)
  const local = Date.UTC(
    field('year'),
    field('month') - 1,
    field('day'),
    field('hour'),
    field('minute'),
    field('second'),
  )
  return local - Math.floor(epochMs / 1000) * 1000
}

/** Tells whether the machine's time zone database knows a zone. */
export function isKnownZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: zone })
    return true
  } catch {
    return false
  }
}
