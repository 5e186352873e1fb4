import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { expectNoCrash, findWrongAges, needFaketime, ZONES } from './clock.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

describe.each(ZONES)('where the clocks of $zone are changed', ({ zone, forward, back }) => {
  test.for([forward, back])('at %s no age is understated, nor overstated by more than an hour', (change, context) => {
    needFaketime(context)
    const place = new TrialPlace(program)
    try {
      expect(findWrongAges(place, zone, Date.parse(change))).toEqual([])
    } finally {
      place.remove()
    }
  })
})

const NOW = Date.parse('2026-11-22T12:00:00Z')
const DAY = 86_400_000

describe.each(['init', 'init --format fernet'])('a clock that is wrong, after %s', (init) => {
  test.for([
    ['a century ahead', 36_525 * DAY],
    ['at the epoch', DAY - NOW],
  ] as const)('crashes nothing when it is %s', ([, shiftMs], context) => {
    needFaketime(context)
    const place = new TrialPlace(program)
    try {
      expectNoCrash(place, init, { nowMs: NOW, shiftMs })
    } finally {
      place.remove()
    }
  })
})
