import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { sweepErrors } from './error-sweep.js'
import { sayDone, SWEPT } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

describe('each system call that touches a vault fails once', () => {
  test.for(SWEPT)('$format: $line ($before.length before)', async (command, context) => {
    needStrace(context)
    const place = new TrialPlace(program)
    try {
      const report = await sweepErrors(place, command)
      sayDone(`error sweep, ${command.format} ${command.line}`, { ...report, damage: report.damage.length })
      expect(report.damage).toEqual([])
      expect(report.faults).toBe(report.points)
      expect(report.outcomes['IO old']).toBeGreaterThan(5)
    } finally {
      place.remove()
    }
  })
})
