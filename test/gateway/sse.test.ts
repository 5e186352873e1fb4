import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventReader, formatEvent } from '../../src/gateway/sse.js'
import type { ServerEvent } from '../../src/gateway/upstream.js'

function readAll(text: string, cuts: readonly number[] = []): readonly ServerEvent[] {
  const bytes = Buffer.from(text)
  const reader = new EventReader(1000)
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).flatMap((end, index) => [...reader.push(bytes.subarray(places[index], end))])
}

const event = fc.record({
  data: fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\r', ' ').replaceAll('\0', '')),
  id: fc.option(
    fc.string().map((text) => text.replace(/[\r\n\0]/g, '')),
    { nil: undefined },
  ),
  event: fc.constantFrom(undefined, 'message'),
  retry: fc.constantFrom(undefined, '100'),
})

describe('a stream of events', () => {
  it('is read the same wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(event), fc.array(fc.nat()), (events, cuts) => {
        const text = events.map(formatEvent).join('')
        const expected = events.map((one) => ({ ...one, data: one.data.toWellFormed() }))
        expect(readAll(text, cuts)).toEqual(expected)
      }),
    )
  })

  it('ends lines as it likes, with comments and unknown fields between', () => {
    expect(readAll(': hi\r\ndata: a\rdata:b\nx: y\r\n\r\ndata: c\n\n')).toEqual([
      { data: 'a\nb', id: undefined, event: undefined, retry: undefined },
      { data: 'c', id: undefined, event: undefined, retry: undefined },
    ])
  })

  it('loses what its end cuts off, and is refused when an event is too long', () => {
    expect(readAll('data: whole\n\ndata: half\n')).toHaveLength(1)
    expect(() => readAll(`data: ${'x'.repeat(2000)}`)).toThrow(RangeError)
  })
})
