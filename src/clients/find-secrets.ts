import { isNoSecret, isPath, isSecretName, knownShape, looksRandom } from './known-shapes.js'
import type { ServerEntry, ServerField } from './server-entry.js'

/** A secret in plain text. */
export interface SecretFinding {
  readonly field: ServerField
  /** Where it stands in the field's text, in UTF-16 units. */
  readonly start: number
  readonly end: number
  readonly value: string
  /** Why it is taken for one, as half a sentence: `its name says so`. */
  readonly why: string
  /** What it is called where it stands: a variable, header, flag or parameter; undefined when it has no name. */
  readonly name: string | undefined
}

type Piece = Pick<SecretFinding, 'start' | 'end' | 'why' | 'name'>

const BY_NAME = 'its name says so'
const BY_CHANCE = 'it looks random'

/** Finds the secrets of a server: by their name, by the shapes of known keys, by how random they look. */
export function findSecrets({ fields }: ServerEntry): readonly SecretFinding[] {
  return fields.flatMap((field, index) => {
    return findPieces(field, fields[index - 1]).map((piece) => ({
      field,
      ...piece,
      value: field.text.slice(piece.start, piece.end),
    }))
  })
}

/** Finds the secrets among named values that stand for themselves, such as those of a .env file. */
export function judgeNamed(name: string, text: string): string | undefined {
  if (isNoSecret(text)) return undefined
  const shape = knownShape(text)
  if (shape !== undefined) return shape
  if (isSecretName(name) && !isPath(text)) return BY_NAME
  if (findInUrl(text, 0).some(({ name: part }) => part === 'password')) return 'it is an address with a password'
  return looksRandom(text) ? BY_CHANCE : undefined
}

function findPieces(field: ServerField, before: ServerField | undefined): readonly Piece[] {
  const { kind, name, text } = field
  if (kind === 'env') {
    const why = judgeNamed(name, text)
    return why === undefined ? [] : [{ start: 0, end: text.length, why, name }]
  }
  if (kind === 'header') return findInHeader(name, text, 0)
  if (kind === 'url') return findInUrl(text, 0)
  return findInArgument(text, before?.kind === 'argument' ? before.text : undefined)
}

/** The scheme of an Authorization header is no part of the secret. */
function findInHeader(name: string, text: string, offset: number): readonly Piece[] {
  const scheme = /^(?:Bearer|Basic|Token|ApiKey|Key|Bot|Api-Key)[ \t]+/i.exec(text)?.[0].length ?? 0
  const value = text.slice(scheme)
  if (isNoSecret(value)) return []
  const isNamed = scheme > 0 || isSecretName(name) || /^(?:x-)?(?:api-?key|auth)/i.test(name)
  const why = knownShape(value) ?? (isNamed ? BY_NAME : looksRandom(value) ? BY_CHANCE : undefined)
  return why === undefined ? [] : [{ start: offset + scheme, end: offset + text.length, why, name }]
}

/** `--flag=VALUE`, `NAME=VALUE`, `Header: VALUE`, an address, a value behind its flag, a bare value. */
function findInArgument(text: string, before: string | undefined): readonly Piece[] {
  const assigned = /^(-{0,2}[A-Za-z_][\w.-]*)=([\s\S]*)$/.exec(text)
  if (assigned !== null) {
    const [, name = '', value = ''] = assigned
    const start = text.length - value.length
    const inside = findInArgument(value, name)
    return inside.map((piece) => ({ ...piece, start: piece.start + start, end: piece.end + start }))
  }
  const header = /^([A-Za-z][\w-]*):[ \t]*(?!\/\/)/.exec(text)
  if (header !== null && (before === undefined || /^-(?:H|-headers?)$/.test(before))) {
    return findInHeader(header[1] ?? '', text.slice(header[0].length), header[0].length)
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return findInUrl(text, 0)
  const flag =
    before !== undefined && /^-{1,2}[A-Za-z]|^[A-Za-z_][\w.-]*$/.test(before) ? before.replace(/^-+/, '') : undefined
  if (text.startsWith('-') || isNoSecret(text)) return []
  const why =
    knownShape(text) ??
    (flag !== undefined && isSecretName(flag) && !isPath(text) ? BY_NAME : looksRandom(text) ? BY_CHANCE : undefined)
  return why === undefined ? [] : [{ start: 0, end: text.length, why, name: flag }]
}

/** A password before the host, parameters by their names, parts of path and fragment by their looks. */
function findInUrl(text: string, offset: number): readonly Piece[] {
  const found: Piece[] = []
  const add = (start: number, end: number, { why, name }: Pick<Piece, 'why' | 'name'>): void => {
    if (end > start && !isNoSecret(text.slice(start, end)))
      found.push({ start: start + offset, end: end + offset, why, name })
  }
  const address = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/is.exec(text)
  if (address === null) return found
  const [, scheme = '', authority = '', path = '', query = '', fragment = ''] = address
  const at = authority.lastIndexOf('@')
  const colon = authority.indexOf(':')
  if (at >= 0 && colon >= 0 && colon < at) {
    add(scheme.length + colon + 1, scheme.length + at, { why: 'it is the password of an address', name: 'password' })
  } else if (at >= 0 && looksSecret(authority.slice(0, at))) {
    add(scheme.length, scheme.length + at, { why: 'it is the user of an address and no name', name: 'token' })
  }
  const pathStart = scheme.length + authority.length
  for (const { start, text: part } of split(path, '/', pathStart)) {
    const why = judgePart(part)
    if (why !== undefined) add(start, start + part.length, { why, name: undefined })
  }
  const queryStart = pathStart + path.length
  for (const { start, text: part } of [
    ...split(query, /[?&;]/, queryStart),
    ...split(fragment, /[#&]/, queryStart + query.length),
  ]) {
    const equals = part.indexOf('=')
    const name = equals < 0 ? undefined : part.slice(0, equals)
    const value = part.slice(equals + 1)
    const why = judgePart(value) ?? (name !== undefined && isSecretName(name) ? BY_NAME : undefined)
    if (why !== undefined) add(start + equals + 1, start + part.length, { why, name })
  }
  return found
}

function looksSecret(text: string): boolean {
  return judgePart(text) !== undefined
}

function judgePart(text: string): string | undefined {
  return knownShape(text) ?? (looksRandom(text) ? BY_CHANCE : undefined)
}

function split(
  text: string,
  by: string | RegExp,
  offset: number,
): readonly { readonly start: number; readonly text: string }[] {
  let at = offset
  return text.split(by).map((part) => {
    const start = at
    at += part.length + 1
    return { start, text: part }
  })
}
