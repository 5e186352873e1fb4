import { it } from 'vitest'
import { tryRotations } from './rotation-trial.js'

it('no call fails through rotations, and none is made with a retired value', async () => {
  await tryRotations({ calls: 120, rotations: 5, clients: 4 })
})
