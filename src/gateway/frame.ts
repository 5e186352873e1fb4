/**
 * One JSON-RPC message, read so that nobody downstream can read it as another one.
 *
 * JSON has room for two readings: repeated names (some parsers take the first, some the last), names that differ in case
 * (Go matches them), a bare CR between tokens (white space to JSON, the end of a line to some SDKs). Whatever could be
 * read in two ways is refused or written in the one way, and what is forwarded is what was decided on.
 */

import { isUtf8 } from 'node:buffer'
import { RPC_CODES, RpcError, type RequestId } from './rpc.js'

/** The longest message, in bytes. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024
/** How deep objects and arrays may lie in each other. */
export const MAX_DEPTH = 64

/** A message of which each member stands for one thing. */
export interface Frame {
  /** JSON without insignificant white space: what is forwarded. */
  readonly text: string
  readonly kind: 'request' | 'notification' | 'response'
  readonly id: string | number | undefined
  /** Undefined for a response. */
  readonly method: string | undefined
  readonly params: Readonly<Record<string, unknown>> | undefined
  /** Whether an object in it has two members that only differ in case, which some parsers take for one. */
  readonly hasTwins: boolean
}

/**
 * Reads a message.
 *
 * @throws {RpcError} -32700 if it is not JSON in UTF-8, -32600 if it is no single JSON-RPC message, is over
 * {@link MAX_FRAME_BYTES} or deeper than {@link MAX_DEPTH}, or could be read in two ways.
 */
export function parseFrame(bytes: Buffer): Frame {
  if (bytes.length > MAX_FRAME_BYTES) throw invalid('the message is over 4 MiB', { status: 413 })
  const source = isUtf8(bytes) ? bytes.toString('utf8') : undefined
  const value = source === undefined ? undefined : parseJson(source)
  if (source === undefined || value === undefined) {
    throw new RpcError(RPC_CODES.parse, 'Parse error: the message is not JSON in UTF-8', { status: 400 })
  }
  if (Array.isArray(value)) throw invalid('batches are not taken')
  if (!isObject(value)) throw invalid('the message is not an object')
  const { text, hasTwins } = new Scan(source).run(idOf(value) ?? null)
  return { text, hasTwins, ...classify(value) }
}

function classify(value: Readonly<Record<string, unknown>>): Omit<Frame, 'text' | 'hasTwins'> {
  const id = idOf(value)
  const { jsonrpc, method, params } = value
  const refuse = (reason: string): RpcError => invalid(reason, { id: id ?? null })
  if (jsonrpc !== '2.0') throw refuse('the message is not JSON-RPC 2.0')
  const isAnswer = 'result' in value || 'error' in value
  if ('method' in value === isAnswer) throw refuse('the message is neither a call nor an answer')
  if ('id' in value && id === undefined) throw refuse('the id is neither a string nor a whole number')
  if (isAnswer) {
    if (id === undefined || ('result' in value && 'error' in value)) throw refuse('the answer is malformed')
    return { kind: 'response', id, method: undefined, params: undefined }
  }
  if (typeof method !== 'string') throw refuse('the method is not a string')
  if (params !== undefined && !isObject(params)) throw refuse('params is not an object')
  if (id === undefined && !method.startsWith('notifications/')) throw refuse('the id is missing')
  return { kind: id === undefined ? 'notification' : 'request', id, method, params }
}

/** Gives the id that an error can be answered with. */
function idOf(value: Readonly<Record<string, unknown>>): string | number | undefined {
  const { id } = value
  return typeof id === 'string' || (typeof id === 'number' && Number.isSafeInteger(id)) ? id : undefined
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse quotes its input.
    return undefined
  }
}

function invalid(reason: string, options: { readonly status?: number; readonly id?: RequestId } = {}): RpcError {
  return new RpcError(RPC_CODES.invalidRequest, `Invalid Request: ${reason}`, { status: 400, ...options })
}

