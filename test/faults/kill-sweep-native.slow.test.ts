import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { sweepKills } from './kill-sweep.js'
import { CHANGING, sayDone, SWEPT, sweptCommand } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

describe('a native vault, killed before every system call that touches it', () => {
  test.for(SWEPT.filter(({ format }) => format === 'native'))(
    '$line ($before.length before)',
    async (command, context) => {
      needStrace(context)
      const place = new TrialPlace(program)
      try {
        const report = await sweepKills(place, command)
        sayDone(`kill sweep, native ${command.line}`, { ...report, damage: report.damage.length })
        expect(report.damage).toEqual([])
        expect(report.kills).toBe(report.points)
        expect(report.states.old).toBeGreaterThan(5)
        expect(report.states.new).toBeGreaterThan(5)
      } finally {
        place.remove()
      }
    },
  )

  test('nor is anything else true between the calls that only look', async (context) => {
    needStrace(context)
    const place = new TrialPlace(program)
    try {
      const report = await sweepKills(place, sweptCommand('native', 'store'), {
        choose: (calls) => calls.filter((_, index) => index % 5 === 3),
        calls: [...CHANGING, 'statx', 'pread64', 'readlink', 'getdents64'],
      })
      expect(report.damage).toEqual([])
      expect(report.kills).toBe(report.points)
      expect(report.kills).toBeGreaterThan(10)
    } finally {
      place.remove()
    }
  })
})
