import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { rawRecord } from '../../src/log/parse.js'
import { hasRecord, readBackward, readForward, readTail } from '../../src/log/read.js'
import type { LogRecord } from '../../src/log/record.js'
import { foreignRecord, layLines, MemoryLog, makeChain } from './log-support.js'

const RECORDS: readonly LogRecord[] = [
  ...makeChain(3),
  foreignRecord('{"brace": [inside], "quote\\'),
  { ...foreignRecord('日本語 \u2028 \ud800'), nested: [{ deep: '}]' }] } as LogRecord,
  ...makeChain(2),
]
const TEXTS = RECORDS.map((record) => JSON.stringify(record))
const PLAIN = JSON.stringify(makeChain(3), null, 2)
const INDENTED = JSON.stringify(RECORDS, null, 2)

const LAYOUTS: Readonly<Record<string, string>> = {
  ours: layLines(RECORDS).toString(),
  'indent=2': INDENTED,
  'indent=2 and a line feed': `${INDENTED}\n`,
  'indent=0': INDENTED.replace(/\n +/g, '\n'),
  tabs: JSON.stringify(RECORDS, null, '\t'),
  compact: JSON.stringify(RECORDS),
  'compact with spaces': `[${TEXTS.join(', ')}]`,
  CRLF: INDENTED.replaceAll('\n', '\r\n'),
  'ours with CRLF': layLines(RECORDS).toString().replaceAll('\n', '\r\n'),
  BOM: `\uFEFF${INDENTED}`,
  'ours with BOM': `\uFEFF${layLines(RECORDS)}`,
  'a comma at the end of each line': `[\n${TEXTS.join(',\n')}\n]\n`,
  'ours, closed on the last line': `[\n${TEXTS.join('\n,')}]`,
  'ours with white space at the end': `${layLines(RECORDS)} \n`,
  'white space around': ` \n${INDENTED}\n\n \t`,
  'ours, one record indented by hand': `[\n${TEXTS.join('\n,').replace(TEXTS[2] ?? '', JSON.stringify(RECORDS[2], null, 2))}\n]\n`,
  'ours, two records on one line': `[\n${TEXTS.slice(0, 3).join('\n,')},${TEXTS.slice(3).join('\n,')}\n]\n`,
}

function readAll(bytes: Buffer | string, blockBytes?: number): { forward: unknown[]; backward: unknown[] } {
  const reader = readerOfBytes(Buffer.from(bytes))
  const options = blockBytes === undefined ? {} : { blockBytes }
  return {
    forward: [...readForward(reader, options)].map(rawRecord),
    backward: [...readBackward(reader, options)].map(rawRecord).toReversed(),
  }
}

function failure(read: () => unknown): VaultError {
  try {
    read()
  } catch (error) {
    if (error instanceof VaultError) return error
    throw error
  }
  throw new Error('it was read')
}

describe('every layout of a JSON array', () => {
  for (const [layout, text] of Object.entries(LAYOUTS)) {
    test(`${layout}: both readers give the same records, whatever the block size`, () => {
      expect(JSON.parse(text.replace(/^\uFEFF/, ''))).toEqual(RECORDS)
      for (const blockBytes of [undefined, 1, 2, 3, 7, 64, 1000]) {
        const { forward, backward } = readAll(text, blockBytes)
        expect(forward).toEqual(RECORDS)
        expect(backward).toEqual(RECORDS)
      }
    })

    test(`${layout}: the tail is the last record and the last sequence number`, () => {
      const tail = readTail(readerOfBytes(Buffer.from(text)))
      expect(tail.lastRecord).toEqual(RECORDS.at(-1))
      expect(tail.lastSeq).toBe(2)
    })
  }

  test('an array without records is empty in every layout', () => {
    for (const text of ['[\n]\n', '[]', '[]\n', '[ ]', '[\n\n]', '\uFEFF[]', ' [\r\n] ', '[\n]']) {
      expect(readAll(text)).toEqual({ forward: [], backward: [] })
      expect(readTail(readerOfBytes(Buffer.from(text)))).toMatchObject({ lastRecord: undefined, lastSeq: 0 })
    }
  })

  test('odd members do no harm', () => {
    const text =
      '[{"credential":"a","credential":"b","__proto__":{"x":1},"constructor":1,"2":0,"1":0,"rotated_at":1e999}]'
    const { forward, backward } = readAll(text)
    expect(forward).toEqual(backward)
    expect(forward).toEqual(JSON.parse(text))
    expect(Reflect.get({}, 'x')).toBeUndefined()
  })
})

