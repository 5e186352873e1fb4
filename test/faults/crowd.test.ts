import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type CrowdOptions, type CrowdReport, runCrowd } from './crowd.js'
import { TrialPlace } from './trial-place.js'

// Dozens of processes at once, on machines that do other things, too.
vi.setConfig({ testTimeout: 180_000 })

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
  'of eight writers and two readers after %s loses nothing (fifty: npm run test:slow)',
  async (init) => {
    const report = await crowdAfter(init, { writers: 8, readers: 2, rounds: 3, killRate: 0.3, seed: 7 })
    expect(report.failures).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(5)
    expect(report.kills).toBeGreaterThan(0)
    expect(report.reads).toBeGreaterThan(2)
  },
)

test('(control) of careless writers is seen to lose what was acknowledged', async () => {
  const report = await crowdAfter('init --format fernet', {
    writers: 8,
    readers: 0,
    rounds: 3,
    killRate: 0,
    seed: 7,
    isCareless: true,
  })
  expect(report.failures.length).toBeGreaterThan(0)
})
