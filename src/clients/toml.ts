/** TOML, as Codex keeps its configuration; the only file that imports toml-eslint-parser. */

import { type AST, ParseError, parseTOML } from 'toml-eslint-parser'
import { VaultError } from '../errors.js'
import {
  applyEdits,
  type Change,
  type ConfigPath,
  type ConfigText,
  type ConfigValue,
  checkEdit,
  noPlace,
  positionOf,
  type TextRegion,
  type TextSpan,
  valueAt,
} from './config-text.js'
import { insertItem, removeItem, type TextList } from './text-list.js'
import { formatToml, formatTomlKey, formatTomlString } from './toml-value.js'

const BYTE_ORDER_MARK = '\uFEFF'
const MAX_DEPTH = 200
const COMMENTS = /#[^\r\n]*/g

/** A table as its header begins it, or the part before the first header. */
interface Section {
  readonly path: ConfigPath
  /** Undefined for the part before the first header. */
  readonly header: TextSpan | undefined
  readonly rows: readonly AST.TOMLKeyValue[]
}

/** A value, and the row that it was written by; an element of an array has none. */
interface Place {
  readonly path: ConfigPath
  readonly node: AST.TOMLContentNode
  readonly row: AST.TOMLKeyValue | undefined
  readonly owner: Section | AST.TOMLInlineTable | AST.TOMLArray
}

/**
 * Reads TOML 1.0.
 *
 * @param label The file, for messages.
 * @throws {VaultError} INPUT with line and column if it is broken, a key stands twice or it is nested deeper than
 * 200 levels; never with a piece of the text.
 */
export function parseToml(text: string, label: string): ConfigText {
  const shift = text.startsWith(BYTE_ORDER_MARK) ? 1 : 0
  const program = parse(text, { label, shift })
  const sections: Section[] = []
  const places = new Map<string, Place>()
  const [top] = program.body
  const root = top.body.filter((node) => node.type === 'TOMLKeyValue')
  const tables = top.body.filter((node) => node.type === 'TOMLTable')
  sections.push({ path: [], header: undefined, rows: root })
  for (const table of tables) {
    sections.push({ path: table.resolvedKey, header: spanOf(table.key, shift), rows: table.body })
  }
  const value: Record<string, ConfigValue> = {}
  for (const section of sections) {
    openTable(value, section.path)
    for (const row of section.rows) {
      const path = [...section.path, ...keysOf(row)]
      if (!collectPlaces({ path, node: row.value, row, owner: section }, places)) throw tooDeep(label)
      assign(value, path, toValue(row.value))
    }
  }
  return new TomlText({ text, label, shift, value, sections, places })
}

function parse(text: string, { label, shift }: { readonly label: string; readonly shift: number }): AST.TOMLProgram {
  try {
    return parseTOML(text.slice(shift), { tomlVersion: '1.0' })
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep(label)
    if (!(error instanceof ParseError)) throw error
    const why = /multiple times/.test(error.message) ? 'a key stands twice, again' : 'it is broken TOML'
    throw new VaultError('INPUT', `cannot read "${label}": ${why} at ${positionOf(text, error.index + shift)}`)
  }
}

function tooDeep(label: string): VaultError {
  return new VaultError('INPUT', `cannot read "${label}": it is nested deeper than ${MAX_DEPTH} levels`)
}

function keysOf({ key }: AST.TOMLKeyValue): readonly string[] {
  return key.keys.map((one) => (one.type === 'TOMLBare' ? one.name : one.value))
}

/** False for what is nested too deeply. */
function collectPlaces(place: Place, places: Map<string, Place>): boolean {
  places.set(JSON.stringify(place.path), place)
  const { node, path } = place
  if (path.length > MAX_DEPTH) return false
  if (node.type === 'TOMLArray') {
    return node.elements.every((element, index) =>
      collectPlaces({ path: [...path, index], node: element, row: undefined, owner: node }, places),
    )
  }
  if (node.type !== 'TOMLInlineTable') return true
  return node.body.every((row) =>
    collectPlaces({ path: [...path, ...keysOf(row)], node: row.value, row, owner: node }, places),
  )
}

function toValue(node: AST.TOMLContentNode): ConfigValue {
  if (node.type === 'TOMLArray') return node.elements.map(toValue)
  if (node.type === 'TOMLValue') return node.kind === 'integer' ? node.bigint : node.value
  const members: Record<string, ConfigValue> = {}
  for (const row of node.body) assign(members, keysOf(row), toValue(row.value))
  return members
}

