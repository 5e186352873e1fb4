import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { changing, sweepPrograms, sweepStages, untilHeld } from './stage-sweep.js'
import { sayDone } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

// A hundred kills and more, each followed by five commands.
vi.setConfig({ testTimeout: 1_800_000 })

const PROVIDERS = ['idempotent', 'silent'] as const

describe('a rotation killed in every state that its files pass through (at every system call: npm run test:sweeps)', () => {
  // What a provider says of itself makes a difference until its value is in the vault.
  test.for([
    ['idempotent', changing, ['old', 'obtain', 'verify', 'targets', 'new']],
    ['silent', untilHeld, ['old', 'create-unknown', 'verify']],
  ] as const)(
    'is at one named stage, makes no second key, and loses no value (%s provider)',
    async ([provider, choose, names], context) => {
      needStrace(context)
      const place = new TrialPlace(program)
      try {
        const report = await sweepStages(place, { provider, choose })
        sayDone(`stage sweep, ${provider} provider`, { ...report, damage: report.damage.length })
        expect(report.damage).toEqual([])
        expect(report.kills).toBe(report.points)
        for (const name of names) expect(report.stages[name], name).toBeGreaterThan(0)
      } finally {
        place.remove()
      }
    },
  )
})

describe('a rotation killed while a program of its policy runs', () => {
  test.for(PROVIDERS)('is at the stage of that program, and goes on and back (%s provider)', async (provider) => {
    const place = new TrialPlace(program)
    try {
      const report = await sweepPrograms(place, { provider })
      expect(report.damage).toEqual([])
      expect(report.kills).toBe(report.points)
      expect(report.stages).toEqual({ [provider === 'silent' ? 'create-unknown' : 'obtain']: 4, verify: 2, targets: 2 })
    } finally {
      place.remove()
    }
  })

  test('(control) a provider that makes another key at each call is seen to have made two', async () => {
    const place = new TrialPlace(program)
    try {
      const report = await sweepPrograms(place, { provider: 'lying' })
      expect(report.damage.join()).toContain('the provider has made 3 keys')
    } finally {
      place.remove()
    }
  })
})
