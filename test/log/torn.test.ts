import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendRecords } from '../../src/log/append.js'
import { readBackward, readForward, readTail } from '../../src/log/read.js'
import type { LogRecord } from '../../src/log/record.js'
import { foreignRecord, layLines, MemoryLog, makeChain } from './log-support.js'

/** What a crash may leave of a write over the end of `before`, of which the first `length` bytes got through. */
const CRASHES: Readonly<Record<string, (before: Buffer, written: Buffer, length: number) => Buffer>> = {
  'the file is cut': (before, written, length) => splice(before, written.subarray(0, length)),
  'the rest is zeros': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.alloc(written.length - length)),
  'the rest is zeros to the end of the page': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.alloc(4096)),
  'the rest is what stood there before': (before, written, length) =>
    splice(before, written.subarray(0, length), before.subarray(before.length - 2 + length)),
  'the rest is garbage': (before, written, length) =>
    splice(before, written.subarray(0, length), garbage(written.length - length)),
  'the rest is garbage with line feeds': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.from('x}]\n,{\n"\n]\n,"'.repeat(9))),
  'the beginning is what stood there before': (before, written, length) =>
    splice(before, oldPage(length), written.subarray(length)),
}

function splice(before: Buffer, ...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([before.subarray(0, before.length - 2), ...parts])
}

/** The old end, then zeros where the file had none. */
function oldPage(length: number): Buffer {
  return Buffer.concat([Buffer.from(']\n'), Buffer.alloc(Math.max(0, length - 2))]).subarray(0, length)
}

function garbage(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 151 + 197) % 256))
}

function check(torn: Buffer, durable: readonly LogRecord[], attempted: readonly LogRecord[]): void {
  const log = new MemoryLog(torn)
  const seen = [...readForward(log.reader())]
  // Everything that was confirmed is there, and of the rest only complete records, in order.
  expect(seen.slice(0, durable.length)).toEqual(durable)
  expect(seen.slice(durable.length)).toEqual(attempted.slice(0, seen.length - durable.length))
  expect([...readBackward(log.reader())].toReversed()).toEqual(seen)
  const tail = readTail(log.reader())
  expect(tail.lastRecord).toEqual(seen.at(-1))

  const next = makeChain(1, seen)
  appendRecords(log.transaction(), next)
  expect(log.bytes?.toString()).toBe(layLines([...seen, ...next]).toString())
  expect(log.replacements).toBe(0)
}

const DURABLE: Readonly<Record<string, readonly LogRecord[]>> = {
  'a log of three records': makeChain(3),
  'a log of one record': makeChain(1),
  'an empty log': [],
  'a log that ends with a record by others': [
    ...makeChain(2),
    { ...foreignRecord('{"'), nested: [{ a: '}' }] } as LogRecord,
  ],
}

describe.for(Object.entries(CRASHES))('an append of one record of which %s', ([crash, apply]) => {
  for (const [what, durable] of Object.entries(DURABLE)) {
    test(`to ${what} loses nothing that was confirmed, at every length`, () => {
      const before = layLines(durable)
      const attempted = makeChain(1, durable)
      const written = Buffer.from(`${durable.length > 0 ? ',' : ''}${JSON.stringify(attempted[0])}\n]\n`)
      let checked = 0
      for (let length = 0; length <= written.length; length++) {
        // Garbage instead of the very first record leaves no sign that this ever was a log.
        if (length === 0 && durable.length === 0 && crash.includes('garbage')) continue
        check(apply(before, written, length), durable, attempted)
        checked++
      }
      expect(checked).toBeGreaterThanOrEqual(written.length)
    })
  }
})

describe.for(Object.entries(CRASHES).filter(([crash]) => !crash.startsWith('the beginning')))(
  'an append of three records of which %s',
  ([, apply]) => {
    test('keeps those that are complete, at every length', () => {
      const durable = makeChain(2)
      const attempted = makeChain(3, durable)
      const written = Buffer.from(`${attempted.map((record) => `,${JSON.stringify(record)}\n`).join('')}]\n`)
      for (let length = 0; length <= written.length; length++)
        check(apply(layLines(durable), written, length), durable, attempted)
    })
  },
)

test('of a batch whose first page is missing nothing is kept', () => {
  const durable = makeChain(2)
  const attempted = makeChain(3, durable)
  const written = Buffer.from(`${attempted.map((record) => `,${JSON.stringify(record)}\n`).join('')}]\n`)
  for (let length = 3; length < written.length; length++) {
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
