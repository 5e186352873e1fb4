import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { findWrongAges, needFaketime, ZONES } from './clock.js'
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