describe('damage is named with its position and never taken for an empty log', () => {
  const line = TEXTS[0] ?? ''
  const cases: readonly (readonly [string, Buffer | string, number])[] = [
    ['no bytes at all', '', 0],
    ['white space only', ' \n', 2],
    ['one bracket', '[', 1],
    ['an object', '{"a":1}', 0],
    ['null', 'null', 0],
    ['text', 'hello', 0],
    ['an array of arrays', '[[]]', 1],
    ['an array with a number', '[{},1]', 4],
    ['two commas', '[{},,{}]', 4],
    ['a comma at the end', '[{},]', 4],
    ['a comma at the beginning', '[,{}]', 1],
    ['no comma', '[{} {}]', 4],
    ['more behind the end', '[{}] x', 5],
    ['another array behind the end', '[{}]\n[{}]', 5],
    ['zeros behind the end', '[{}]\0', 4],
    ['an indented log that was cut', PLAIN.slice(0, -20), PLAIN.lastIndexOf('{')],
    ['an indented log that was cut between records', '[\n  {}', 6],
    ['an unindented log that was cut', '[\n{\n"a": 1\n},\n{\n"a"', 2],
    ['an unindented log that was cut later', '[\n{\n"a": 1\n},\n{\n"a": 1\n},\n{\n"a"', 2],
    ['a line a record that was cut', '[\n{"a":1},\n{"a":1},\n{"a"', 2],
    ['a wrong literal in a record', '[{"a":tru}]', 1],
    ['a raw line feed in a string', '[{"a":"\n"}]', 1],
    ['bytes that are no UTF-8', Buffer.from([0x5b, 0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x5d]), 1],
    ['ours with a broken first line', `[\n{"a":}\n,${line}\n]\n`, 2],
    ['ours with a broken line', `[\n{}\n,{"a":}\n,${line}\n]\n`, 6],
    ['ours without its first record', `[\n,${line}\n]\n`, 2],
    ['ours, closed early, with our lines behind', `[\n${line}\n]\n\n,${line}\n,${line}\n]\n`, line.length + 5],
    [
      'ours with UTF-16 in it',
      Buffer.concat([Buffer.from('[\n{}\n'), Buffer.from(`,${line}\n`, 'utf16le'), Buffer.from(`,${line}\n]\n`)]),
      6,
    ],
  ]
  for (const [what, bytes, position] of cases) {
    test(`${what}`, () => {
      for (const read of [readForward, readBackward]) {
        const error = failure(() => [...read(readerOfBytes(Buffer.from(bytes)))])
        expect(error.code).toBe('DAMAGED')
        const named = Number(/ at byte (\d+)$/.exec(error.message)?.[1])
        // The position is that of a broken line or of the record in it, behind the line's comma.
        expect(Math.abs(named - position)).toBeLessThanOrEqual(1)
      }
    })
  }

  test('no text of the log is in the message', () => {
    const error = failure(() => [...readForward(readerOfBytes(Buffer.from('[{"credential":"private_name",}]')))])
    expect(`${error.message}${error.hints}${String(error.cause)}`).not.toContain('private')
  })

  test('a record that is nested too deeply to be printed again, behind however many strings', () => {
    const nested = (depth: number): string => `{"a":"[[[{{{\\"","b":${'['.repeat(depth)}${']'.repeat(depth)}}`
    const log = (depth: number): Buffer => Buffer.from(`[\n${nested(depth)}\n]\n`)
    expect([...readBackward(readerOfBytes(log(499)))]).toHaveLength(1)
    for (const depth of [500, 100_000]) {
      for (const read of [readBackward, readForward]) {
        const run = (): unknown => [...read(readerOfBytes(log(depth)))]
        expect(run).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
      }
    }
    const brackets = Buffer.from(`[\n{"a":"${'['.repeat(5000)}"}\n]\n`)
    expect([...readForward(readerOfBytes(brackets))]).toHaveLength(1)
  })

  test('a record of over 1 MiB', () => {
    const long = { ...foreignRecord(), reason: 'x'.repeat(1024 * 1024) }
    for (const bytes of [layLines([foreignRecord(), long, foreignRecord()]), Buffer.from(JSON.stringify([long]))]) {
      for (const read of [readForward, readBackward]) {
        expect(failure(() => [...read(readerOfBytes(bytes))]).code).toBe('DAMAGED')
      }
    }
  })
})

describe('reading little of a long log', () => {
  const log = new MemoryLog(layLines(makeChain(20_000)))

  test('the tail costs one block', () => {
    log.readBytes = 0
    expect(readTail(log.reader())).toMatchObject({ layout: 'line', lastSeq: 20_000, joint: ',' })
    expect(log.readBytes).toBeLessThan(65_536 + 100)
  })

  test('reading backwards stops where the caller stops', () => {
    log.readBytes = 0
    for (const record of readBackward(log.reader())) if (record.credential === 'key_19990') break
    expect(log.readBytes).toBeLessThan(2 * 65_536 + 100)
    expect(log.bytes?.length).toBeGreaterThan(5_000_000)
  })

  test('a record is looked for among the last ones only', () => {
    expect(hasRecord(log.reader(), (20_000).toString(16).padStart(16, '0'), 1)).toBe(true)
    expect(hasRecord(log.reader(), (19_999).toString(16).padStart(16, '0'), 1)).toBe(false)
    expect(hasRecord(log.reader(), (19_999).toString(16).padStart(16, '0'), 2)).toBe(true)
    log.readBytes = 0
    expect(hasRecord(log.reader(), 'unknown', 100)).toBe(false)
    expect(log.readBytes).toBeLessThan(3 * 65_536)
  })

  test('a log without sequence numbers has 0 as its last', () => {
    expect(readTail(readerOfBytes(layLines([foreignRecord(), foreignRecord()])))).toMatchObject({
      lastSeq: 0,
      layout: 'line',
    })
  })
})
