import { describe, expect, test } from 'vitest'
import { VaultError } from '../src/errors.js'
import { clampTime, formatNaive, formatUtc, parseTimestamp } from '../src/timestamp.js'

const LAST = Date.UTC(10_000, 0) - 1

describe('a time that is printed', () => {
  test('can be read again, up to the ends of the years 1970 to 9999', () => {
    for (const epochMs of [0, 1, Date.UTC(2026, 10, 22), LAST]) {
      expect(parseTimestamp(formatUtc(epochMs))).toEqual({ epochMs, isNaive: false })
      expect(parseTimestamp(formatNaive(epochMs, 'UTC'), 'UTC')).toEqual({ epochMs, isNaive: true })
    }
  })

  test('is refused outside of them, since nothing could read it again', () => {
    for (const epochMs of [-1, LAST + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const print of [() => formatUtc(epochMs), () => formatNaive(epochMs, 'UTC')]) {
        expect(print).toThrow(VaultError)
        expect(print).toThrow('cannot write a time outside of the years 1970 to 9999')
      }
    }
    // There the new year has come already.
    expect(() => formatNaive(LAST, 'Asia/Tokyo')).toThrow(VaultError)
  })

  test('ends where a span would reach beyond them', () => {
    expect(clampTime(LAST + 1)).toBe(LAST)
    expect(clampTime(5)).toBe(5)
  })
})

test('a time that an offset takes out of those years is no time', () => {
  expect(parseTimestamp('9999-12-31T23:59:59-01:00')).toBeUndefined()
  expect(parseTimestamp('1970-01-01T00:00:00+01:00')).toBeUndefined()
  expect(parseTimestamp('9999-12-31T23:59:59+01:00')?.epochMs).toBe(LAST - 999 - 3_600_000)
})
