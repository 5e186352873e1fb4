import { describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendRecords } from '../../src/log/append.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { readForward } from '../../src/log/read.js'
import { FIRST_PREV, hashRecord, type LogRecord, sealRecord } from '../../src/log/record.js'
import { type LogAnchor, type LogReport, verifyLog } from '../../src/log/verify.js'
import { foreignRecord, layLines, MemoryLog, makeChain } from './log-support.js'

function verify(records: readonly object[], anchor?: LogAnchor): LogReport {
  return verifyLog(readerOfBytes(layLines(records)), anchor)
}

function kinds(report: LogReport): string[] {
  return report.problems.map(({ kind }) => kind)
}

function anchorOf(records: readonly LogRecord[], pending?: readonly LogRecord[]): LogAnchor {
  const last = records.at(-1)
  const anchor = { seq: last?.seq ?? 0, head: last?.hash ?? FIRST_PREV }
  return pending ? { ...anchor, pending } : anchor
}

/** A chain with records by others before, inside and behind it. */
function mixedChain(): LogRecord[] {
  const first = [foreignRecord('a'), ...makeChain(2, [foreignRecord('a')]), foreignRecord('b')]
  return [...first, ...makeChain(2, first)]
}

describe('a whole log', () => {
  test('has no problems and counts its records', () => {
    expect(verify(makeChain(5))).toEqual({
      records: 5,
      sealed: 5,
      checkpoints: [],
      gaps: [],
      restored: [],
      problems: [],
      anchored: undefined,
      torn: false,
    })
  })

  test('names the records by others as checkpoints', () => {
    expect(verify(mixedChain())).toMatchObject({ records: 6, sealed: 4, checkpoints: [0, 3], problems: [], gaps: [] })
  })

  test('survives another layout', () => {
    const bytes = Buffer.from(JSON.stringify(mixedChain(), null, 2))
    expect(verifyLog(readerOfBytes(bytes))).toMatchObject({ sealed: 4, problems: [] })
  })

  test('says that its tail is torn', () => {
    const bytes = layLines(makeChain(3)).subarray(0, -10)
    expect(verifyLog(readerOfBytes(bytes))).toMatchObject({ records: 2, torn: true, problems: [] })
  })

  test('names a gap that the record of a restore explains, and that is no problem', () => {
    const before = makeChain(2)
    const place = { seq: 9, prev: hashRecord(before[1] as LogRecord), id: '00000000000000ff' }
    const restored = sealRecord({ credential: null, rotated_at: 't', action: 'restored' }, place)
    expect(verify([...before, restored])).toMatchObject({
      gaps: [{ after: 2, before: 9 }],
      restored: [9],
      problems: [],
    })
  })

  test('is empty when there is none', () => {
    expect(verifyLog(undefined)).toMatchObject({ records: 0, problems: [], anchored: undefined })
    expect(verifyLog(undefined, { seq: 0, head: FIRST_PREV })).toMatchObject({ problems: [], anchored: true })
  })
})

describe('a changed log', () => {
  const records = makeChain(5)

  test('a record that was changed does not fit its hash nor the record after it', () => {
    const changed = records.map((record, index) => (index === 2 ? { ...record, credential: 'other' } : record))
    expect(verify(changed).problems).toMatchObject([
      { kind: 'changed', index: 2, seq: 3 },
      { kind: 'chain', index: 3, seq: 4 },
    ])
  })

  test('a record that was changed with its hash does not fit the record after it', () => {
    const { seq, prev, id } = records[2] as Required<LogRecord>
    const forged = sealRecord({ credential: 'other', rotated_at: 't', action: 'rotated' }, { seq, prev, id })
    expect(verify(records.with(2, forged)).problems).toMatchObject([{ kind: 'chain', index: 3, seq: 4 }])
  })

  test('a record that was removed leaves a gap and a broken chain', () => {
    const report = verify(records.toSpliced(2, 1))
    expect(kinds(report)).toEqual(['chain', 'gap'])
    expect(report.gaps).toEqual([{ after: 2, before: 4 }])
  })

  test('a gap that no record of a restore explains stays a problem, however well the chain goes on behind it', () => {
    const place = { seq: 9, prev: hashRecord(records[1] as LogRecord), id: '00000000000000ff' }
    const next = sealRecord({ credential: 'a', rotated_at: 't', action: 'rotated' }, place)
    expect(verify([...records.slice(0, 2), next]).problems).toEqual([
      { kind: 'gap', index: 2, seq: 9, text: 'should follow records 3 to 8, which are not there' },
    ])
  })

  test('a record by others that was put in afterwards breaks the chain', () => {
    expect(kinds(verify(records.toSpliced(2, 0, foreignRecord())))).toEqual(['chain'])
  })

  test('a record that was repeated or moved is out of order', () => {
    expect(kinds(verify([...records, records[4] as LogRecord]))).toContain('order')
    expect(kinds(verify([1, 0, 2, 3, 4].map((index) => records[index] as LogRecord)))).toContain('order')
  })

  test('a record that lost a part of its place is not taken for one by others', () => {
    for (const member of ['seq', 'id', 'prev', 'hash'] as const) {
      const { [member]: _, ...rest } = records[4] as LogRecord
      const report = verify(records.with(4, rest as LogRecord))
      expect(kinds(report)).toContain('changed')
      expect(report.checkpoints).toEqual([])
    }
  })

  test('no text of the log is in a problem', () => {
    const changed = records.map((record) => ({ ...record, credential: 'private', reason: 'private', hash: 'private' }))
    expect(JSON.stringify(verify(changed).problems)).not.toContain('private')
  })
})

