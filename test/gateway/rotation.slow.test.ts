import { it } from 'vitest'
import { tryRotations } from './rotation-trial.js'

it('5,000 calls through 30 rotations: none fails, none is made with a retired value', {
  timeout: 600_000,
}, async () => {
  await tryRotations({ calls: 5000, rotations: 30, clients: 16 })
})
