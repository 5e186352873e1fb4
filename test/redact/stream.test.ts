import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Hit, SecretFinder, SecretForms } from '../../src/redact/find.js'
import { createRedactor, REDACTED, redactionForms } from '../../src/redact/forms.js'
import { LineCounter } from '../../src/redact/lines.js'
import { redactBytes, StreamRedactor } from '../../src/redact/stream.js'
import { Secret } from '../../src/secret.js'

const secretsOf = (...texts: readonly string[]): readonly Secret[] => texts.map((text) => Secret.fromText(text))
const formsOf = (...texts: readonly string[]): SecretForms => new SecretForms(secretsOf(...texts))

/** Cuts bytes at the given places, which may lie anywhere, even outside. */
function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const inside = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...inside, bytes.length].map((end, index) => bytes.subarray(inside[index - 1] ?? 0, end))
}

function redactPieces(pieces: readonly Buffer[], forms: SecretForms): { text: string; found: ReadonlySet<number> } {
  const redactor = new StreamRedactor(forms)
  const parts = pieces.map((piece) => {
    const part = Buffer.from(redactor.write(piece))
    expect(redactor.heldBytes).toBeLessThanOrEqual(Math.max(0, forms.longest - 1))
    return part
  })
  const text = Buffer.concat([...parts, redactor.end()]).toString('latin1')
  expect(redactor.heldBytes).toBe(0)
  return { text, found: redactor.found }
}

/** Every occurrence of every form, found the slow way. */
function findSlowly(bytes: Buffer, secrets: readonly Secret[]): readonly Hit[] {
  const hits = secrets.flatMap((value, secret) =>
    redactionForms(value.reveal()).flatMap((form) => {
      const found: Hit[] = []
      for (let at = bytes.indexOf(form); at !== -1; at = bytes.indexOf(form, at + 1))
        found.push({ secret, start: at, end: at + form.length })
      return found
    }),
  )
  hits.sort((a, b) => a.start - b.start || b.end - a.end)
  const ends = new Map<number, number>()
  return hits.filter(({ secret, end }) => {
    if (end <= (ends.get(secret) ?? 0)) return false
    ends.set(secret, end)
    return true
  })
}

function replaceSlowly(bytes: Buffer, hits: readonly Hit[]): string {
  let [text, done] = ['', -1]
  for (const { start, end } of hits) {
    if (start > done) text += bytes.toString('latin1', Math.max(done, 0), start) + REDACTED
    done = Math.max(done, end)
  }
  return text + bytes.toString('latin1', Math.max(done, 0))
}

/** Few letters, so that forms overlap, repeat and begin within each other; long ones are encoded as well. */
const secretTexts = fc.array(
  fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 12 }),
    fc.string({ unit: fc.constantFrom('a', '"', '/', 'é', '%', '+'), minLength: 8, maxLength: 14 }),
  ),
  { minLength: 1, maxLength: 4 },
)

/** Secrets, and a stream of whole forms, beginnings of forms and other bytes. */
const streams = secretTexts.chain((texts) => {
  const forms = texts.flatMap((text) => redactionForms(Buffer.from(text)))
  const piece = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...forms) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.constantFrom(...forms), fc.nat(), fc.nat())
        .map(([form, from, to]) => form.subarray(from % form.length, 1 + (to % form.length))),
    },
    { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom('a', 'b', '\\', '%', ' ') }).map((s) => Buffer.from(s)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)) },
  )
  return fc.record({
    texts: fc.constant(texts),
    bytes: fc.array(piece, { maxLength: 12 }).map((pieces) => Buffer.concat(pieces)),
    places: fc.array(fc.nat(), { maxLength: 20 }),
  })
})