describe('against its vault', () => {
  const records = makeChain(5)

  test('a log that ends with the record the vault knows is anchored', () => {
    expect(verify(records, anchorOf(records))).toMatchObject({ anchored: true, problems: [] })
    expect(verify([...records, foreignRecord()], anchorOf(records))).toMatchObject({
      anchored: true,
      problems: [],
      checkpoints: [5],
    })
  })

  test('a log that was cut is behind the vault', () => {
    for (const kept of [0, 1, 4]) {
      const report = verify(records.slice(0, kept), anchorOf(records))
      expect(report).toMatchObject({ anchored: false, problems: [{ kind: 'behind', seq: 5 }] })
    }
    expect(kinds(verifyLog(undefined, anchorOf(records)))).toEqual(['behind'])
  })

  test('a log that was written anew has forked', () => {
    const forged = [
      ...records.slice(0, 4),
      ...makeChain(1, [...records.slice(0, 3), { ...(records[3] as LogRecord), reason: 'x' }]),
    ]
    expect(verify(forged, anchorOf(records))).toMatchObject({ anchored: false })
    expect(kinds(verify(forged, anchorOf(records)))).toContain('forked')
  })

  test('a log that goes on behind the vault shows that an old vault was restored', () => {
    const report = verify(records, anchorOf(records.slice(0, 3)))
    expect(report.anchored).toBe(true)
    expect(report.problems).toMatchObject([
      { kind: 'ahead', index: 3, seq: 4 },
      { kind: 'ahead', index: 4, seq: 5 },
    ])
  })

  test("pending records may be in the log or not yet, counted into the vault's head or not", () => {
    const pending = records.slice(3)
    for (const logged of [3, 4, 5]) {
      for (const head of [records.slice(0, 3), records]) {
        expect(verify(records.slice(0, logged), anchorOf(head, pending))).toMatchObject({
          anchored: true,
          problems: [],
        })
      }
    }
  })

  test('another record in the place of a pending one has forked', () => {
    const pending = [{ ...(records[4] as LogRecord), hash: 'f'.repeat(64) }]
    expect(kinds(verify(records, anchorOf(records.slice(0, 4), pending)))).toEqual(['forked'])
  })

  test('what is missing and not pending is behind', () => {
    expect(kinds(verify(records.slice(0, 3), anchorOf(records, [records[4] as LogRecord])))).toEqual(['behind'])
  })
})

describe('every bit', () => {
  const records = mixedChain()
  const whole = layLines(records)

  /** What verification makes of the log: nothing, or some sign. */
  function sign(bytes: Buffer): string | undefined {
    try {
      const report = verifyLog(readerOfBytes(bytes))
      return report.problems[0]?.kind ?? (report.torn ? 'torn' : undefined)
    } catch (error) {
      if (error instanceof VaultError && error.code === 'DAMAGED') return 'damaged'
      throw error
    }
  }

  test('that flips is named', () => {
    const signs = new Set<string>()
    const silent: string[] = []
    for (let index = 0; index < whole.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(whole)
        flipped[index] = (flipped[index] ?? 0) ^ (1 << bit)
        const found = sign(flipped)
        if (found === undefined) silent.push(`${index}:${bit}`)
        else signs.add(found)
      }
    }
    expect(silent).toEqual([])
    expect([...signs].toSorted()).toEqual(
      ['chain', 'changed', 'damaged', 'order', 'torn'].filter((kind) => signs.has(kind)),
    )
    expect(signs.size).toBeGreaterThanOrEqual(4)
  })

  test('that flips in a record by others at the end is not, since nothing vouches for it (control)', () => {
    const log = layLines([...records, foreignRecord('zz')])
    const flipped = Buffer.from(log)
    const index = log.lastIndexOf('zz')
    flipped[index] = (flipped[index] ?? 0) ^ 1
    expect(sign(log)).toBeUndefined()
    expect(sign(flipped)).toBeUndefined()
  })

  test('that flips costs no other record when the next one is appended', () => {
    let appended = 0
    for (let index = 0; index < whole.length; index++) {
      const flipped = Buffer.from(whole)
      flipped[index] = (flipped[index] ?? 0) ^ (1 << (index % 8))
      const log = new MemoryLog(flipped)
      try {
        appendRecords(log.transaction(), [foreignRecord()])
      } catch (error) {
        expect(error).toBeInstanceOf(VaultError)
        expect(log.bytes).toEqual(flipped)
        continue
      }
      appended++
      const text = log.bytes?.toString('latin1') ?? ''
      const missing = records.filter((record) => !text.includes(JSON.stringify(record)))
      expect(missing.length).toBeLessThanOrEqual(1)
    }
    expect(appended).toBeGreaterThan(100)
  })
})

test('the forward reader keeps what it needs for the hash of records that are not well-typed', () => {
  const odd = { credential: 7, rotated_at: [], extra: { a: 1 } } as unknown as LogRecord
  const records = [odd, ...makeChain(1, [odd])]
  expect(verify(records)).toMatchObject({ sealed: 1, checkpoints: [0], problems: [] })
  expect([...readForward(readerOfBytes(layLines(records)))][0]).toMatchObject({ credential: null, rotated_at: '' })
})
