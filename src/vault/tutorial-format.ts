/**
 * The tutorials' file format: one JSON object, name → encoded value.
 *
 * The text is edited in place, one member at a time, so that order, indentation and every other byte stay as the other
 * program wrote them and a diff shows one line.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import { isFernetToken } from '../crypto/fernet.js'
import { isGcmHex } from '../crypto/gcm-hex.js'
import { VaultError } from '../errors.js'
import type { TutorialCodec } from './vault.js'

/** Some editors put it in front of a text; it is passed over and kept. */
const BYTE_ORDER_MARK = '\uFEFF'

/** Where one member of the object stands in the text, in UTF-16 units. */
export interface TutorialMember {
  readonly name: string
  readonly keyStart: number
  readonly keyEnd: number
  readonly valueStart: number
  readonly valueEnd: number
  /** The value when it is a string; undefined for anything else, which is damage to this member alone. */
  readonly text: string | undefined
}

/** A tutorial file taken apart. */
export interface TutorialFile {
  readonly text: string
  readonly members: ReadonlyMap<string, TutorialMember>
}

/**
 * Takes a tutorial file apart.
 *
 * @throws {VaultError} DAMAGED if it is not one JSON object in UTF-8, or names a member twice (programs would disagree
 * about which one counts).
 */
export function parseTutorial(bytes: Buffer): TutorialFile {
  const text = isUtf8(bytes) ? bytes.toString('utf8') : ''
  if (!isJsonObject(text)) throw notAVault()
  const members = new Map<string, TutorialMember>()
  for (const member of scanMembers(text)) {
    if (members.has(member.name)) {
      throw new VaultError('DAMAGED', `the vault is damaged: "${member.name}" stands in it twice`, {
        hints: ['programs disagree about which of the two counts; keep one of them with an editor'],
      })
    }
    members.set(member.name, member)
  }
  return { text, members }
}

function notAVault(): VaultError {
  return new VaultError(
    'DAMAGED',
    'cannot open the file: it is neither a vault of mcpvault nor a JSON object of names',
    {
      hints: ['nothing was changed; if it was a vault, look for a copy beside it with .bak'],
    },
  )
}

/** Tells whether a text is one JSON object, with or without a byte order mark before it. */
export function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

/** Walks the members of a text that is known to be a JSON object, repeated ones too. */
export function* scanMembers(text: string): Generator<TutorialMember> {
  let at = skipSpace(text, text.indexOf('{') + 1)
  while (text[at] !== '}') {
    const keyStart = at
    const keyEnd = skipValue(text, keyStart)
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const valueEnd = skipValue(text, valueStart)
    const value: unknown = JSON.parse(text.slice(valueStart, valueEnd))
    const name: unknown = JSON.parse(text.slice(keyStart, keyEnd))
    yield {
      name: String(name),
      keyStart,
      keyEnd,
      valueStart,
      valueEnd,
      text: typeof value === 'string' ? value : undefined,
    }
    at = skipSpace(text, valueEnd)
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
}

function skipSpace(text: string, at: number): number {
  while (/[ \t\r\n]/.test(text[at] ?? '')) at += 1
  return at
}

/** Gives the end of the JSON value that starts at a position: nesting is counted, strings are stepped over. */
function skipValue(text: string, start: number): number {
  let depth = 0
  let at = start
  do {
    const char = text[at]
    if (char === '"') at = skipString(text, at)
    else {
      if (char === '{' || char === '[') depth += 1
      if (char === '}' || char === ']') depth -= 1
      at += 1
    }
    // A number or a literal goes on until something that cannot belong to it.
  } while (depth > 0 || (text[start] !== '"' && /[\w.+-]/.test(text[at] ?? '') && /[\w.+-]/.test(text[at - 1] ?? '')))
  return at
}

function skipString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/** Replaces the value of a member. */
export function replaceValue(file: TutorialFile, member: TutorialMember, value: string): string {
  return file.text.slice(0, member.valueStart) + JSON.stringify(value) + file.text.slice(member.valueEnd)
}

/** Gives a member another name in its place. */
export function renameMember(file: TutorialFile, member: TutorialMember, name: string): string {
  return file.text.slice(0, member.keyStart) + JSON.stringify(name) + file.text.slice(member.keyEnd)
}

/** Replaces the values of many members and adds the others at the end, in one pass. */
export function setMembers(file: TutorialFile, values: ReadonlyMap<string, string>): string {
  let text = ''
  let at = 0
  for (const { name, valueStart, valueEnd } of file.members.values()) {
    const value = values.get(name)
    if (value === undefined) continue
    text += file.text.slice(at, valueStart) + JSON.stringify(value)
    at = valueEnd
  }
  const replaced = parseTutorial(Buffer.from(text + file.text.slice(at)))
  const added = [...values].filter(([name]) => !file.members.has(name))
  return added.length === 0 ? replaced.text : appendMembers(replaced, added)
}

/** Adds a member at the end, spaced as the last one is. */
export function appendMember(file: TutorialFile, name: string, value: string): string {
  return appendMembers(file, [[name, value]])
}

function appendMembers(file: TutorialFile, added: readonly (readonly [name: string, value: string])[]): string {
  const members = [...file.members.values()]
  const last = members.at(-1)
  const pairs = (colon: string): readonly string[] =>
    added.map(([name, value]) => JSON.stringify(name) + colon + JSON.stringify(value))
  if (last === undefined) {
    const open = file.text.indexOf('{')
    const close = file.text.lastIndexOf('}')
    return `${file.text.slice(0, open + 1)}\n  ${pairs(': ').join(',\n  ')}\n${file.text.slice(close)}`
  }
  const before = members.at(-2)
  const gapStart = before === undefined ? file.text.indexOf('{') + 1 : file.text.indexOf(',', before.valueEnd) + 1
  const gap = file.text.slice(gapStart, last.keyStart)
  const colon = file.text.slice(last.keyEnd, last.valueStart)
  const text = pairs(colon).map((pair) => `,${gap}${pair}`)
  return `${file.text.slice(0, last.valueEnd)}${text.join('')}${file.text.slice(last.valueEnd)}`
}

/** Takes a member out, with the comma that joined it to its neighbour. */
export function removeMember(file: TutorialFile, member: TutorialMember): string {
  const members = [...file.members.values()]
  const index = members.indexOf(member)
  const next = members[index + 1]
  const before = members[index - 1]
  if (next !== undefined) return file.text.slice(0, member.keyStart) + file.text.slice(next.keyStart)
  if (before !== undefined) return file.text.slice(0, before.valueEnd) + file.text.slice(member.valueEnd)
  return `${file.text.slice(0, file.text.indexOf('{') + 1)}${file.text.slice(file.text.lastIndexOf('}'))}`
}

/** Recognises the codec of a value by its pattern, never by trying to decrypt; undefined for damage. */
export function codecOf(text: string | undefined): TutorialCodec | undefined {
  if (text === undefined) return undefined
  if (isGcmHex(text)) return 'aes-256-gcm'
  return isFernetToken(text) ? 'fernet' : undefined
}
