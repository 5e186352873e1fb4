import { expect, it } from 'vitest'
import { followCanary } from './canary-trial.js'

// That the same value is seen where it is no credential, and all other ways: canary.slow.test.ts.
it('a credential that a program gives away everywhere reaches no client, no log and no audit log, and a leak is recorded', async () => {
  const steps = await followCanary({ front: 'http', back: 'program', era: 'legacy', serverEra: 'legacy' })
  expect(steps).toHaveLength(12)
})
