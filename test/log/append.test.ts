import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendRecords, nextLink } from '../../src/log/append.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { readForward, readTail } from '../../src/log/read.js'
import { FIRST_PREV, hashRecord, type LogRecord } from '../../src/log/record.js'
import { verifyLog } from '../../src/log/verify.js'
import { ConflictError } from '../../src/storage/store.js'
import { foreignRecord, layLines, MemoryLog, makeChain } from './log-support.js'

function append(log: MemoryLog, records: readonly LogRecord[]): void {
  appendRecords(log.transaction(), records)
}

function text(log: MemoryLog): string {
  return (log.bytes ?? Buffer.alloc(0)).toString()
}

describe('in our layout', () => {
  test('the first record creates the log', () => {
    const log = new MemoryLog()
    const records = makeChain(2)
    append(log, records)
    expect(text(log)).toBe(layLines(records).toString())
    expect(log.writes).toEqual([])
  })

  test('a record goes over the end of the array and nothing before it is written', () => {
    const [first, second, third] = makeChain(3) as [LogRecord, LogRecord, LogRecord]
    const log = new MemoryLog(layLines([first]))
    const before = log.bytes as Buffer
    append(log, [second, third])
    expect(text(log)).toBe(`[\n${JSON.stringify(first)}\n,${JSON.stringify(second)}\n,${JSON.stringify(third)}\n]\n`)
    expect(log.writes).toHaveLength(1)
    expect(log.writes[0]?.at).toBe(before.length - 2)
  })

  test('an empty log gets its first record without a comma', () => {
    const log = new MemoryLog('[\n]\n')
    const records = makeChain(1)
    append(log, records)
    expect(text(log)).toBe(layLines(records).toString())
    expect(log.writes).toHaveLength(1)
  })

  test('no records are no write', () => {
    const log = new MemoryLog()
    append(log, [])
    expect(log.bytes).toBeUndefined()
  })

  test('a log of 20,000 records costs a block read and a record written', () => {
    const records = makeChain(20_000)
    const log = new MemoryLog(layLines(records))
    const next = makeChain(1, records)
    append(log, next)
    expect(log.bytes?.length).toBeGreaterThan(5_000_000)
    expect(log.readBytes).toBeLessThan(65_536 + 100)
    expect(log.reads).toBeLessThan(4)
    expect(log.writes.map(({ bytes }) => bytes.toString())).toEqual([`,${JSON.stringify(next[0])}\n]\n`])
    expect(log.writes[0]?.bytes.length).toBeLessThan(500)
    expect(log.replacements).toBe(0)
  })

  test('a long batch is written page by page, a record longer than a page at once', () => {
    const long = { ...foreignRecord(), reason: 'x'.repeat(10_000) }
    const records = [...makeChain(40), long, ...makeChain(1)]
    const log = new MemoryLog('[\n]\n')
    append(log, records)
    expect(text(log)).toBe(layLines(records).toString())
    const lengths = log.writes.map(({ bytes }) => bytes.length)
    expect(lengths.filter((length) => length > 4096)).toHaveLength(1)
    expect(lengths.length).toBeLessThan(6)
  })

  test('a record of over 1 MiB is refused and the log stays', () => {
    const log = new MemoryLog(layLines(makeChain(1)))
    const before = text(log)
    expect(() => append(log, [{ ...foreignRecord(), reason: 'x'.repeat(1024 * 1024) }])).toThrow(VaultError)
    expect(text(log)).toBe(before)
  })

  test('a log that somebody wrote meanwhile is left alone', () => {
    const log = new MemoryLog(layLines(makeChain(1)))
    const tx = log.transaction()
    const open = tx.open('log')
    append(log, [foreignRecord()])
    expect(() => appendRecords({ ...tx, open: () => open }, [foreignRecord()])).toThrow(ConflictError)
  })
})

