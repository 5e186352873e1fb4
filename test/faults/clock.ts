/**
 * Other clocks, by Debian's libfaketime: the built program lives in another time and zone, its monotonic clock does not.
 *
 * @module
 */

import { existsSync } from 'node:fs'
import type { TestContext } from 'vitest'
import { need } from '../support/need.js'
import type { Ran, TrialPlace } from './trial-place.js'

const LIBRARIES = ['x86_64', 'aarch64', 'arm', 'i386'].map(
  (machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`,
)

/** Zones whose clocks are changed, each with an hour of 2026 (UTC) in which they go forward and one in which they go back. */
export const ZONES = [
  { zone: 'Europe/Berlin', forward: '2026-03-29T01:00:00Z', back: '2026-10-25T01:00:00Z' },
  { zone: 'America/New_York', forward: '2026-03-08T07:00:00Z', back: '2026-11-01T06:00:00Z' },
  { zone: 'America/Havana', forward: '2026-03-08T05:00:00Z', back: '2026-11-01T05:00:00Z' },
  { zone: 'Australia/Lord_Howe', forward: '2026-10-03T15:30:00Z', back: '2026-04-04T15:00:00Z' },
  { zone: 'Pacific/Chatham', forward: '2026-09-26T14:00:00Z', back: '2026-04-04T14:00:00Z' },
] as const

/** Skips a test loudly where the clock cannot be changed. */
export function needFaketime(context: TestContext): void {
  need(context, LIBRARIES.some(existsSync), 'there is no libfaketime here (Debian: apt-get install faketime)')
}

/** Runs a command at a time, given in milliseconds since the epoch, in a zone. */
export function runAt(place: TrialPlace, atMs: number, zone: string, line: string): Ran {
  const shiftSeconds = (atMs - Date.now()) / 1000
  const env = {
    ...place.keyFor([]),
    TZ: zone,
    LD_PRELOAD: LIBRARIES.find(existsSync) ?? '',
    // Relative, since libfaketime reads a date in whatever the C library takes the zone to be.
    FAKETIME: `${shiftSeconds < 0 ? '' : '+'}${shiftSeconds.toFixed(3)}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DONT_RESET: '1',
    NO_FAKE_STAT: '1',
  }
  return place.run(line.split(' '), { env })
}

const MINUTE = 60_000
const DAY = 86_400_000

/** Runs a command that must end with a status at a time, and gives its stdout. */
export function at(
  place: TrialPlace,
  atMs: number,
  options: { readonly line: string; readonly zone?: string },
): string {
  const ran = runAt(place, atMs, options.zone ?? 'UTC', options.line)
  if (ran.status === 0) return ran.stdout
  throw new Error(`${options.line} at ${new Date(atMs).toISOString()} gave ${ran.status}: ${ran.stderr}`)
}

/** One credential that is due. */
export interface Due {
  readonly name: string
  readonly reason: string
  readonly age_seconds: number | null
}

/** Asks how old everything is. */
export function agesAt(place: TrialPlace, atMs: number, zone = 'UTC'): readonly Due[] {
  return JSON.parse(at(place, atMs, { line: 'rotation-due --max-age 0 --json', zone }))
}

/**
 * Rotates a credential of a tutorial vault before, at and behind a change of clocks, where naive times lie in a gap or
 * come twice, and asks for its age from there on. Gives the ages that are understated, or overstated by more than an
 * hour.
 */
export function findWrongAges(place: TrialPlace, zone: string, changeMs: number): readonly string[] {
  const wrong: string[] = []
  at(place, changeMs - 3 * DAY, { line: 'init --format fernet', zone })
  at(place, changeMs - 3 * DAY, { line: 'store a =value', zone })
  for (const [index, minutes] of [-90, -45, -1, 1, 45, 90].entries()) {
    const rotatedMs = changeMs + minutes * MINUTE
    at(place, rotatedMs, { line: `rotate a =value${index}`, zone })
    for (const later of [0, 30, 75, 26 * 60]) {
      const [due] = agesAt(place, rotatedMs + later * MINUTE, zone)
      const age = (due?.age_seconds ?? Number.NaN) / 60
      if (!(age > later - 1 && age < later + 61))
        wrong.push(`rotated at ${minutes} min, ${later} min later it is ${age} min old`)
    }
  }
  at(place, changeMs + DAY, { line: 'log verify', zone })
  return wrong
}

/** Commands that only look, and every one that writes. */
const EVERYTHING = [
  ...['list', 'load a', 'history a', 'log show', 'log verify', 'token list --all', 'rotation-due --exit-zero'],
  ...['store NEW =new', 'rotate a --generate', 'token create --tools y --label NEW', 'token revoke NEW'],
  'remove NEW --yes',
]

/** Runs every command under a clock that is wrong, and again once it goes right. */
export function expectNoCrash(
  place: TrialPlace,
  init: string,
  { nowMs, shiftMs }: { readonly nowMs: number; readonly shiftMs: number },
): void {
  for (const line of [init, 'store a =value', 'token create --tools x --ttl 30d --label first'])
    at(place, nowMs, { line })
  for (const line of EVERYTHING) at(place, nowMs + shiftMs, { line: line.replaceAll('NEW', 'then') })
  for (const line of EVERYTHING) at(place, nowMs + MINUTE, { line: line.replaceAll('NEW', 'later') })
}
