import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shownJson, visible, visibleJson } from '../../src/cli/visible.js'

const HARMFUL = /[\p{Cc}\p{Bidi_Control}\p{Surrogate}\p{Zl}\p{Zp}]/u

describe('visible text', () => {
  it('shows what could act on a terminal as escapes', () => {
    const pairs: Readonly<Record<string, string>> = {
      'a\u001b[31mb': 'a\\x1b[31mb',
      'a\u001b]52;c;aGk=\u0007': 'a\\x1b]52;c;aGk=\\x07',
      'a\nb\tc\r': 'a\\nb\\tc\\r',
      'a\u009b1mb\u007f\u0000': 'a\\x9b1mb\\x7f\\x00',
      'abc\u202etxt.exe\u2066': 'abc\\u202etxt.exe\\u2066',
      'a\u200b\ufeff\u2028b': 'a\\u200b\\ufeff\\u2028b',
      'lone \ud800 half': 'lone \\ud800 half',
    }
    for (const [text, shown] of Object.entries(pairs)) expect(visible(text)).toBe(shown)
  })

  it('leaves printable text of any script alone', () => {
    for (const text of ['scavio_api_key', 'Schlüssel für Berlin', '鍵 🔑', 'مفتاح', 'e\u0301'])
      expect(visible(text)).toBe(text)
  })

  it('never holds a control or bidirectional character, whatever goes in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(visible(text)).not.toMatch(HARMFUL)
      }),
    )
  })

  it('is the same value as JSON', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const json = visibleJson({ text })
        expect(json).not.toMatch(HARMFUL)
        expect(JSON.parse(json)).toEqual({ text })
      }),
    )
  })
})

describe('JSON that somebody else wrote', () => {
  const terminal = { isTerminal: true, columns: 80, write: () => {} }

  it('acts on no terminal and reads as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom(0, 2, '\t'), (value, space) => {
        const text = `${JSON.stringify(value, null, space)}\r\n`
        const shown = shownJson(text, terminal)
        expect(shown.replace(/[\n\r\t]/g, '')).not.toMatch(HARMFUL)
        expect(JSON.parse(shown)).toEqual(JSON.parse(text))
      }),
    )
    expect(shownJson('{"a":"\u009b31m\u202e"}\n', terminal)).toBe('{"a":"\\u009b31m\\u202e"}\n')
  })

  it('goes into a pipe as it is', () => {
    expect(shownJson('{"a":"\u202e"}', { ...terminal, isTerminal: false })).toBe('{"a":"\u202e"}')
  })
})
