/**
 * Templates that credentials are filled into.
 *
 * `{{ vault "NAME" }}` stands for a credential's value, `{{ vault "NAME" "previous" }}` for a kept version of it (a
 * number, or the one before), and `{{ "text" }}` for the text itself, so that `{{ "{{" }}` writes two braces. Within the
 * quotes `\"` and `\\` stand for a quote and a backslash. Everything else is copied byte for byte; any other `{{` is an
 * error, since what is not understood must not reach a configuration that somebody runs.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import { VaultError } from '../errors.js'

/** A piece of a template: bytes that are copied, or a credential whose value is to be put in. */
export type TemplatePart = { readonly bytes: Buffer } | TemplateReference

/** A credential that a template asks for. */
export interface TemplateReference {
  readonly name: string
  /** The current version when it is undefined. */
  readonly version: number | 'previous' | undefined
  /** Where it begins, in bytes. */
  readonly offset: number
}

const OPEN = Buffer.from('{{')
const CLOSE = '}}'
/** More than any name and version take, escaped as a whole. */
const MOST_TAG_BYTES = 2048
const WORD = String.raw`"((?:[^"\\\r\n]|\\["\\])*)"`
const REFERENCE = new RegExp(String.raw`^\{\{\s*vault\s+${WORD}(?:\s+${WORD})?\s*\}\}`)
const LITERAL = new RegExp(String.raw`^\{\{\s*${WORD}\s*\}\}`)

/**
 * Cuts a template into its parts.
 *
 * @throws {VaultError} INPUT with line and column if there is a `{{` that is not understood
 */
export function parseTemplate(template: Buffer): readonly TemplatePart[] {
  const parts: TemplatePart[] = []
  let done = 0
  for (let at = template.indexOf(OPEN); at !== -1; at = template.indexOf(OPEN, done)) {
    if (at > done) parts.push({ bytes: template.subarray(done, at) })
    const { part, length } = parseTag(template, at)
    parts.push(part)
    done = at + length
  }
  if (done < template.length) parts.push({ bytes: template.subarray(done) })
  return parts
}

/** Tells a reference from bytes that are copied. */
export function isReference(part: TemplatePart): part is TemplateReference {
  return 'name' in part
}

function parseTag(template: Buffer, at: number): { readonly part: TemplatePart; readonly length: number } {
  // In Latin-1 each character is a byte, so that positions and lengths are those of the template.
  const text = template.toString('latin1', at, at + MOST_TAG_BYTES)
  const literal = LITERAL.exec(text)
  if (literal) return { part: { bytes: Buffer.from(unquote(literal[1] ?? ''), 'latin1') }, length: literal[0].length }
  const reference = REFERENCE.exec(text)
  if (!reference) throw notUnderstood(template, { at, text })
  const [whole, quoted = '', version] = reference
  const bytes = Buffer.from(unquote(quoted), 'latin1')
  if (bytes.length === 0 || !isUtf8(bytes)) throw cannotFill(template, at, 'it names no credential')
  if (version !== undefined && version !== 'previous' && !/^[1-9]\d{0,8}$/.test(version)) {
    throw cannotFill(template, at, 'a version is a number or "previous"')
  }
  const chosen = version === undefined || version === 'previous' ? version : Number(version)
  return { part: { name: bytes.toString('utf8'), version: chosen, offset: at }, length: whole.length }
}

function unquote(text: string): string {
  return text.replace(/\\(["\\])/g, '$1')
}

/** Tells a place in a template for people: `line 3, column 7`, both from 1, the column in characters. */
export function describePlace(template: Buffer, at: number): string {
  const before = template.subarray(0, at)
  let line = 1
  for (let from = before.indexOf(0x0a); from !== -1; from = before.indexOf(0x0a, from + 1)) line += 1
  const start = before.lastIndexOf(0x0a) + 1
  return `line ${line}, column ${[...before.toString('utf8', start)].length + 1}`
}

function notUnderstood(template: Buffer, { at, text }: { readonly at: number; readonly text: string }): VaultError {
  const reason = text.includes(CLOSE) ? 'this "{{" is not understood' : 'this "{{" has no "}}"'
  return cannotFill(template, at, reason)
}

function cannotFill(template: Buffer, at: number, reason: string): VaultError {
  return new VaultError('INPUT', `cannot fill the template: ${describePlace(template, at)}: ${reason}`, {
    hints: [
      'a credential is {{ vault "NAME" }} or {{ vault "NAME" "previous" }}',
      'two braces that are meant as such are {{ "{{" }}',
    ],
  })
}
