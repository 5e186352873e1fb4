import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendRecords } from '../../src/log/append.js'
import { readBackward, readForward, readTail } from '../../src/log/read.js'
import { layLines, MemoryLog, makeChain } from './log-support.js'
import { CRASHES, check, DURABLE, KEEPING, oldPage, splice, tearOne, tearThree } from './torn.js'

/** Beginnings, ends and borders are tried as well. */
const isSampled = (length: number): boolean => length % 13 === 5

describe.for(Object.keys(CRASHES))('an append of one record of which %s', (crash) => {
  test.for(Object.keys(DURABLE))(
    'to %s loses nothing that was confirmed (at every length: npm run test:slow)',
    (what) => {
      expect(tearOne(crash, DURABLE[what] ?? [], isSampled)).toBeGreaterThan(30)
    },
  )
})

describe.for(KEEPING)('an append of three records of which %s', (crash) => {
  test('keeps those that are complete (at every length: npm run test:slow)', () => tearThree(crash, isSampled))
})

test('of a batch whose first page is missing nothing is kept', () => {
  const durable = makeChain(2)
  const attempted = makeChain(3, durable)
  const written = Buffer.from(`${attempted.map((record) => `,${JSON.stringify(record)}\n`).join('')}]\n`)
  for (let length = 3; length < written.length; length += 3) {
    check(splice(layLines(durable), oldPage(length), written.subarray(length)), durable, [])
  }
})

test('a torn tail is found behind more than one block of zeros', () => {
  const durable = makeChain(3)
  check(splice(layLines(durable), Buffer.from(',{"credential"'), Buffer.alloc(700_000)), durable, [])
  check(Buffer.concat([layLines(durable), Buffer.alloc(700_000)]), durable, [])
})

test('a log that was cut anywhere is read up to the cut', () => {
  const records = makeChain(4)
  const whole = layLines(records)
  for (let length = 2; length < whole.length; length++) {
    const log = new MemoryLog(whole.subarray(0, length))
    const seen = [...readForward(log.reader())]
    expect(seen).toEqual(records.slice(0, seen.length))
    expect([...readBackward(log.reader())].toReversed()).toEqual(seen)
    expect(readTail(log.reader()).layout).toBe('torn')
  }
  for (const length of [0, 1])
    expect(() => [...readForward(new MemoryLog(whole.subarray(0, length)).reader())]).toThrow(VaultError)
})

describe('what is no torn append is damage, and no writer cuts it off', () => {
  const records = makeChain(4)
  const lines = records.map((record) => JSON.stringify(record))
  const cases: Readonly<Record<string, string>> = {
    'the last record was changed': `[\n${lines.join('\n,').slice(0, -1)}|\n]\n`,
    'the comma of the last record was changed': `[\n${lines.slice(0, 3).join('\n,')}\n-${lines[3]}\n]\n`,
    'the line feed before the last record was changed': `[\n${lines.slice(0, 3).join('\n,')}*,${lines[3]}\n]\n`,
    'records follow garbage': `[\n${lines.slice(0, 2).join('\n,')}\n,{"cred*${lines[2]}*${lines[3]}`,
    'another log was put behind': `[\n${lines.slice(0, 2).join('\n,')}\n]\n[${lines.slice(2).join(',')}]`,
    'garbage follows the beginning': '[\nXYZ',
  }
  for (const [what, text] of Object.entries(cases)) {
    test(what, () => {
      const log = new MemoryLog(text)
      expect(() => appendRecords(log.transaction(), records)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
      expect(() => [...readBackward(log.reader())]).toThrow(VaultError)
      expect(() => [...readForward(log.reader())]).toThrow(VaultError)
      expect(log.bytes?.toString()).toBe(text)
    })
  }
})
