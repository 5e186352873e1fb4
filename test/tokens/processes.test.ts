import { describe, expect, it } from 'vitest'
import { CALLS_AHEAD } from '../../src/tokens/budget.js'
import { raceRevocations, spendWithKills } from './processes.js'

describe('processes that follow the records', () => {
  it('refuse a token as soon as another has revoked it (10,000 rounds: npm run test:slow)', async () => {
    const { failures } = await raceRevocations({ rounds: 40, processes: 4 })
    expect(failures).toEqual([])
  })

  it('(control) are caught when they do not look', async () => {
    const { failures } = await raceRevocations({ rounds: 3, processes: 2, kind: 'stale' })
    expect(failures.length).toBeGreaterThan(0)
  })

  it('spend a budget to its end and no further, however often they are killed', async () => {
    const { calls, limit, kills } = await spendWithKills({ limit: 200, processes: 3, seed: 11 })
    expect(calls).toBeLessThanOrEqual(limit)
    // Who is killed forfeits what it had set aside, and no more.
    expect(calls).toBeGreaterThanOrEqual(limit - kills * CALLS_AHEAD)
    expect(kills).toBeGreaterThan(2)
  })

  it('(control) are caught when they count for themselves', async () => {
    const { calls, limit } = await spendWithKills({ limit: 40, processes: 3, seed: 11, kind: 'careless' })
    expect(calls).toBeGreaterThan(limit)
  })
})
