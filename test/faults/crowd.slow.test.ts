import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type CrowdOptions, type CrowdReport, runCrowd } from './crowd.js'
import { sayDone } from './swept-commands.js'
import { TrialPlace } from './trial-place.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

async function crowdAfter(init: string, options: CrowdOptions): Promise<CrowdReport> {
  const place = new TrialPlace(program)
  try {
    for (const line of [init, 'store kept =kept', 'token create --tools x --label kept']) place.succeed(line.split(' '))
    return await runCrowd(place, options)
  } finally {
    place.remove()
  }
}

test.each(['init', 'init --format fernet'])(
  'of fifty writers and four readers after %s loses nothing',
  async (init) => {
    const seed = Date.now()
    const report = await crowdAfter(init, { writers: 50, readers: 4, rounds: 8, killRate: 0.25, seed })
    sayDone(`crowd after ${init}`, { ...report, seed, failures: report.failures.length })
    expect(report.failures).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(200)
    expect(report.kills).toBeGreaterThan(30)
    expect(report.reads).toBeGreaterThan(20)
  },
)
