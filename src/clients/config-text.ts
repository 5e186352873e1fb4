/**
 * The configuration files of MCP clients: where they lie, which secrets stand in them, and how they are edited in place.
 *
 * A file is read as a {@link ConfigText} by `jsonc.ts` or `toml.ts`, each the one door of its parser. An edit touches the
 * bytes of one value and nothing else: comments, order, indentation, line ends and byte order mark stay. Every edit is read
 * again and compared with what was meant before anybody sees it.
 *
 * @module
 */

import { isDeepStrictEqual } from 'node:util'
import { VaultError } from '../errors.js'

/** The way to a value: names of members and numbers of elements. */
export type ConfigPath = readonly (string | number)[]

/** What a configuration can hold; big integers and dates are TOML's. */
export type ConfigValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | readonly ConfigValue[]
  | { readonly [name: string]: ConfigValue }

/** A part of a text, in UTF-16 units; `end` is the first unit behind it. */
export interface TextSpan {
  readonly start: number
  readonly end: number
}

/** A configuration that was read; immutable, an edit gives another one. */
export interface ConfigText {
  readonly text: string
  readonly value: ConfigValue
  /** Gives a value; undefined when nothing stands there. */
  get(path: ConfigPath): ConfigValue | undefined
  /** Where a value's own text stands; undefined for nothing, and for a TOML table that has no single place. */
  spanOf(path: ConfigPath): TextSpan | undefined
  /** Where everything of an entry stands; empty where it cannot be told apart from what is around it. */
  regionsOf(path: ConfigPath): readonly TextRegion[]
  /**
   * Replaces a value, or adds a member to an object or table.
   *
   * @throws {VaultError} INPUT if there is no object that it could be a member of.
   */
  set(path: ConfigPath, value: ConfigValue): ConfigText
  /** Adds an element to an array, in front of the one that has its number. @throws {VaultError} INPUT */
  insert(path: ConfigPath, value: ConfigValue): ConfigText
  /** Removes a member or an element. @throws {VaultError} INPUT if nothing stands there. */
  remove(path: ConfigPath): ConfigText
}

/** A part of an entry's text; the key names it among the entry's parts, also after an edit. */
export interface TextRegion extends TextSpan {
  readonly key: string
}

/** A replacement of a part of a text. */
export interface TextEdit extends TextSpan {
  readonly text: string
}

/** Applies edits that do not overlap. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  let result = ''
  let at = 0
  for (const edit of [...edits].sort((a, b) => a.start - b.start || a.end - b.end)) {
    result += text.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return result + text.slice(at)
}

/** Gives `LINE:COLUMN` of an offset, both from 1, columns in UTF-16 units. */
export function positionOf(text: string, offset: number): string {
  const before = text.slice(0, offset)
  const feed = before.lastIndexOf('\n')
  let lines = 1
  for (let at = before.indexOf('\n'); at >= 0; at = before.indexOf('\n', at + 1)) lines += 1
  const mark = feed < 0 && before.startsWith('\uFEFF') ? 1 : 0
  return `${lines}:${offset - feed - mark}`
}

/** Writes a path as a message names it: `mcpServers.github.args[1]`. */
export function formatPath(path: ConfigPath): string {
  const words = path.map((part) => {
    if (typeof part === 'number') return `[${part}]`
    return /^[\w$-]+$/.test(part) ? `.${part}` : `.${JSON.stringify(part)}`
  })
  return words.join('').replace(/^\./, '')
}

/** Looks up a value by path; inherited members are none. */
export function valueAt(value: ConfigValue, path: ConfigPath): ConfigValue | undefined {
  let found: ConfigValue | undefined = value
  for (const part of path) {
    if (typeof found !== 'object' || found === null || found instanceof Date) return undefined
    if (Array.isArray(found) !== (typeof part === 'number') || !Object.hasOwn(found, part)) return undefined
    found = (found as Readonly<Record<string | number, ConfigValue>>)[part]
  }
  return found
}

/** The objects, arrays and strings of a configuration are read by what they are. */
export function isRecord(value: ConfigValue | undefined): value is { readonly [name: string]: ConfigValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** What an edit does to the value that a text stands for. */
export type Change =
  | { readonly kind: 'set' | 'insert'; readonly path: ConfigPath; readonly value: ConfigValue }
  | { readonly kind: 'remove'; readonly path: ConfigPath }

/**
 * Hands on an edited text if it says what it should.
 *
 * @throws {VaultError} INTERNAL if the edit has changed anything else: nothing was written yet.
 */
export function checkEdit(before: ConfigText, change: Change, after: ConfigText): ConfigText {
  if (isDeepStrictEqual(after.value, applyChange(before.value, change, 0))) return after
  throw new VaultError('INTERNAL', `cannot edit "${formatPath(change.path)}" in place: nothing was written`)
}

function applyChange(value: ConfigValue | undefined, change: Change, depth: number): ConfigValue {
  const part = change.path[depth]
  const isLast = depth === change.path.length - 1
  if (part === undefined) return change.kind === 'remove' ? null : change.value
  if (Array.isArray(value) && typeof part === 'number') {
    const elements: ConfigValue[] = [...value]
    if (!isLast) elements[part] = applyChange(elements[part], change, depth + 1)
    else if (change.kind === 'remove') elements.splice(part, 1)
    else elements.splice(part, change.kind === 'set' ? 1 : 0, change.value)
    return elements
  }
  const members = new Map(isRecord(value) ? Object.entries(value) : [])
  const name = String(part)
  if (isLast && change.kind === 'remove') members.delete(name)
  else members.set(name, applyChange(members.get(name), change, depth + 1))
  return Object.fromEntries(members)
}

/** Builds the error for a place that cannot be edited. */
export function noPlace(path: ConfigPath, why: string): VaultError {
  return new VaultError('INPUT', `cannot edit "${formatPath(path)}": ${why}`)
}
