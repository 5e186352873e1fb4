import { expect, it } from 'vitest'
import { CALLS_AHEAD } from '../../src/tokens/budget.js'
import { sayDone } from '../faults/swept-commands.js'
import { openMint, tryForgeries } from './forgeries.js'
import { raceRevocations, spendWithKills } from './processes.js'

it('a million forged tokens are refused', async () => {
  const mint = await openMint()
  const seed = Date.now()
  const { tried, accepted } = tryForgeries(mint, mint.judge, { count: 1_000_000, seed })
  sayDone('forged tokens', { tried, accepted, seed })
  expect(accepted, `seed ${seed}`).toEqual({})
  expect(tried).toBe(1_000_000)
})

it('ten thousand revocations are seen at once by eight processes', async () => {
  const { rounds, failures } = await raceRevocations({ rounds: 10_000, processes: 8 })
  sayDone('revocation races', { rounds, failures: failures.length })
  expect(failures.slice(0, 10)).toEqual([])
})

it('a budget is never overspent by processes that are killed', async () => {
  const seed = Date.now()
  const { calls, limit, kills } = await spendWithKills({ limit: 5000, processes: 6, seed })
  sayDone('budget with kills', { limit, calls, kills, seed })
  expect(calls).toBeLessThanOrEqual(limit)
  expect(calls).toBeGreaterThanOrEqual(limit - kills * CALLS_AHEAD)
  expect(kills).toBeGreaterThan(50)
})
