import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { DEFAULT_MAX_AGE_SECONDS, type DueQuestion, dueState, lastRotations } from '../../src/rotation/due.js'
import { layLines, MemoryLog, makeChain } from '../log/log-support.js'

const NOW = Date.UTC(2026, 10, 22, 18)
const DAY = 86_400
const HOUR_MS = 3_600_000

/** Asks about a value that is `ageMs` old. */
function ask(ageMs: number | undefined, rest: Partial<DueQuestion> = {}) {
  const sinceMs = ageMs === undefined ? undefined : NOW - ageMs
  return dueState({ sinceMs, maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, nowMs: NOW, ...rest })
}

describe('by age', () => {
  test('a value is due from the second on in which it reaches the limit', () => {
    expect(ask(30 * DAY * 1000 - 1)).toMatchObject({ isDue: false, reason: undefined, ageSeconds: 30 * DAY - 1 })
    expect(ask(30 * DAY * 1000)).toMatchObject({ isDue: true, reason: 'age', ageSeconds: 30 * DAY })
    expect(ask(31 * DAY * 1000)).toMatchObject({ isDue: true, reason: 'age' })
  })

  test('the answer says when it becomes due', () => {
    expect(ask(10 * DAY * 1000).dueAtMs).toBe(NOW + 20 * DAY * 1000)
    expect(ask(40 * DAY * 1000).dueAtMs).toBe(NOW - 10 * DAY * 1000)
  })

  test('a limit that reaches beyond the year 9999 ends there', () => {
    const late = { sinceMs: Date.UTC(9999, 0), maxAgeSeconds: 400 * DAY, nowMs: Date.UTC(9999, 0) }
    expect(dueState(late).dueAtMs).toBe(Date.UTC(10_000, 0) - 1)
  })

  test('a limit of 0 makes everything due', () => {
    expect(ask(0, { maxAgeSeconds: 0 })).toMatchObject({ isDue: true, reason: 'age' })
  })

  test('what becomes due within a span counts', () => {
    expect(ask(23 * DAY * 1000, { withinSeconds: 7 * DAY })).toMatchObject({ isDue: true, reason: 'soon' })
    expect(ask(23 * DAY * 1000 - 1, { withinSeconds: 7 * DAY })).toMatchObject({ isDue: false })
    expect(ask(30 * DAY * 1000, { withinSeconds: 7 * DAY })).toMatchObject({ isDue: true, reason: 'age' })
  })

  test('a limit in days is the same as comparing whole days', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e11 }), fc.integer({ min: 0, max: 4000 }), (ageMs, days) => {
        expect(ask(ageMs, { maxAgeSeconds: days * DAY }).isDue).toBe(Math.floor(ageMs / (DAY * 1000)) >= days)
      }),
    )
  })

  test('what is due stays due as time goes on', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e10 }),
        fc.nat(1e9),
        fc.nat(1e7),
        fc.boolean(),
        (ageMs, later, withinSeconds, isNaive) => {
          const before = ask(ageMs, { withinSeconds, isNaive })
          if (before.isDue) expect(ask(ageMs + later, { withinSeconds, isNaive }).isDue).toBe(true)
        },
      ),
    )
  })
})

describe('rotations', () => {
  test('one that was interrupted is due before everything else', () => {
    expect(ask(0, { isStuck: true })).toMatchObject({ isDue: true, reason: 'stuck rotation' })
    expect(ask(undefined, { isStuck: true, leakedMs: NOW })).toMatchObject({ isDue: true, reason: 'stuck rotation' })
  })

  test('an old key that nobody has said was revoked is due from the end of its grace on, unless the value is due itself', () => {
    const until = NOW + 5 * DAY * 1000
    expect(ask(0, { unrevokedMs: until })).toMatchObject({ isDue: false, dueAtMs: NOW + 30 * DAY * 1000 })
    expect(ask(0, { unrevokedMs: until, withinSeconds: 5 * DAY - 1 })).toMatchObject({ isDue: false })
    expect(ask(0, { unrevokedMs: until, withinSeconds: 5 * DAY })).toMatchObject({ reason: 'soon', dueAtMs: until })
    expect(ask(0, { unrevokedMs: NOW + 1 })).toMatchObject({ isDue: false })
    expect(ask(0, { unrevokedMs: NOW })).toMatchObject({ isDue: true, reason: 'old key not revoked', dueAtMs: NOW })
    expect(ask(29 * DAY * 1000, { unrevokedMs: NOW - 1, withinSeconds: 5 * DAY })).toMatchObject({
      reason: 'old key not revoked',
    })
    expect(ask(31 * DAY * 1000, { unrevokedMs: NOW - 1 })).toMatchObject({ reason: 'age' })
    expect(ask(0, { unrevokedMs: NOW - 1, leakedMs: NOW - 1 })).toMatchObject({ reason: 'leak' })
  })
})

