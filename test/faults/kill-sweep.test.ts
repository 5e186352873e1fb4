import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Call, needStrace } from '../support/strace.js'
import { sweepErrors } from './error-sweep.js'
import { sweepKills } from './kill-sweep.js'
import { sweptCommand } from './swept-commands.js'
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

/** Where most depends on the order of things. */
const PIVOTS = /^(rename|pwrite64)\(|^(link|fsync)\(.*"?\/mcp_/
/** What the careless program does to a file before it is whole. */
const WRITES = /^write\(<\/mcp_|^write\(<\/rotation_/

const choose = (calls: readonly Call[]): readonly Call[] => calls.filter(({ text }) => PIVOTS.test(text))
const writes = (calls: readonly Call[]): readonly Call[] => calls.filter(({ text }) => WRITES.test(text))

describe('killed in the middle (the whole sweep: npm run test:slow)', () => {
  test.each([
    ['native', 'rotate'],
    ['tutorial', 'upgrade'],
  ] as const)('a %s vault is old or new after %s, and needs no hand', async (format, line) => {
    const report = await sweepKills(here(), sweptCommand(format, line), { choose })
    expect(report.damage).toEqual([])
    expect(report.kills).toBe(report.points)
    expect(report.points).toBeGreaterThan(2)
    expect(report.states.old).toBeGreaterThan(0)
  })

  test('(control) a program that writes in place is seen to leave damage', async () => {
    const report = await sweepKills(here(), sweptCommand('tutorial', 'rotate'), { isCareless: true, choose: writes })
    expect(report.damage.length).toBeGreaterThan(3)
    expect(report.damage.join()).toContain('write(</mcp_credentials.enc>)')
  })
})

describe('with a call that fails (the whole sweep: npm run test:slow)', () => {
  test('a vault is old or new after a rotation, as it says', async () => {
    const report = await sweepErrors(here(), sweptCommand('native', 'rotate'), { choose })
    expect(report.damage).toEqual([])
    expect(report.faults).toBe(report.points)
    expect(report.points).toBeGreaterThan(2)
  })
  test('(control) a program that writes in place is seen to leave damage', async () => {
    const report = await sweepErrors(here(), sweptCommand('tutorial', 'rotate'), { isCareless: true, choose: writes })
    expect(report.faults).toBe(report.points)
    // Files that do not verify, not only that it says nothing.
    expect(report.damage.join()).toMatch(/ENOSPC at write\(<\/mcp_credentials\.enc>\): mcpvault \w+ gave 6/)
  })
})
