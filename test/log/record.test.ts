import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseRecord, rawRecord } from '../../src/log/parse.js'
import { FIRST_PREV, hashRecord, isChained, recordName, sealRecord } from '../../src/log/record.js'

const PLACE = { seq: 57, prev: FIRST_PREV, id: '00112233445566aa' }

function parse(text: string) {
  const record = parseRecord(JSON.parse(text))
  if (!record) throw new Error('no record')
  return record
}

describe('sealRecord', () => {
  test('puts the members in the order of the file format', () => {
    const record = sealRecord(
      {
        by: 'deploy@host',
        reason: 'r',
        count: 2,
        version: 4,
        action: 'imported',
        subject: 's',
        rotated_at: 't',
        credential: null,
      },
      PLACE,
    )
    expect(Object.keys(record)).toEqual(
      'credential rotated_at action subject version count seq id by reason prev hash'.split(' '),
    )
  })

  test('leaves out what is not given', () => {
    const record = sealRecord({ credential: 'a', rotated_at: 't', action: 'created' }, PLACE)
    expect(Object.keys(record)).toEqual('credential rotated_at action seq id prev hash'.split(' '))
  })

  test('hashes the compact text of the record without its hash', () => {
    const record = sealRecord({ credential: 'a', rotated_at: 't', action: 'created' }, PLACE)
    const text = `{"credential":"a","rotated_at":"t","action":"created","seq":57,"id":"00112233445566aa","prev":"${FIRST_PREV}"}`
    expect(record.hash).toBe(createHash('sha256').update(text).digest('hex'))
  })
})

describe('hashRecord', () => {
  test('does not see white space, escapes, or the hash itself', () => {
    const record = sealRecord({ credential: 'ключ', rotated_at: 't', action: 'created' }, PLACE)
    const relaid = JSON.stringify(record, null, 2).replace(
      /[^\x00-\x7f]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
    expect(relaid).toContain('\\u043a')
    expect(hashRecord(parse(relaid))).toBe(record.hash)
  })

  test('sees every other member, also unknown ones and "__proto__"', () => {
    const hashes = ['{"a":1}', '{"a":2}', '{"a":1,"__proto__":{}}', '{"a":1,"toJSON":"x"}', '{}'].map((text) =>
      hashRecord(parse(text)),
    )
    expect(new Set(hashes).size).toBe(5)
  })
})

describe('parseRecord', () => {
  test('refuses what is no object', () => {
    for (const value of [null, 1, 'a', true, [], undefined]) expect(parseRecord(value)).toBeUndefined()
  })

  test('gives a well-typed record as it is', () => {
    const value = { credential: 'a', rotated_at: 't', action: 'created', note: { any: 'thing' } }
    expect(parseRecord(value)).toBe(value)
  })

  test('leaves out members of the wrong type and still hashes the record as it stands', () => {
    const value = { credential: 5, rotated_at: null, seq: '1', by: 7, version: 2 ** 53, id: 'x', extra: [] }
    const record = parse(JSON.stringify(value))
    expect(record).toEqual({ credential: null, rotated_at: '', action: '', id: 'x', extra: [] })
    expect(rawRecord(record)).toEqual(value)
    expect(hashRecord(record)).toBe(hashRecord(value))
  })

  test('takes no sequence number that could not be counted on exactly', () => {
    const record = (seq: unknown) => parse(JSON.stringify({ credential: 'a', rotated_at: 't', action: 'x', seq })).seq
    expect(record(1)).toBe(1)
    for (const seq of [-1, 1.5, Number.MAX_SAFE_INTEGER, 1e300, '1', null]) expect(record(seq)).toBeUndefined()
  })

  test('does not change any prototype', () => {
    const record = parse('{"__proto__":{"polluted":true},"credential":"a"}')
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    expect(record.rotated_at).toBe('')
  })
})

test('a record names its credential, or the subject where the credential is null', () => {
  expect(recordName(parse('{"credential":"a","rotated_at":"t","action":"x"}'))).toBe('a')
  expect(recordName(parse('{"credential":null,"rotated_at":"t","action":"x","subject":"b"}'))).toBe('b')
  expect(recordName(parse('{"credential":null,"rotated_at":"t","action":"x"}'))).toBeUndefined()
})

test('a record is a link of the chain as soon as it has one member of one', () => {
  expect(isChained(parse('{"credential":"a","rotated_at":"t","action":"x","note":1}'))).toBe(false)
  for (const member of ['seq', 'id', 'prev', 'hash'])
    expect(isChained(parse(`{"credential":"a","${member}":false}`))).toBe(true)
})
