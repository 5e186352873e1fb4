import { describe, expect, it } from 'vitest'
import { openMint, tryEveryBit, tryForgeries } from './forgeries.js'

describe('a forged token', () => {
  it('is refused, whichever bit of a genuine one was changed', async () => {
    const mint = await openMint()
    const report = tryEveryBit(mint, mint.judge)
    expect(report.tried).toBeGreaterThan(5000)
    expect(report.accepted).toEqual({})
  })

  it('is refused, whatever it was made of (a million: npm run test:slow)', async () => {
    const mint = await openMint()
    expect(tryForgeries(mint, mint.judge, { count: 8000, seed: 3 }).accepted).toEqual({})
  })

  it('(control) is accepted by who does not look at signatures', async () => {
    const mint = await openMint()
    expect(tryEveryBit(mint, mint.carelessJudge).accepted).not.toEqual({})
    const { accepted } = tryForgeries(mint, mint.carelessJudge, { count: 8000, seed: 3 })
    expect(Object.keys(accepted).sort()).toEqual([
      'bytes',
      'caveat added or changed without its signature',
      'caveat taken away',
      'caveats in another order',
      'identifier or signature of another',
      'splice',
      'text',
    ])
  })
})
