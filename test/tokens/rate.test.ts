import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { formatRate, parseRate, type Rate, RateKeeper, type RateLimit } from '../../src/tokens/rate.js'

const limit = (key: string, rate: string): RateLimit => ({ key, rate: parseRate(rate) as Rate })

describe('RateKeeper', () => {
  it('lets as many calls through at once as the rate names, and then one for each part of its span', () => {
    let nowMs = 0
    const keeper = new RateKeeper(() => nowMs)
    const limits = [limit('a', '3/m')]
    expect([1, 2, 3, 4].map(() => keeper.take(limits))).toEqual([true, true, true, false])
    expect(keeper.secondsUntilNext(limits)).toBe(20)
    nowMs = 19_999
    expect(keeper.take(limits)).toBe(false)
    nowMs = 20_000
    expect(keeper.take(limits)).toBe(true)
    expect(keeper.take(limits)).toBe(false)
  })

  it('takes from all buckets or from none', () => {
    const keeper = new RateKeeper(() => 0)
    const [wide, narrow] = [limit('wide', '2/h'), limit('narrow', '1/h')]
    expect(keeper.take([wide, narrow])).toBe(true)
    expect(keeper.take([wide, narrow])).toBe(false)
    expect(keeper.take([wide])).toBe(true)
    expect(keeper.take([wide])).toBe(false)
  })

  it('never lets more through in any span than the bucket and what flowed in', () => {
    const step = fc.record({ waitMs: fc.integer({ min: 0, max: 5000 }), tries: fc.integer({ min: 1, max: 8 }) })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 30 }), (calls, steps) => {
        let nowMs = 0
        const keeper = new RateKeeper(() => nowMs)
        const limits = [limit('a', `${calls}/s`)]
        let taken = 0
        for (const { waitMs, tries } of steps) {
          nowMs += waitMs
          for (let count = 0; count < tries; count++) if (keeper.take(limits)) taken += 1
          expect(taken).toBeLessThanOrEqual(calls + Math.floor((nowMs * calls) / 1000 + 1e-6))
        }
      }),
    )
  })

  it('keeps the buckets that are in use when there are very many', () => {
    const keeper = new RateKeeper(() => 0)
    const used = limit('used', '1/h')
    expect(keeper.take([used])).toBe(true)
    for (let count = 0; count < 10_500; count++) {
      keeper.take([limit(`other ${count}`, '1/h')])
      expect(keeper.take([used])).toBe(false)
    }
  })

  it('takes nothing where there is no rate', () => {
    expect(new RateKeeper(() => 0).take([])).toBe(true)
  })
})

it('rates are read as they are written', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1e6 }),
      fc.constantFrom('s' as const, 'm' as const, 'h' as const),
      (calls, per) => {
        expect(parseRate(formatRate({ calls, per }))).toEqual({ calls, per })
      },
    ),
  )
})
