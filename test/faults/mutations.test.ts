import { expect, test } from 'vitest'
import { makeSubjects, mutate, runMutations, seededRandom } from './mutations.js'

test('no mutated file crashes a parser or is taken for something else (a million: npm run test:slow)', async () => {
  const { count, outcomes, failures } = await runMutations(6000, 1)
  expect(failures).toEqual([])
  expect(count).toBe(6000)
  // Every parser has met files that it refuses and files that it reads.
  expect(outcomes['native vault']?.DAMAGED).toBeGreaterThan(1000)
  expect(outcomes['tutorial vault']).toMatchObject({ DAMAGED: expect.any(Number), opened: expect.any(Number) })
  expect(outcomes['rotation log']).toMatchObject({ DAMAGED: expect.any(Number), read: expect.any(Number) })
  expect(outcomes['token records']).toMatchObject({ DAMAGED: expect.any(Number), RESTORED: expect.any(Number) })
  expect(outcomes.token).toMatchObject({ decoded: expect.any(Number), 'no token': expect.any(Number) })
})

test('the whole files are read, so that refusing the mutated ones means something', async () => {
  const expected: Readonly<Record<string, string>> = {
    token: 'decoded',
    'native vault': 'opened',
    'tutorial vault': 'opened',
  }
  for (const { name, seeds, parse } of await makeSubjects())
    expect(parse(seeds[0] ?? Buffer.alloc(0))).toBe(expected[name] ?? 'read')
})

test('(control) a parser that believes what it reads is seen to fail', async () => {
  const careless = (bytes: Buffer): unknown => Object.keys(JSON.parse(bytes.toString('utf8')))
  let crashes = 0
  for (const { seeds } of await makeSubjects()) {
    for (let seed = 0; seed < 200; seed++) {
      try {
        careless(mutate(seeds, seededRandom(seed)))
      } catch {
        crashes++
      }
    }
  }
  expect(crashes).toBeGreaterThan(200)
})
