import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { agesAt, at, expectNoCrash, findWrongAges, needFaketime, runAt, ZONES } from './clock.js'
import { TrialPlace } from './trial-place.js'

vi.setConfig({ testTimeout: 180_000 })

const MINUTE = 60_000
const DAY = 86_400_000
const YEAR = 365.25 * DAY
const LORD_HOWE = ZONES[3]
const NOW = Date.parse('2026-11-22T12:00:00Z')

let program: BuiltCopy
let place: TrialPlace | undefined

function here(): TrialPlace {
  if (!place) throw new Error('there is no place')
  return place
}

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())
beforeEach((context) => {
  needFaketime(context)
  place = new TrialPlace(program)
})
afterEach(() => place?.remove())

test('(control) the program lives in the time that it is given', () => {
  at(here(), NOW, { line: 'init --format fernet' })
  at(here(), NOW, { line: 'store a =value' })
  const [record] = JSON.parse(readFileSync(here().path('rotation_log.json'), 'utf8'))
  expect(record.rotated_at).toMatch(/^2026-11-22T12:00:0/)
})

test('where clocks go back by half an hour, no age is understated (both ways, five zones: npm run test:slow)', () => {
  expect(findWrongAges(here(), LORD_HOWE.zone, Date.parse(LORD_HOWE.back))).toEqual([])
})

describe.each(['init', 'init --format fernet'])('a clock that is wrong, after %s', (init) => {
  function prepare(): string {
    at(here(), NOW, { line: init })
    at(here(), NOW, { line: 'store a =value' })
    return at(here(), NOW, { line: 'token create --tools x --ttl 30d --label first' }).trim()
  }

  function check(token: string, atMs: number): number | undefined {
    return runAt(here(), atMs, 'UTC', `token check --tool x --token-file ${tokenFile(token)}`).status
  }

  function tokenFile(token: string): string {
    return here().words([`=${token}`])[1] ?? ''
  }

  test('errs to due and expired when it is set back', () => {
    const token = prepare()
    expect(check(token, NOW + MINUTE)).toBe(0)
    expect(agesAt(here(), NOW - 40 * DAY)).toMatchObject([{ name: 'a', reason: 'clock skew' }])
    expect(check(token, NOW - 10 * MINUTE)).toBe(1)
    expect(check(token, NOW - 40 * DAY)).toBe(1)
  })

  test('errs to due and expired when it is a century ahead', () => {
    const token = prepare()
    expect(agesAt(here(), NOW + 100 * YEAR)).toMatchObject([{ name: 'a', reason: 'age' }])
    expect(check(token, NOW + 100 * YEAR)).toBe(1)
    expect(check(token, NOW + 31 * DAY)).toBe(1)
  })

  test('crashes nothing when it is set back (and a century ahead, and at the epoch: npm run test:slow)', () => {
    expectNoCrash(here(), init, { nowMs: NOW, shiftMs: -40 * DAY })
  })
})
