import { describe, expect, test } from 'vitest'
import { CRASHES, DURABLE, KEEPING, tearOne, tearThree } from './torn.js'

const isEvery = (): boolean => true

describe.for(Object.keys(CRASHES))('an append of one record of which %s', (crash) => {
  test.for(Object.keys(DURABLE))('to %s loses nothing that was confirmed (at every length)', (what) => {
    expect(tearOne(crash, DURABLE[what] ?? [], isEvery)).toBeGreaterThan(200)
  })
})

describe.for(KEEPING)('an append of three records of which %s', (crash) => {
  test('keeps those that are complete (at every length)', () => tearThree(crash, isEvery))
})
