import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { sweepStages } from './stage-sweep.js'
import { sayDone } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

// Hundreds of kills, each followed by five commands.
vi.setConfig({ testTimeout: 7_200_000 })

describe('a rotation killed before every system call that touches the vault', () => {
  test.for(['idempotent', 'silent'] as const)(
    'is at one named stage, makes no second key, and loses no value (%s provider)',
    async (provider, context) => {
      needStrace(context)
      const place = new TrialPlace(program)
      try {
        const report = await sweepStages(place, { provider })
        sayDone(`stage sweep at every call, ${provider} provider`, { ...report, damage: report.damage.length })
        expect(report.damage).toEqual([])
        expect(report.kills).toBe(report.points)
      } finally {
        place.remove()
      }
    },
  )
})
