/** JSON with comments and trailing commas, as the clients' files have it; the only file that imports jsonc-parser. */

import { type Node, type ParseError, parseTree } from 'jsonc-parser'
import { VaultError } from '../errors.js'
import {
  type Change,
  type ConfigPath,
  type ConfigText,
  type ConfigValue,
  applyEdits,
  checkEdit,
  isRecord,
  noPlace,
  positionOf,
  type TextRegion,
  type TextSpan,
  valueAt,
} from './config-text.js'
import { insertItem, removeItem, type TextList } from './text-list.js'

const BYTE_ORDER_MARK = '\uFEFF'
const COMMENTS = /\/\/[^\r\n]*|\/\*[\s\S]*?\*\//g
const MAX_DEPTH = 200

/**
 * Reads JSON or JSON with comments.
 *
 * @param label The file, for messages.
 * @throws {VaultError} INPUT with line and column if it is broken, a member stands twice in an object, or it is nested
 * deeper than 200 levels; never with a piece of the text.
 */
export function parseJsonc(text: string, label: string): ConfigText {
  const refuse = (offset: number, why: string): VaultError =>
    new VaultError('INPUT', `cannot read "${label}": ${why} at ${positionOf(text, offset)}`)
  const shift = text.startsWith(BYTE_ORDER_MARK) ? 1 : 0
  const errors: ParseError[] = []
  const body = text.slice(shift)
  const deep = findTooDeep(body)
  if (deep !== undefined) throw refuse(deep + shift, `it is nested deeper than ${MAX_DEPTH} levels`)
  const root = parseTree(body, errors, { allowTrailingComma: true, disallowComments: false })
  const [first] = errors
  if (root === undefined || first !== undefined) throw refuse((first?.offset ?? 0) + shift, 'it is broken JSON')
  const value = toValue(root, (offset) => refuse(offset + shift, 'a member stands twice in one object, again'))
  return new JsoncText({ text, root, shift, value, label })
}

/** The parser recurses, and what it reads is not ours. Brackets within strings and comments do not count. */
function findTooDeep(text: string): number | undefined {
  let depth = 0
  for (const match of text.matchAll(/"(?:[^"\\\n]|\\.)*"?|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/|[[{]|[\]}]/g)) {
    if (match[0] === '[' || match[0] === '{') depth += 1
    else if (match[0] === ']' || match[0] === '}') depth -= 1
    if (depth > MAX_DEPTH) return match.index
  }
  return undefined
}

function toValue(node: Node, repeated: (offset: number) => VaultError): ConfigValue {
  if (node.type === 'array') return (node.children ?? []).map((child) => toValue(child, repeated))
  if (node.type !== 'object') return node.value as ConfigValue
  const members = new Map<string, ConfigValue>()
  for (const property of node.children ?? []) {
    const [name, value] = property.children ?? []
    if (name === undefined || value === undefined) continue
    if (members.has(name.value)) throw repeated(name.offset)
    members.set(name.value, toValue(value, repeated))
  }
  return Object.fromEntries(members)
}

interface Parts {
  readonly text: string
  readonly root: Node
  /** Units before the root's text. */
  readonly shift: number
  readonly value: ConfigValue
  readonly label: string
}

class JsoncText implements ConfigText {
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
    const node = this.#find(path)
    return node && this.#spanOf(node)
  }

  regionsOf(path: ConfigPath): readonly TextRegion[] {
    const span = this.spanOf(path)
    return span === undefined ? [] : [{ key: 'value', ...span }]
  }

  set(path: ConfigPath, value: ConfigValue): ConfigText {
    const span = this.spanOf(path)
    const change: Change = { kind: 'set', path, value }
    if (span !== undefined) return this.#checked(applyEdits(this.text, [{ ...span, text: formatJson(value) }]), change)
    const parent = this.#find(path.slice(0, -1))
    const name = path.at(-1)
    if (parent?.type !== 'object' || typeof name !== 'string') throw noPlace(path, 'there is no object to put it into')
    const list = this.#listOf(parent)
    // As the file itself has it: `"a":1` or `"a": 1`.
    const first = parent.children?.[0] ?? this.#parts.root.children?.[0]
    const gap =
      first?.colonOffset !== undefined && /\s/.test(this.#parts.text[first.colonOffset + this.#parts.shift + 1] ?? ' ')
    const item = `${JSON.stringify(name)}:${gap || first === undefined ? ' ' : ''}${formatJson(value)}`
    return this.#checked(insertItem(list, list.items.length, item), change)
  }

  insert(path: ConfigPath, value: ConfigValue): ConfigText {
    const parent = this.#find(path.slice(0, -1))
    const index = path.at(-1)
    if (parent?.type !== 'array' || typeof index !== 'number') throw noPlace(path, 'there is no list to put it into')
    return this.#checked(insertItem(this.#listOf(parent), index, formatJson(value)), { kind: 'insert', path, value })
  }

  remove(path: ConfigPath): ConfigText {
    const node = this.#find(path)
    const parent = this.#find(path.slice(0, -1))
    const item = node?.parent?.type === 'property' ? node.parent : node
    const index = item === undefined ? -1 : (parent?.children?.indexOf(item) ?? -1)
    if (parent === undefined || index < 0) throw noPlace(path, 'nothing stands there')
    return this.#checked(removeItem(this.#listOf(parent), index), { kind: 'remove', path })
  }

  #checked(text: string, change: Change): ConfigText {
    return checkEdit(this, change, parseJsonc(text, this.#parts.label))
  }

  #listOf(node: Node): TextList {
    const { start, end } = this.#spanOf(node)
    const items = (node.children ?? []).map((child) => this.#spanOf(child))
    return { text: this.text, open: start + 1, close: end - 1, items, comments: COMMENTS, space: ' ' }
  }

  #spanOf({ offset, length }: Node): TextSpan {
    const start = offset + this.#parts.shift
    return { start, end: start + length }
  }

  #find(path: ConfigPath): Node | undefined {
    let node: Node | undefined = this.#parts.root
    for (const part of path) {
      if (node?.type === 'array' && typeof part === 'number') node = node.children?.[part]
      else if (node?.type === 'object' && typeof part === 'string') {
        const property: Node | undefined = node.children?.find((child) => child.children?.[0]?.value === part)
        node = property?.children?.[1]
      } else return undefined
    }
    return node
  }
}

/** Writes a value on one line, with a space behind each comma and colon. */
function formatJson(value: ConfigValue): string {
  if (Array.isArray(value)) return `[${value.map(formatJson).join(', ')}]`
  if (isRecord(value)) {
    const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${formatJson(member)}`)
    return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`
  }
  if (typeof value === 'bigint' || value instanceof Date) throw new VaultError('INTERNAL', 'cannot write that as JSON')
  return JSON.stringify(value)
}
