import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRedactor, REDACTED, redactionForms, redactText } from '../../src/redact/forms.js'
import { Secret } from '../../src/secret.js'

/** Encoders of this runtime, and what those of other languages were seen to write for the same value. */
const ENCODERS: Readonly<Record<string, (value: Buffer) => string>> = {
  raw: (value) => value.toString('utf8'),
  JSON: (value) => JSON.stringify(value.toString('utf8')).slice(1, -1),
  'JSON with escaped slashes': (value) => JSON.stringify(value.toString('utf8')).slice(1, -1).replaceAll('/', '\\/'),
  'JSON in escapes alone': (value) => unicode(value.toString('utf8'), /[\s\S]/g),
  'JSON in upper-case escapes alone': (value) =>
    unicode(value.toString('utf8'), /[\s\S]/g)
      .toUpperCase()
      .replaceAll('\\U', '\\u'),
  'JSON in ASCII': (value) => unicode(JSON.stringify(value.toString('utf8')).slice(1, -1), /[^ -~]/g),
  'JSON for HTML': (value) => unicode(JSON.stringify(value.toString('utf8')).slice(1, -1), /[<>&]/g),
  encodeURIComponent: (value) => encodeURIComponent(value.toString('utf8')),
  encodeURI: (value) => encodeURI(value.toString('utf8')),
  'a form': (value) => new URLSearchParams({ k: value.toString('utf8') }).toString().slice(2),
  'percent, lower case': (value) =>
    encodeURIComponent(value.toString('utf8')).replace(/%../g, (hex) => hex.toLowerCase()),
  'percent everywhere': (value) => Array.from(value, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  hex: (value) => value.toString('hex'),
  'upper-case hex': (value) => value.toString('hex').toUpperCase(),
  base64: (value) => value.toString('base64'),
  base64url: (value) => value.toString('base64url'),
}

function unicode(text: string, which: RegExp): string {
  return text.replace(which, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Text that JSON and percent encoders have something to do with, of at least 8 bytes. */
const secretTexts = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }),
      fc.constantFrom('/', '"', '\\', ' ', '&', "'", '+'),
    ),
    {
      minLength: 8,
      maxLength: 30,
    },
  )
  .map((parts) => parts.join(''))
  .filter((text) => text.isWellFormed() && !REDACTED.includes(text))

function piecesHold(redacted: string, form: string): boolean {
  return redacted.split(REDACTED).some((piece) => piece.includes(form))
}

describe.each(Object.entries(ENCODERS))('a value encoded as %s', (_, encode) => {
  test('is gone from whatever text is around it', () => {
    fc.assert(
      fc.property(secretTexts, fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (text, before, after) => {
        const value = Buffer.from(text)
        const form = encode(value)
        const redacted = redactText(`${before}${form}${after}${form}`, [new Secret(value)])
        expect(redacted).toContain(REDACTED)
        for (const other of Object.values(ENCODERS)) expect(piecesHold(redacted, other(value))).toBe(false)
      }),
      { numRuns: 60 },
    )
  })
})

describe('base64', () => {
  test.each(['base64', 'base64url'] as const)(
    '%s of a longer text is redacted wherever the value lies in it',
    (encoding) => {
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 8, maxLength: 60 }),
          fc.uint8Array(),
          fc.uint8Array(),
          (value, before, after) => {
            const encoded = Buffer.concat([before, value, after]).toString(encoding)
            const redacted = redactText(encoded, [new Secret(Buffer.from(value))])
            expect(redacted).toContain(REDACTED)
            // What is left decodes to fewer than three bytes of the value at either end: the neighbours of the shared characters.
            const left = redacted.split(REDACTED)
            expect(left[0]?.length).toBeLessThanOrEqual(Math.ceil((before.length * 8) / 6))
          },
        ),
      )
    },
  )

  test('of a user name and a password, as HTTP sends them, loses the password', () => {
    const header = `Basic ${Buffer.from('user:hunter2-hunter2').toString('base64')}`
    expect(redactText(header, [Secret.fromText('hunter2-hunter2')])).toMatch(/^Basic dXNlcjp\[redacted\]$/)
  })
})

describe('redactText', () => {
  test('gives text without the value back as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(redactText(text, [Secret.fromText('a-value-that-is-nowhere')])).toBe(text)
      }),
    )
  })

  test('replaces two values that overlap, and two that touch, by one mark', () => {
    const redact = createRedactor([Secret.fromText('abcdefgh-1234'), Secret.fromText('1234-ijklmnop')])
    expect(redact('<abcdefgh-1234-ijklmnop>')).toBe('<[redacted]>')
    expect(redact('<abcdefgh-1234abcdefgh-1234>')).toBe('<[redacted]>')
    expect(redact('abcdefgh-1234')).toBe('[redacted]')
  })

  test('replaces a value that overlaps itself to its end', () => {
    expect(redactText('<abababababab>', [Secret.fromText('ababababab')])).toBe('<[redacted]>')
  })

  test('takes a value literally, not as a pattern', () => {
    expect(redactText('aaaaaaaaa $&.*+?()[] b', [Secret.fromText('$&.*+?()[]')])).toBe('aaaaaaaaa [redacted] b')
  })

  test('knows the spellings of PHP and .NET', () => {
    const secret = Secret.fromText('a/b+c"d\'e<f')
    expect(redactText('{"k":"a\\/b+c\\"d\\u0027e\\u003cf"}', [secret])).toBe('{"k":"[redacted]"}')
    expect(redactText('{"k":"a/b\\u002Bc\\u0022d\\u0027e\\u003Cf"}', [secret])).toBe('{"k":"[redacted]"}')
  })

  test('replaces a short value itself but not its encodings', () => {
    const secret = Secret.fromText('abc')
    expect(redactionForms(Buffer.from('abc')).map(String)).toEqual(['abc'])
    expect(redactText('an abc, 616263, YWJj', [secret])).toBe('an [redacted], 616263, YWJj')
  })

  test('has nothing to replace for an empty value', () => {
    expect(redactText('text', [Secret.fromText('')])).toBe('text')
  })
})

describe('redactionForms', () => {
  test('has every form once, longest first', () => {
    const forms = redactionForms(Buffer.from('sk-0123456789/+é'))
    expect(new Set(forms.map(String)).size).toBe(forms.length)
    expect(forms.map((form) => form.length)).toEqual(forms.map((form) => form.length).sort((a, b) => b - a))
  })

  test('has the byte forms of a value that is not text', () => {
    const value = Buffer.from('ff00fe01fd02fc03', 'hex')
    const forms = redactionForms(value)
    expect(forms).toContainEqual(value)
    expect(forms.map(String)).toContain('ff00fe01fd02fc03')
    expect(forms.map(String)).toContain('%FF%00%FE%01%FD%02%FC%03')
    expect(redactText('x %ff%00%fe%01%fd%02%fc%03', [new Secret(value)])).toBe('x [redacted]')
  })
})
