import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Call, needStrace } from '../support/strace.js'
import { expectKillsHarmless, sweepKills } from './kill-sweep.js'
import { CHANGING, SWEPT, sweptCommand } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

const COMMANDS = SWEPT.filter(({ format }) => format === 'native')
const everyFourth = (calls: readonly Call[]): readonly Call[] => calls.filter((_, index) => index % 4 === 1)

describe('a native vault, killed before every system call that touches it', () => {
  test.for(COMMANDS)('$line ($before.length before)', async (command, context) => {
    needStrace(context)
    await expectKillsHarmless(program, command, command.isLikeAnother ? { choose: everyFourth } : {})
  })

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