describe('what cannot be known errs to due', () => {
  const unknown = {
    isDue: true,
    ageSeconds: undefined,
    maxAgeSeconds: 30 * 86_400,
    dueAtMs: undefined,
    isApproximate: false,
  }

  test('no record', () => {
    expect(ask(undefined)).toEqual({ ...unknown, reason: 'no record' })
  })

  test('a date that cannot be read', () => {
    expect(ask(undefined, { isUnreadable: true })).toEqual({ ...unknown, reason: 'unreadable date' })
  })

  test('a date more than 5 minutes ahead', () => {
    expect(ask(-5 * 60_000)).toMatchObject({ isDue: false, ageSeconds: 0, isApproximate: false })
    expect(ask(-5 * 60_000 - 1)).toEqual({ ...unknown, reason: 'clock skew' })
  })

  test('a naive date more than 26 hours ahead; up to there its age is 0, approximately', () => {
    expect(ask(-26 * HOUR_MS, { isNaive: true })).toMatchObject({ isDue: false, ageSeconds: 0, isApproximate: true })
    expect(ask(-26 * HOUR_MS - 1, { isNaive: true })).toEqual({ ...unknown, reason: 'clock skew' })
    expect(ask(HOUR_MS, { isNaive: true })).toMatchObject({ ageSeconds: 3600, isApproximate: false })
  })
})

describe('lastRotations', () => {
  const record = (credential: unknown, rotatedAt: unknown, rest = {}) => ({
    credential,
    rotated_at: rotatedAt,
    action: 'rotated',
    ...rest,
  })

  function find(records: readonly object[], names?: readonly string[], zone = 'UTC') {
    return lastRotations(readerOfBytes(layLines(records)), names, zone)
  }

  test('the last record of a name counts, whatever its action says', () => {
    const found = find([
      record('a', '2026-01-01T00:00:00'),
      record('b', '2026-01-02T00:00:00'),
      record('a', '2026-01-03T00:00:00', { action: 'something else' }),
    ])
    expect([...found.keys()].toSorted()).toEqual(['a', 'b'])
    expect(found.get('a')).toEqual({
      rotatedAt: '2026-01-03T00:00:00',
      at: { epochMs: Date.UTC(2026, 0, 3), isNaive: true },
    })
  })

  test('records that name the credential as their subject do not count', () => {
    const found = find([
      record('a', '2026-01-01T00:00:00'),
      record(null, '2026-02-01T00:00:00', { subject: 'a', action: 'rolled-back' }),
    ])
    expect(found.get('a')?.rotatedAt).toBe('2026-01-01T00:00:00')
  })

  test('a last date that cannot be read is not replaced by an older one', () => {
    for (const date of ['yesterday', '', '2026-02-30T00:00:00', 5, null]) {
      const found = find([record('a', '2026-01-01T00:00:00'), record('a', date)], ['a'])
      expect(found.get('a')).toEqual({ rotatedAt: typeof date === 'string' ? date : '', at: undefined })
    }
  })

  test('naive times are taken in the zone that was given, others say their own', () => {
    const records = [record('a', '2026-07-01T12:00:00.5'), record('b', '2026-07-01T12:00:00.500Z')]
    const found = find(records, ['a', 'b'], 'Europe/Berlin')
    expect(found.get('a')?.at).toEqual({ epochMs: Date.UTC(2026, 6, 1, 10, 0, 0, 500), isNaive: true })
    expect(found.get('b')?.at).toEqual({ epochMs: Date.UTC(2026, 6, 1, 12, 0, 0, 500), isNaive: false })
  })

  test('a name without a record is missing', () => {
    expect(find([record('a', '2026-01-01T00:00:00')], ['b', '__proto__', 'constructor']).size).toBe(0)
    expect(lastRotations(undefined, ['a']).size).toBe(0)
    expect(lastRotations(undefined, undefined).size).toBe(0)
  })

  test('any name is just a name', () => {
    const names = ['__proto__', 'constructor', '0', '', 'ключ']
    const found = find(
      names.map((name) => record(name, '2026-01-01T00:00:00')),
      names,
    )
    expect([...found.keys()].toSorted()).toEqual(names.toSorted())
  })

  test('reading stops as soon as every name is found', () => {
    const log = new MemoryLog(layLines(makeChain(20_000)))
    expect(lastRotations(log.reader(), ['key_19999', 'key_19900']).size).toBe(2)
    expect(log.readBytes).toBeLessThan(3 * 65_536)
    expect(lastRotations(log.reader(), []).size).toBe(0)
  })

  test('looking for a name that is not there reads everything, in blocks', () => {
    const log = new MemoryLog(layLines(makeChain(20_000)))
    expect(lastRotations(log.reader(), ['nobody']).size).toBe(0)
    expect(log.readBytes).toBeGreaterThan((log.bytes?.length ?? 0) - 3)
    expect(log.readBytes / log.reads).toBeLessThan(65_537)
  })

  test('damage that was not needed for the answer is not met; damage that was is an error', () => {
    const bytes = Buffer.concat([Buffer.from('[\n{"credential":"a",broken}\n,'), layLines(makeChain(3)).subarray(2)])
    expect(lastRotations(readerOfBytes(bytes), ['key_2']).size).toBe(1)
    expect(() => lastRotations(readerOfBytes(bytes), ['a'])).toThrow(VaultError)
  })
})