/** Sets own members only: `__proto__` is a key like any other. */
function assign(root: Record<string, ConfigValue>, path: ConfigPath, value: ConfigValue): void {
  const parent = openTable(root, path.slice(0, -1))
  Object.defineProperty(parent, path.at(-1) ?? '', { value, writable: true, enumerable: true, configurable: true })
}

function openTable(root: Record<string, ConfigValue>, path: ConfigPath): object {
  let at: Record<string | number, ConfigValue> = root
  path.forEach((part, index) => {
    if (!Object.hasOwn(at, part)) {
      const value = typeof path[index + 1] === 'number' ? [] : {}
      Object.defineProperty(at, part, { value, writable: true, enumerable: true, configurable: true })
    }
    at = at[part] as unknown as Record<string | number, ConfigValue>
  })
  return at
}

function spanOf({ range: [start, end] }: { readonly range: readonly [number, number] }, shift: number): TextSpan {
  return { start: start + shift, end: end + shift }
}

interface Parts {
  readonly text: string
  readonly label: string
  readonly shift: number
  readonly value: ConfigValue
  readonly sections: readonly Section[]
  readonly places: ReadonlyMap<string, Place>
}

class TomlText implements ConfigText {
  readonly text: string
  readonly value: ConfigValue
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
    this.text = parts.text
    this.value = parts.value
  }

  get(path: ConfigPath): ConfigValue | undefined {
    return valueAt(this.value, path)
  }

  spanOf(path: ConfigPath): TextSpan | undefined {
    const place = this.#find(path)
    return place && this.#spanOf(place.node)
  }

  regionsOf(path: ConfigPath): readonly TextRegion[] {
    const span = this.spanOf(path)
    if (span !== undefined) return [{ key: 'value', ...span }]
    const sections = this.#parts.sections.filter(({ path: own }) => path.every((part, index) => own[index] === part))
    // Rows like `a.b.c = 1` of a table above are scattered, so that no part of the text is the entry's own.
    const isOwn = (place: Place): boolean =>
      !path.every((part, index) => place.path[index] === part) || sections.some((one) => one === place.owner)
    const rows = [...this.#parts.places.values()].filter(({ owner }) => 'rows' in owner)
    if (!rows.every(isOwn)) return []
    return sections.flatMap(({ path: own, header, rows: [...rows] }) => {
      if (header === undefined) return []
      const last = rows.at(-1)
      const end = lineEnd(this.text, last === undefined ? header.end : this.#spanOf(last).end)
      return [{ key: JSON.stringify(own), start: header.start, end }]
    })
  }

  set(path: ConfigPath, value: ConfigValue): ConfigText {
    const change: Change = { kind: 'set', path, value }
    const place = this.#find(path)
    if (place !== undefined) {
      const text = typeof value === 'string' ? formatTomlString(value, styleOf(place.node)) : formatToml(value)
      return this.#checked(applyEdits(this.text, [{ ...this.#spanOf(place.node), text }]), change)
    }
    if (this.get(path) !== undefined) throw noPlace(path, 'a table stands there')
    return this.#checked(this.#add(path, value), change)
  }

  insert(path: ConfigPath, value: ConfigValue): ConfigText {
    const parent = this.#find(path.slice(0, -1))?.node
    const index = path.at(-1)
    if (parent?.type !== 'TOMLArray' || typeof index !== 'number') {
      throw noPlace(path, 'there is no list to put it into')
    }
    return this.#checked(insertItem(this.#listOf(parent), index, formatToml(value)), { kind: 'insert', path, value })
  }

  remove(path: ConfigPath): ConfigText {
    const place = this.#find(path)
    if (place === undefined) throw noPlace(path, 'no single value stands there')
    const { owner } = place
    if ('rows' in owner)
      return this.#checked(this.#removeRow(this.#spanOf(place.row ?? place.node)), { kind: 'remove', path })
    const index = (owner.type === 'TOMLArray' ? owner.elements : owner.body).indexOf((place.row ?? place.node) as never)
    return this.#checked(removeItem(this.#listOf(owner), index), { kind: 'remove', path })
  }

  /** Adds a key: to the inline table or the section that it belongs to, else as a row of the nearest one above. */
  #add(path: ConfigPath, value: ConfigValue): string {
    const inline = this.#find(path.slice(0, -1))?.node
    const name = path.at(-1)
    if (inline?.type === 'TOMLInlineTable' && typeof name === 'string') {
      const list = this.#listOf(inline)
      const row = `${formatTomlKey([name])} = ${formatToml(value)}`
      return insertItem(list, list.items.length, list.items.length === 0 ? ` ${row} ` : row)
    }
    const section = this.#sectionAbove(path)
    const rest = path.slice(section.path.length)
    const parent = rest.slice(0, -1)
    const isOpen =
      parent.length === 0 ||
      section.rows.some((row) =>
        parent.every((part, at) => keysOf(row)[at] === part && keysOf(row).length > parent.length),
      )
    if (isOpen) return this.#addRow(section, rest, value)
    if (this.get(path.slice(0, -1)) !== undefined) throw noPlace(path, 'there is no table to put it into')
    return this.#add(path.slice(0, -1), { [String(name)]: value })
  }

  /** The last section that is the key's parent or lies above it. */
  #sectionAbove(path: ConfigPath): Section {
    const above = this.#parts.sections.filter(
      (section) => section.path.length < path.length && section.path.every((part, index) => part === path[index]),
    )
    return above.reduce((best, section) => (section.path.length >= best.path.length ? section : best))
  }

  #addRow(section: Section, rest: ConfigPath, value: ConfigValue): string {
    const { text } = this
    const eol = text.includes('\r\n') ? '\r\n' : '\n'
    const row = `${formatTomlKey(rest.map(String))} = ${formatToml(value)}`
    const last = section.rows.at(-1)
    const above = last === undefined ? section.header : this.#spanOf(last)
    if (above === undefined) {
      const at = this.#parts.shift
      return applyEdits(text, [{ start: at, end: at, text: `${row}${eol}` }])
    }
    const line = text.slice(text.lastIndexOf('\n', above.start - 1) + 1, above.start)
    const indent = /^[ \t]*/.exec(line)?.[0] ?? ''
    const end = lineEnd(text, above.end)
    return applyEdits(text, [{ start: end, end, text: `${eol}${indent}${row}` }])
  }

  /** A comment behind the row stays. */
  #removeRow({ start, end }: TextSpan): string {
    const { text } = this
    const from = text.lastIndexOf('\n', start - 1) + 1
    const to = lineEnd(text, end)
    const isAlone = text.slice(end, to).trim() === ''
    const feed = /^\r?\n/.exec(text.slice(to))?.[0].length ?? 0
    const begin = from === 0 ? this.#parts.shift : from
    const gone = isAlone
      ? { start: begin, end: to + feed }
      : { start, end: to - text.slice(end, to).trimStart().length }
    return applyEdits(text, [{ ...gone, text: '' }])
  }

  #checked(text: string, change: Change): ConfigText {
    const { value } = change.kind === 'remove' ? { value: null } : change
    const meant = change.kind === 'remove' ? change : { ...change, value: normalise(value) }
    return checkEdit(this, meant, parseToml(text, this.#parts.label))
  }

  #listOf(node: AST.TOMLInlineTable | AST.TOMLArray): TextList {
    const { start, end } = this.#spanOf(node)
    const nodes = node.type === 'TOMLArray' ? node.elements : node.body
    const items = nodes.map((one) => this.#spanOf(one))
    return { text: this.text, open: start + 1, close: end - 1, items, comments: COMMENTS, space: ' ' }
  }

  #find(path: ConfigPath): Place | undefined {
    return this.#parts.places.get(JSON.stringify(path))
  }

  #spanOf(node: { readonly range: readonly [number, number] }): TextSpan {
    return spanOf(node, this.#parts.shift)
  }
}

function styleOf(node: AST.TOMLContentNode): 'basic' | 'literal' {
  return node.type === 'TOMLValue' && node.kind === 'string' ? node.style : 'basic'
}

function lineEnd(text: string, from: number): number {
  const feed = text.indexOf('\n', from)
  if (feed < 0) return text.length
  return text[feed - 1] === '\r' && feed - 1 >= from ? feed - 1 : feed
}

/** Whole numbers are big integers in what is read. */
function normalise(value: ConfigValue): ConfigValue {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  if (Array.isArray(value)) return value.map(normalise)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, normalise(member)]))
}
