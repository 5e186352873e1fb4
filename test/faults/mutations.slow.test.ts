import { expect, test } from 'vitest'
import { runMutations } from './mutations.js'
import { sayDone } from './swept-commands.js'

test('no mutated file of a million crashes a parser or is taken for something else', async () => {
  const seed = Date.now()
  const { count, outcomes, failures } = await runMutations(1_000_000, seed)
  sayDone('mutated files', { count, seed, outcomes, failures: failures.length })
  expect(failures).toEqual([])
  expect(count).toBe(1_000_000)
})
