import fc from 'fast-check'
import { expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendRecords, nextLink } from '../../src/log/append.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { rawRecord } from '../../src/log/parse.js'
import { readBackward, readForward, readTail } from '../../src/log/read.js'
import { hashRecord, type LogRecord, sealRecord } from '../../src/log/record.js'
import { verifyLog } from '../../src/log/verify.js'
import { layLines, MemoryLog, makeChain } from '../log/log-support.js'

/** Any text, lone surrogates included. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('{"', '\\', '}]\n,', '__proto__', '\ud800'),
)
const foreign = fc.oneof(
  fc.record({ credential: text, rotated_at: text, action: text }),
  fc.dictionary(text, fc.jsonValue({ maxDepth: 3 })),
) as fc.Arbitrary<object>
const fields = fc.record(
  {
    credential: fc.option(text),
    rotated_at: text,
    action: fc.constantFrom('created' as const, 'removed' as const),
    subject: text,
    version: fc.nat(),
    by: text,
    reason: text,
  },
  { requiredKeys: ['credential', 'rotated_at', 'action'] },
)
const blockBytes = fc.integer({ min: 1, max: 300 })
const layout = fc.constantFrom<((records: readonly object[]) => string)[]>(
  (records) => layLines(records).toString(),
  (records) => JSON.stringify(records),
  (records) => JSON.stringify(records, null, 2),
  (records) => JSON.stringify(records, null, '\t').replaceAll('\n', '\r\n'),
  (records) => JSON.stringify(records, null, 2).replace(/\n +/g, '\n'),
  (records) => `[\n${records.map((record) => JSON.stringify(record)).join(',\n')}\n]`,
)

function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

test('both readers give the records of any layout, whatever the blocks', () => {
  fc.assert(
    fc.property(fc.array(foreign, { maxLength: 12 }), layout, blockBytes, (records, lay, size) => {
      const reader = readerOfBytes(Buffer.from(lay(records)))
      const expected = json(records)
      expect([...readForward(reader, { blockBytes: size })].map(rawRecord)).toEqual(expected)
      expect([...readBackward(reader, { blockBytes: size })].map(rawRecord).toReversed()).toEqual(expected)
    }),
    { numRuns: 400 },
  )
})

test('what is appended link by link, with others writing in any layout between, verifies', () => {
  const step = fc.oneof(
    fc.record({ seal: fc.array(fields, { minLength: 1, maxLength: 3 }) }),
    fc.record({ add: foreign, lay: layout }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      const log = new MemoryLog()
      const model: object[] = []
      let sealed = 0
      for (const change of steps) {
        if ('seal' in change) {
          const tail = log.bytes && readTail(log.reader())
          let { seq, prev } = nextLink(tail)
          const records = change.seal.map((field): LogRecord => {
            const record = sealRecord(field, { seq: seq++, prev, id: String(seq).padStart(16, '0') })
            prev = hashRecord(record)
            return record
          })
          appendRecords(log.transaction(), records)
          model.push(...records)
          sealed += records.length
        } else if (!['seq', 'id', 'prev', 'hash'].some((member) => Object.hasOwn(change.add, member))) {
          // Another program reads all and writes all, as the tutorial does.
          const all = log.bytes ? JSON.parse(log.bytes.toString()) : []
          log.bytes = Buffer.from(change.lay([...all, change.add]))
          model.push(change.add)
        }
        if (log.bytes) expect(JSON.parse(log.bytes.toString())).toEqual(json(model))
      }
      if (log.bytes)
        expect(verifyLog(log.reader())).toMatchObject({ records: model.length, sealed, problems: [], gaps: [] })
    }),
    { numRuns: 200 },
  )
})

test('any bytes in the place of a log are read or refused as damaged, and writers refuse what readers refuse', () => {
  const whole = layLines(makeChain(3))
  const mutated = fc
    .array(
      fc.record({
        at: fc.nat(whole.length),
        drop: fc.nat(40),
        put: fc.oneof(
          fc.uint8Array({ maxLength: 6 }),
          fc.constantFrom(Buffer.from('\n]\n'), Buffer.from(',{'), Buffer.from('\0\0')),
        ),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((edits) =>
      edits.reduce(
        (bytes, { at, drop, put }) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]),
        whole,
      ),
    )
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        const log = new MemoryLog(Buffer.from(bytes))
        const forward = attempt(() => [...readForward(log.reader())])
        const backward = attempt(() => [...readBackward(log.reader())].toReversed())
        expect(backward).toEqual(forward)
        const writes = attempt(() => appendRecords(log.transaction(), makeChain(1)))
        if (writes === 'damaged') expect(log.bytes).toEqual(Buffer.from(bytes))
        else if (forward !== 'damaged') expect([...readForward(log.reader())]).toHaveLength(forward.length + 1)
      },
    ),
    { numRuns: 1500 },
  )
})

function attempt<T>(run: () => T): T | 'damaged' {
  try {
    return run()
  } catch (error) {
    if (error instanceof VaultError && error.code === 'DAMAGED') return 'damaged'
    throw error
  }
}
