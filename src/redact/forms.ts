/**
 * The forms in which a value is looked for before text leaves mcpvault, and their removal.
 *
 * Redaction is promised for these forms and no others: the value itself, and the value as JSON, percent, hex, base64
 * and base64url encoders write it. A program that means to leak can always find another encoding.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import type { Secret } from '../secret.js'

/** What stands where a value stood. */
export const REDACTED = '[redacted]'

/**
 * Below this many bytes only the value itself is looked for: its encodings are so short that they turn up in innocent
 * text, and text in which every `YQ` is gone is of no use to anybody.
 */
export const SHORTEST_ENCODED_BYTES = 8

/** What percent encoders leave as it is. */
const PERCENT_KEPT = [
  // Nothing.
  /[^\s\S]/,
  // The unreserved characters of RFC 3986 section 2.3; with the slash, as Python's quote() leaves it.
  /[A-Za-z0-9\-._~]/,
  /[A-Za-z0-9\-._~/]/,
  // encodeURIComponent and encodeURI (ECMA-262 section 19.2.6).
  /[A-Za-z0-9\-._~!'()*]/,
  /[A-Za-z0-9\-._~!'()*;/?:@&=+$,#]/,
  // application/x-www-form-urlencoded (URL Standard section 5.2).
  /[A-Za-z0-9*\-._]/,
]

/** What all but the first keep. */
const PERCENT_PLAIN = /^[A-Za-z0-9\-._]*$/

/** What JSON encoders write as `\uXXXX` beyond what they must: nothing; Go and Ruby; PHP; .NET. */
const JSON_ESCAPED = ['', '<>&', "<>&'", '<>&\'"+`']
/** What none of them writes in another way; most keys are made of that. */
const JSON_PLAIN = /^[A-Za-z0-9 !#$%()*,\-./:;=?@[\]^_{|}~]*$/
/** How JSON encoders write a slash. */
const JSON_SLASHES = ['/', '\\/', '\\u002f', '\\u002F']

/**
 * Lists the forms of a value, longest first, each once. The forms are as secret as the value.
 *
 * Base64 is listed for each of the three places that the value can have in a longer run of bytes, less the characters
 * that it would share with its neighbours: up to four bits at either end of a value may stay readable.
 */
export function redactionForms(value: Buffer): readonly Buffer[] {
  if (value.length === 0) return []
  const forms = new Set([value.toString('latin1')])
  if (value.length >= SHORTEST_ENCODED_BYTES) {
    for (const form of new Set(encodedForms(value))) forms.add(Buffer.from(form, 'utf8').toString('latin1'))
  }
  return [...forms].map((form) => Buffer.from(form, 'latin1')).sort((a, b) => b.length - a.length)
}

function* encodedForms(value: Buffer): Generator<string> {
  if (isUtf8(value)) yield* jsonForms(value.toString('utf8'))
  yield* percentForms(value)
  const hex = value.toString('hex')
  yield* [hex, hex.toUpperCase()]
  yield* base64Forms(value)
}

function* jsonForms(text: string): Generator<string> {
  yield* unicodeForms(text)
  if (JSON_PLAIN.test(text)) return yield* slashForms(text)
  for (const upper of [false, true]) {
    for (const escaped of JSON_ESCAPED) {
      for (const asciiOnly of [false, true]) yield* slashForms(jsonEscape(text, { escaped, asciiOnly, upper }))
    }
  }
}

/** Every character in its escape. */
function* unicodeForms(text: string): Generator<string> {
  const digits = Buffer.from(text, 'utf16le').swap16().toString('hex')
  for (const spelled of [digits, digits.toUpperCase()]) yield spelled.replace(/.{4}/g, '\\u$&')
}

function* slashForms(json: string): Generator<string> {
  if (!json.includes('/')) yield json
  else for (const slash of JSON_SLASHES) yield json.replaceAll('/', slash)
}

interface JsonStyle {
  readonly escaped: string
  readonly asciiOnly: boolean
  readonly upper: boolean
}

function jsonEscape(text: string, style: JsonStyle): string {
  return text.replace(/[^A-Za-z0-9/]/g, (unit) => {
    const code = unit.charCodeAt(0)
    if (style.escaped.includes(unit) || (style.asciiOnly && code > 0x7e)) return unicodeEscape(code, style.upper)
    // JSON.stringify escapes the halves of a surrogate pair when it sees them apart.
    if (code > 0x7e) return unit
    const json = JSON.stringify(unit).slice(1, -1)
    return json.startsWith('\\u') ? unicodeEscape(code, style.upper) : json
  })
}

function unicodeEscape(code: number, upper: boolean): string {
  const digits = code.toString(16).padStart(4, '0')
  return `\\u${upper ? digits.toUpperCase() : digits}`
}

function* percentForms(value: Buffer): Generator<string> {
  percentTables ??= PERCENT_KEPT.flatMap((kept) => [percentTable(kept, false), percentTable(kept, true)])
  const isPlain = PERCENT_PLAIN.test(value.toString('latin1'))
  // Of a plain value the tables but the first two, which keep nothing, make the value itself.
  for (const table of isPlain ? percentTables.slice(0, 2) : percentTables) {
    let form = ''
    for (const byte of value) form += table[byte]
    yield form
    // Forms write a space as a plus sign.
    if (form.includes('%20')) yield form.replaceAll('%20', '+')
  }
}

/** How each byte is written; made at the first use, since a gateway encodes a value at nearly every call. */
let percentTables: readonly (readonly string[])[] | undefined

function percentTable(kept: RegExp, upper: boolean): readonly string[] {
  return Array.from({ length: 256 }, (_, byte) => {
    const character = String.fromCharCode(byte)
    if (kept.test(character)) return character
    const digits = byte.toString(16).padStart(2, '0')
    return `%${upper ? digits.toUpperCase() : digits}`
  })
}

function* base64Forms(value: Buffer): Generator<string> {
  for (const encoding of ['base64', 'base64url'] as const) {
    for (const before of [0, 1, 2]) {
      const encoded = Buffer.concat([Buffer.alloc(before), value]).toString(encoding)
      const start = Math.ceil((before * 8) / 6)
      const end = Math.floor(((before + value.length) * 8) / 6)
      // At the end of a text the last character and the padding are the value's own, otherwise they are shared.
      yield* [encoded.slice(start), encoded.slice(start).replace(/=+$/, ''), encoded.slice(start, end)]
    }
  }
}

/**
 * Makes a function that replaces every form of the secrets in a text by `[redacted]`, and gives a text without any back
 * as it is. It keeps the forms for as long as it lives: drop it with the secrets.
 */
export function createRedactor(secrets: readonly Secret[]): (text: string) => string {
  const forms = secrets
    .flatMap((secret) => redactionForms(secret.reveal()))
    .filter((form) => isUtf8(form))
    .map((form) => form.toString('utf8'))
  return (text) => replaceSpans(text, findSpans(text, forms))
}

/** Replaces every form of the secrets in a text by `[redacted]`. */
export function redactText(text: string, secrets: readonly Secret[]): string {
  return createRedactor(secrets)(text)
}

type Span = readonly [start: number, end: number]

/** Finds every occurrence, overlapping ones too: of two that overlap, neither may leave a tail behind. */
function findSpans(text: string, forms: readonly string[]): Span[] {
  const spans: Span[] = []
  for (const form of forms) {
    for (let at = text.indexOf(form); at !== -1; at = text.indexOf(form, at + 1)) spans.push([at, at + form.length])
  }
  return spans.sort((a, b) => a[0] - b[0])
}

function replaceSpans(text: string, spans: readonly Span[]): string {
  let result = ''
  let done = 0
  for (const [start, end] of spans) {
    // A span that begins inside the one before, or right at its end, is covered by the same mark.
    if (done === 0 || start > done) result += text.slice(done, start) + REDACTED
    done = Math.max(done, end)
  }
  return result + text.slice(done)
}