describe('a log in another layout', () => {
  const records = [
    ...makeChain(3),
    foreignRecord('ключ'),
    { ...foreignRecord(), note: { a: [1, { b: ' {\n' }] } } as LogRecord,
  ]
  const layouts = {
    'indent=2': JSON.stringify(records, null, 2),
    compact: JSON.stringify(records),
    CRLF: JSON.stringify(records, null, 2).replaceAll('\n', '\r\n'),
    BOM: `\uFEFF${JSON.stringify(records)}`,
    "Python's escapes": JSON.stringify(records, null, 2).replace(
      /[^\x00-\x7f]/g,
      (char) => `\\u0${char.charCodeAt(0).toString(16)}`,
    ),
  }
  for (const [layout, bytes] of Object.entries(layouts)) {
    test(`${layout} is laid out anew once and keeps every record and hash`, () => {
      const log = new MemoryLog(bytes)
      const next = makeChain(1, records)
      append(log, next)
      expect(JSON.parse(text(log))).toEqual([...records, ...next])
      expect(log.replacements).toBe(1)
      expect(readTail(log.reader()).layout).toBe('line')
      expect(verifyLog(log.reader()).problems).toEqual([])
      append(log, makeChain(1, [...records, ...next]))
      expect(log.replacements).toBe(1)
      expect(log.writes).toHaveLength(1)
    })
  }

  test('every token keeps its spelling', () => {
    const log = new MemoryLog('[ {"a" : 1.0 , "a": 12345678901234567890, "b c":"\\u0041 \\" \\\\"} ,\n\t{ } ]')
    append(log, [foreignRecord()])
    const [, first, second] = text(log).split('\n')
    expect(first).toBe('{"a":1.0,"a":12345678901234567890,"b c":"\\u0041 \\" \\\\"}')
    expect(second).toBe(',{}')
  })

  test('an empty one becomes ours', () => {
    for (const bytes of ['[]', '[ ]\n', '[\r\n]']) {
      const log = new MemoryLog(bytes)
      append(log, makeChain(1))
      expect(text(log)).toBe(layLines(makeChain(1)).toString())
    }
  })

  test('the shortest records fit in what is set aside for them', () => {
    const log = new MemoryLog(`[${Array.from({ length: 10_000 }, () => '{}').join(',')}]`)
    append(log, [foreignRecord()])
    expect(JSON.parse(text(log))).toHaveLength(10_001)
  })

  test('one that would take too long is refused with the way out, and stays', () => {
    const log = new MemoryLog(`[${' '.repeat(64 * 1024 * 1024)}]`)
    const before = log.bytes
    expect(() => append(log, [foreignRecord()])).toThrow(
      expect.objectContaining({ code: 'INPUT', hints: [expect.stringContaining('mcpvault log show >')] }),
    )
    expect(log.bytes).toBe(before)
  })

  test('damage is refused and nothing is written', () => {
    for (const bytes of ['', '{}', '[{]', '[{"a":tru}]', '[{}', `[\n${'{"a":1}\n,'.repeat(3)}{"a":x}\n]\n`]) {
      const log = new MemoryLog(bytes)
      expect(() => append(log, [foreignRecord()])).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
      expect(text(log)).toBe(bytes)
      expect(log.replacements + log.writes.length).toBe(0)
    }
  })

  test('what was laid out is read back before it takes the place', () => {
    const log = new MemoryLog('[{}]')
    const tx = log.transaction()
    const lose = {
      ...tx,
      replace: (name: 'log', bytes: Buffer, options: Parameters<typeof tx.replace>[2]) =>
        tx.replace(name, bytes, { ...options, verify: () => options.verify(layLines([{}])) }),
    }
    expect(() => appendRecords(lose as typeof tx, [foreignRecord()])).toThrow(VaultError)
    expect(text(log)).toBe('[{}]')
  })
})

describe('nextLink', () => {
  test('a log that does not exist begins the chain', () => {
    expect(nextLink(undefined)).toEqual({ seq: 1, prev: FIRST_PREV })
    expect(nextLink(undefined, { seq: 57, head: 'x' })).toEqual({ seq: 58, prev: FIRST_PREV })
  })

  test('a record follows the last one in the file, also when that has no hash', () => {
    const records = [...makeChain(3), foreignRecord()]
    const tail = readTail(readerOfBytes(layLines(records)))
    expect(nextLink(tail)).toEqual({ seq: 4, prev: hashRecord(foreignRecord()) })
  })

  test('the number is one above the vault and the log', () => {
    const tail = readTail(readerOfBytes(layLines(makeChain(3))))
    expect(nextLink(tail, { seq: 2, head: 'x' }).seq).toBe(4)
    expect(nextLink(tail, { seq: 9, head: 'x' }).seq).toBe(10)
  })

  test('records made from link to link verify', () => {
    const log = new MemoryLog(JSON.stringify([foreignRecord()], null, 2))
    append(log, makeChain(2, [foreignRecord()]))
    append(log, makeChain(1, [...readForward(log.reader())]))
    const report = verifyLog(log.reader())
    expect(report).toMatchObject({ records: 4, sealed: 3, checkpoints: [0], problems: [], gaps: [], torn: false })
  })
})