/** What the gateway decides by: no other spelling of these may stand beside them. */
const DECIDING: ReadonlySet<string> = new Set([
  'jsonrpc',
  'id',
  'method',
  'params',
  'name',
  'arguments',
  'uri',
  '_meta',
])

/** Line ends to some readers of lines, though not to JSON: in strings they are escaped, which means the same. */
const LINE_ENDS = /[\u0085\u2028\u2029]/g
const ENVELOPE_DEPTH = 1
const PARAMS_DEPTH = 2

interface Level {
  /** Folded names with their spelling; undefined for an array. */
  readonly names: Map<string, string> | undefined
  readonly isDeciding: boolean
}

/** One pass over text that is known to be valid JSON. */
class Scan {
  readonly #source: string
  readonly #levels: Level[] = []
  #pieces = ''
  #from = 0
  #lastName = ''
  #expectsName = false
  #hasTwins = false

  constructor(source: string) {
    this.#source = source
  }

  run(id: RequestId): { readonly text: string; readonly hasTwins: boolean } {
    const source = this.#source
    for (let at = 0; at < source.length; at += 1) {
      switch (source.charCodeAt(at)) {
        case 0x22:
          at = this.#takeString(at, id)
          break
        case 0x7b:
          this.#open(new Map(), id)
          break
        case 0x5b:
          this.#open(undefined, id)
          break
        case 0x7d:
        case 0x5d:
          this.#levels.pop()
          this.#expectsName = false
          break
        case 0x2c:
          this.#expectsName = this.#levels.at(-1)?.names !== undefined
          break
        case 0x20:
        case 0x09:
        case 0x0a:
        case 0x0d:
          this.#pieces += source.slice(this.#from, at)
          this.#from = at + 1
          break
      }
    }
    const text = this.#pieces + source.slice(this.#from)
    return { text: text.replace(LINE_ENDS, escapeUnit), hasTwins: this.#hasTwins }
  }

  #open(names: Map<string, string> | undefined, id: RequestId): void {
    const depth = this.#levels.length + 1
    if (depth > MAX_DEPTH) throw invalid(`the message is deeper than ${MAX_DEPTH}`, { id })
    const isParams = depth === PARAMS_DEPTH && this.#lastName === 'params'
    this.#levels.push({ names, isDeciding: depth === ENVELOPE_DEPTH || isParams })
    this.#expectsName = names !== undefined
  }

  /** Gives the position of the closing quote. */
  #takeString(start: number, id: RequestId): number {
    const source = this.#source
    let end = start + 1
    let hasEscape = false
    for (let code = source.charCodeAt(end); code !== 0x22; code = source.charCodeAt(end)) {
      if (code === 0x5c) {
        hasEscape = true
        end += 1
      }
      end += 1
    }
    if (this.#expectsName) {
      const spelled = source.slice(start + 1, end)
      this.#takeName(hasEscape ? String(JSON.parse(`"${spelled}"`)) : spelled, id)
      this.#expectsName = false
    }
    return end
  }

  #takeName(name: string, id: RequestId): void {
    const level = this.#levels.at(-1)
    const folded = foldCase(name)
    if (level?.isDeciding && folded !== name && DECIDING.has(folded)) {
      throw invalid('a member is spelled in another case than it should be', { id })
    }
    const twin = level?.names?.get(folded)
    if (twin === name) throw invalid('a member is there twice', { id })
    if (twin !== undefined) this.#noteTwin(name, folded, { level, id })
    level?.names?.set(twin === undefined ? folded : `${folded}\0${name}`, name)
    this.#lastName = name
  }

  #noteTwin(
    name: string,
    folded: string,
    { level, id }: { readonly level: Level | undefined; readonly id: RequestId },
  ): void {
    if (level?.names?.has(`${folded}\0${name}`)) throw invalid('a member is there twice', { id })
    this.#hasTwins = true
  }
}

/** Folds a name at least as far as any parser does that matches names without case: Go takes the long s for an s. */
function foldCase(name: string): string {
  return /^[a-z0-9_]*$/.test(name) ? name : name.toUpperCase().toLowerCase()
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
