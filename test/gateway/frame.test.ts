import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_FRAME_BYTES, parseFrame } from '../../src/gateway/frame.js'
import { RpcError } from '../../src/gateway/rpc.js'

const parse = (text: string | Buffer) => parseFrame(Buffer.from(text))

function codeOf(text: string | Buffer): number | undefined {
  try {
    parse(text)
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(RpcError)
    return (error as RpcError).code
  }
}

describe('a message', () => {
  it('loses insignificant white space and nothing else', () => {
    const odd =
      '\r\n{ "jsonrpc" :\t"2.0",\r"id": 1.0, "method":"tools/call", "params": {"name":"a b", "x": [ 1e400, -0, 12345678901234567890 ]}}\n'
    expect(parse(odd).text).toBe(
      '{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"a b","x":[1e400,-0,12345678901234567890]}}',
    )
  })

  it('keeps what ends a line to some readers as an escape', () => {
    const { text, params } = parse('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\u2028\u0085\u2029"}}')
    expect(text).toContain('"\\u2028\\u0085\\u2029"')
    expect(JSON.parse(text).params).toEqual(params)
  })

  it.each([
    ['a repeated name', '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}'],
    ['a repeated name that is escaped once', '{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/call"}'],
    ['a repeated name deep inside', '{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[{"b":1,"b":2}]}}'],
    ['another case beside', '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}'],
    ['another case alone', '{"jsonrpc":"2.0","ID":1,"method":"ping"}'],
    ['another case in the params', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}'],
    ['a long s, which Go takes for an s', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"argumentſ":{}}}'],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]'],
    ['a missing id', '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}'],
    ['a null id', '{"jsonrpc":"2.0","id":null,"method":"ping"}'],
    ['a broken id', '{"jsonrpc":"2.0","id":1.5,"method":"ping"}'],
    ['a method beside a result', '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}'],
    ['neither', '{"jsonrpc":"2.0","id":1}'],
    ['another version', '{"jsonrpc":"1.0","id":1,"method":"ping"}'],
    ['params that are a list', '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}'],
    ['65 levels', `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":${'['.repeat(63)}${']'.repeat(63)}}}`],
    ['a million levels', `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`],
    ['a number', '1'],
    ['4 MiB and a byte', `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"${'x'.repeat(MAX_FRAME_BYTES)}"}}`],
  ])('is refused with -32600 for %s', (_what, text) => {
    expect(codeOf(text)).toBe(-32600)
  })

  it.each([
    ['nothing', ''],
    ['half of one', '{"jsonrpc":"2.0","id":1,'],
    ['two of them', '{"jsonrpc":"2.0","id":1,"method":"ping"}{}'],
    ['a byte order mark', '\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}'],
    ['a control character in a string', '{"jsonrpc":"2.0","id":1,"method":"pi\u0001ng"}'],
  ])('is refused with -32700 for %s', (_what, text) => {
    expect(codeOf(text)).toBe(-32700)
  })

  it('is refused with -32700 when it is not UTF-8', () => {
    expect(
      codeOf(
        Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"'), Buffer.from([0xff]), Buffer.from('"}')]),
      ),
    ).toBe(-32700)
  })

  it('is taken with 64 levels, a string id, an answer or a notification', () => {
    expect(
      codeOf(`{"jsonrpc":"2.0","id":"a","method":"m","params":{"a":${'['.repeat(62)}${']'.repeat(62)}}}`),
    ).toBeUndefined()
    expect(parse('{"jsonrpc":"2.0","id":1,"result":{}}').kind).toBe('response')
    expect(parse('{"jsonrpc":"2.0","method":"notifications/cancelled"}').kind).toBe('notification')
  })

  it('says when two members differ in case alone, where that is no part of the protocol', () => {
    expect(parse('{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"n":1,"N":2}}}').hasTwins).toBe(true)
    expect(parse('{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"n":1,"m":2}}}').hasTwins).toBe(false)
  })

  it('means the same before and after, whatever stands in it', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.constantFrom('', ' ', '\n\t', '\r'), (json, space) => {
        const text = `{${space}"jsonrpc":"2.0",${space}"id":1${space},"method":"m","params":{"a":${space}${json}}${space}}`
        const frame = parse(text)
        expect(JSON.parse(frame.text)).toEqual(JSON.parse(text))
        expect(frame.params).toEqual({ a: JSON.parse(json) })
      }),
      { numRuns: 200 },
    )
  })
})
