import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Call, needStrace } from '../support/strace.js'
import { isCommit, sweepStages } from './stage-sweep.js'
import { TrialPlace } from './trial-place.js'

// Dozens of processes are started one after the other, on machines that do other things, too.
vi.setConfig({ testTimeout: 180_000 })

let program: BuiltCopy
let place: TrialPlace | undefined

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())
beforeEach((context) => {
  needStrace(context)
  place = new TrialPlace(program)
})
afterEach(() => place?.remove())

function here(): TrialPlace {
  if (!place) throw new Error('there is no place')
  return place
}

const commits = (calls: readonly Call[]): readonly Call[] => calls.filter(isCommit)

describe('a rotation killed where its steps are committed (all of them: npm run test:slow)', () => {
  test('is at one named stage, makes no second key, and loses no value', async () => {
    const report = await sweepStages(here(), { provider: 'idempotent', choose: commits })
    expect(report.damage).toEqual([])
    expect(report.kills).toBe(report.points)
    expect(report.stages).toEqual({ old: 1, obtain: 1, verify: 2, targets: 1 })
  })

  test('(control) a provider that makes another key at each call is seen to have made two', async () => {
    const obtained = (calls: readonly Call[]): readonly Call[] => commits(calls).slice(1, 2)
    const report = await sweepStages(here(), { provider: 'lying', choose: obtained })
    expect(report.damage.join()).toContain('the provider has made 3 keys')
  })
})