describe('redacting a stream', () => {
  it('gives what redacting the whole at once gives, wherever it is cut', () => {
    fc.assert(
      fc.property(streams, ({ texts, bytes, places }) => {
        const secrets = secretsOf(...texts)
        const slow = findSlowly(bytes, secrets)
        const { text, found } = redactPieces(cut(bytes, places), new SecretForms(secrets))
        expect(text).toBe(replaceSlowly(bytes, slow))
        expect([...found].sort()).toEqual([...new Set(slow.map(({ secret }) => secret))].sort())
      }),
      { numRuns: 120 },
    )
  })

  it('gives what redacting a text gives', () => {
    fc.assert(
      fc.property(streams, ({ texts, bytes, places }) => {
        const secrets = secretsOf(...texts)
        const text = bytes.toString('utf8')
        const pieces = cut(Buffer.from(text), places)
        const redacted = Buffer.from(redactPieces(pieces, new SecretForms(secrets)).text, 'latin1').toString('utf8')
        // A text is only searched for forms that are text, and a value within a mark would be found in the mark.
        if (!texts.some((one) => REDACTED.includes(one))) expect(redacted).toBe(createRedactor(secrets)(text))
      }),
      { numRuns: 80 },
    )
  })

  it('finds a secret byte by byte', () => {
    const bytes = Buffer.from('key=hunter2-hunter2; and more')
    const pieces = Array.from(bytes, (byte) => Buffer.of(byte))
    expect(redactPieces(pieces, formsOf('hunter2-hunter2')).text).toBe(`key=${REDACTED}; and more`)
  })

  it('passes at once what cannot be the beginning of a form', () => {
    const redactor = new StreamRedactor(formsOf('hunter2-hunter2'))
    expect(redactor.write(Buffer.from('Password: ')).toString()).toBe('Password: ')
    expect(redactor.write(Buffer.from('is it hun')).toString()).toBe('is it ')
    expect(redactor.heldBytes).toBe(3)
    expect(redactor.write(Buffer.from('gry? ')).toString()).toBe('hungry? ')
    expect(redactor.end().toString()).toBe('')
  })

  it('gives the same memory on when there is nothing to do', () => {
    const chunk = Buffer.from('nothing of interest. ')
    expect(new StreamRedactor(formsOf('hunter2-hunter2')).write(chunk)).toBe(chunk)
  })

  it('gives the beginning of a form on when the stream ends', () => {
    const redactor = new StreamRedactor(formsOf('hunter2-hunter2'))
    expect(redactor.write(Buffer.from('hunter2-hun')).toString()).toBe('')
    expect(redactor.end().toString()).toBe('hunter2-hun')
    expect(redactor.found.size).toBe(0)
  })

  it('tells which secrets were found', () => {
    const forms = formsOf('first-secret', 'second-secret', 'third-secret')
    const { bytes, found } = redactBytes(
      Buffer.from(`a ${Buffer.from('third-secret').toString('hex')} first-secret`),
      forms,
    )
    expect(bytes.toString()).toBe(`a ${REDACTED} ${REDACTED}`)
    expect([...found].sort()).toEqual([0, 2])
  })

  it('finds values that are no text, and values of a single byte', () => {
    const odd = [new Secret(Buffer.from([0xff, 0x00, 0x80, 0xfe, 1, 2, 3, 4, 5])), new Secret(Buffer.from('x'))]
    const stream = Buffer.concat([Buffer.from('a'), odd[0]?.reveal() ?? Buffer.alloc(0), Buffer.from('bxc')])
    expect(redactPieces(cut(stream, [3, 5]), new SecretForms(odd)).text).toBe(`a${REDACTED}b${REDACTED}c`)
  })

  it('has nothing to look for in an empty value or an empty list', () => {
    expect(redactPieces([Buffer.from('text')], formsOf('')).text).toBe('text')
    expect(redactPieces([Buffer.from('text')], formsOf()).text).toBe('text')
  })

  it('holds a long beginning over thousands of chunks and gives it on when it comes to nothing', () => {
    const value = Array.from({ length: 700 }, (_, index) => `word${index} `).join('')
    const almost = Buffer.from(`${value.slice(0, -1)}-and on`)
    expect(
      redactPieces(
        Array.from(almost, (byte) => Buffer.of(byte)),
        formsOf(value),
      ).text,
    ).toBe(almost.toString())
  })
})

describe('finding secrets', () => {
  it('gives offsets from the beginning of the stream, wherever it is cut', () => {
    fc.assert(
      fc.property(streams, ({ texts, bytes, places }) => {
        const secrets = secretsOf(...texts)
        const finder = new SecretFinder(new SecretForms(secrets))
        const hits: Hit[] = []
        for (const piece of cut(bytes, places)) {
          hits.push(...finder.feed(piece))
          for (const { start } of hits) expect(start).toBeLessThan(finder.settledTo)
        }
        hits.push(...finder.end())
        expect(hits).toEqual(findSlowly(bytes, secrets))
      }),
      { numRuns: 80 },
    )
  })

  it('finds nothing after its forms were wiped', () => {
    const forms = formsOf('hunter2-hunter2')
    forms.wipe()
    expect(redactBytes(Buffer.from('hunter2-hunter2'), forms).found.size).toBe(0)
  })
})

describe('counting lines', () => {
  it('tells line and column of every offset within its window, wherever the stream is cut', () => {
    const texts = fc
      .array(fc.constantFrom('a', '\n', 'bc', '\r\n', 'é'), { maxLength: 40 })
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(texts, fc.array(fc.nat(), { maxLength: 10 }), fc.nat({ max: 20 }), (text, places, window) => {
        const bytes = Buffer.from(text)
        const counter = new LineCounter(window)
        let fed = 0
        for (const piece of cut(bytes, places)) {
          counter.add(piece)
          for (let at = Math.max(0, fed - window); at < fed + piece.length; at += 1) {
            const lines = bytes.toString('latin1', 0, at).split('\n')
            expect(counter.placeOf(at)).toEqual({ line: lines.length, column: (lines.at(-1) ?? '').length + 1 })
          }
          fed += piece.length
        }
      }),
    )
  })
})
