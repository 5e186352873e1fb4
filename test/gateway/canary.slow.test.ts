import { expect, it } from 'vitest'
import { followCanary, followPlainValue, type Way } from './canary-trial.js'

/** Every way over the gateway, with the number of places on it in which a server can give a value away. */
const WAYS: readonly (readonly [Way, number])[] = [
  [{ front: 'http', back: 'program', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'http', back: 'program', era: 'modern', serverEra: 'legacy' }, 8],
  [{ front: 'http', back: 'program', era: 'modern', serverEra: 'modern' }, 9],
  [{ front: 'http', back: 'program', era: 'legacy', serverEra: 'both' }, 12],
  [{ front: 'stdio', back: 'program', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'stdio', back: 'program', era: 'modern', serverEra: 'both' }, 9],
  [{ front: 'remote', back: 'program', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'remote', back: 'program', era: 'modern', serverEra: 'modern' }, 9],
  [{ front: 'merged', back: 'program', era: 'legacy', serverEra: 'legacy' }, 4],
  [{ front: 'merged', back: 'program', era: 'modern', serverEra: 'modern' }, 5],
  [{ front: 'http', back: 'http', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'http', back: 'http', era: 'modern', serverEra: 'modern' }, 9],
  [{ front: 'stdio', back: 'http', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'stdio', back: 'http', era: 'modern', serverEra: 'modern' }, 9],
  [{ front: 'remote', back: 'http', era: 'legacy', serverEra: 'legacy' }, 12],
  [{ front: 'merged', back: 'http', era: 'modern', serverEra: 'modern' }, 5],
]

/** Where the redaction of one gateway is all that stands between. */
const PLAIN = WAYS.filter(([{ front, back }]) => back === 'program' && front !== 'stdio')

it.each(WAYS)('no credential comes through %j', async (way, places) => {
  expect(await followCanary(way)).toHaveLength(places)
})

it.each(PLAIN)('the same value is seen where it is no credential, at every step of %j', async (way, places) => {
  expect(await followPlainValue(way)).toHaveLength(places)
})
