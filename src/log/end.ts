import type { Reader } from '../storage/store.js'
import { damagedAt } from './damage.js'
import { MAX_RECORD_BYTES, parseElement } from './element.js'
import type { LogRecord } from './record.js'
import { objectLength, scanArray } from './scan.js'

/** How many bytes are read at once. */
export const BLOCK_BYTES = 64 * 1024

/** Where the first record begins in our layout, behind `[\n`. */
export const FIRST_RECORD_AT = 2

/** The end of a log: its layout, and the place for the next record. */
export interface LogEnd {
  /**
   * `line` is ours, `empty` is ours without a record, `torn` is ours with the remains of an unfinished append behind the
   * last complete record; any other JSON array, or what claims to be one, is `foreign`.
   */
  readonly layout: 'line' | 'empty' | 'torn' | 'foreign'
  /** The last complete record; looked up for our layouts only. */
  readonly last: LogRecord | undefined
  /** Where the next record's bytes go, in bytes; what lies behind is the array's end or torn. 0 for `foreign`. */
  readonly appendAt: number
  /** What goes between the last record and the next one: nothing, `,` or, where its line was cut short, `\n,`. */
  readonly joint: '' | ',' | '\n,'
}

const FOREIGN: LogEnd = { layout: 'foreign', last: undefined, appendAt: 0, joint: '' }
const EMPTY = '[\n]\n'
const END = '\n]\n'
const [NUL, LINE_FEED, COMMA, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x00, 0x0a, 0x2c, 0x5d, 0x7b, 0x7d]

/** One append is at most a record long; what lies farther behind the last record was not torn, but damaged. */
const MAX_TAIL_BYTES = 16 * MAX_RECORD_BYTES

/**
 * Finds the end of a log, reading its last block only, unless its tail is torn or it is in another layout.
 *
 * An append overwrites `]\n`, so a crash leaves what stood before it, followed by any part of the new bytes: cut, full
 * of zeros, of old bytes, or of garbage. That is told apart from damage by one rule: skipping what is torn never skips
 * a complete record, except behind a hole where the old end still stands, which was never confirmed to anybody.
 *
 * @throws {VaultError} DAMAGED if the end is neither whole nor torn.
 */
export function findEnd(reader: Reader): LogEnd {
  if (!isLineLayout(reader.read(0, FIRST_RECORD_AT + 1))) return FOREIGN
  for (let length = BLOCK_BYTES; ; length *= 4) {
    const from = Math.max(0, reader.size - length)
    const end = findEndIn(reader, reader.read(from, reader.size - from), from)
    if (end) return end
    if (length < MAX_TAIL_BYTES) continue
    if (isArray(reader)) return FOREIGN
    throw damagedAt(from, 'no record in the 16 MiB')
  }
}

/** Reads a line of our layout, without its line feed; undefined when it is not exactly one record. */
export function parseLine(line: Buffer, start: number): LogRecord | undefined {
  if (line.at(-1) !== CLOSE_OBJECT) return undefined
  const from = recordOffset(line, start)
  return from === undefined ? undefined : parseElement(from === 0 ? line : line.subarray(from))
}

/** Gives where in a line its record begins, behind the comma that all but the first one have. */
function recordOffset(line: Buffer, start: number): number | undefined {
  if (start === FIRST_RECORD_AT) return line[0] === OPEN_OBJECT ? 0 : undefined
  return line[0] === COMMA && line[1] === OPEN_OBJECT ? 1 : undefined
}

/** Zeros at the place of the first record may be what is left of the first append. */
function isLineLayout(head: Buffer): boolean {
  const third = head[FIRST_RECORD_AT]
  return (
    head.subarray(0, FIRST_RECORD_AT).toString('latin1') === '[\n' &&
    (third === undefined || third === OPEN_OBJECT || third === CLOSE_ARRAY || third === NUL)
  )
}

/** Looks for the end in the log's last bytes; undefined when more of them are needed. */
function findEndIn(reader: Reader, whole: Buffer, from: number): LogEnd | undefined {
  if (whole.length === EMPTY.length && whole.toString('latin1') === EMPTY) {
    return { layout: 'empty', last: undefined, appendAt: FIRST_RECORD_AT, joint: '' }
  }
  // The old end followed by zeros: later pages of the last append reached the disk and its first one did not.
  const hole = whole.indexOf(`${END}\0`)
  const window = hole < 0 ? whole : whole.subarray(0, hole + 1)
  const found = lastLine(window, from)
  if (!found) return undefined
  const appendAt = from + found.end
  const end = { last: found.record, appendAt, joint: found.record ? ',' : '' } as const
  if (hole >= 0 && found.end === window.length) return { layout: 'torn', ...end }
  const rest = whole.subarray(found.end)
  if (found.record && rest.length === 2 && rest[0] === CLOSE_ARRAY && rest[1] === LINE_FEED) {
    return { layout: 'line', ...end }
  }
  if (mayCloseArray(rest) && isArray(reader)) return FOREIGN
  return readTorn(rest, end)
}

/**
 * Finds the last complete line and the index behind its line feed; without a record that is where the first one goes.
 * Undefined when more of the log is needed.
 */
function lastLine(window: Buffer, from: number): { record: LogRecord | undefined; end: number } | undefined {
  for (let feed = window.lastIndexOf(LINE_FEED); feed >= 0; ) {
    const before = feed === 0 ? -1 : window.lastIndexOf(LINE_FEED, feed - 1)
    if (before < 0 && from > 0) return undefined
    if (before < 0) break
    const record = parseLine(window.subarray(before + 1, feed), from + before + 1)
    if (record) return { record, end: feed + 1 }
    feed = before
  }
  return from > 0 ? undefined : { record: undefined, end: FIRST_RECORD_AT }
}

/** Takes what lies behind the last complete line for a torn append, or refuses. */
function readTorn(rest: Buffer, end: Pick<LogEnd, 'last' | 'appendAt' | 'joint'>): LogEnd {
  const damage = (): Error => damagedAt(end.appendAt, 'no valid record')
  // Behind the old end's `]` the new bytes may go on at any place, even right behind their comma.
  if (rest[0] === CLOSE_ARRAY) {
    if (holdsRecord(rest.subarray(2))) throw damage()
    return { layout: 'torn', ...end }
  }
  const from = recordOffset(rest, end.appendAt)
  const length = from === undefined ? undefined : objectLength(rest.subarray(from))
  if (from !== undefined && length !== undefined) {
    const text = rest.subarray(from, from + length)
    const behind = rest.subarray(from + length)
    const record = text.includes(LINE_FEED) ? undefined : parseElement(text)
    // Its line feed is missing or overwritten. Garbage might close a record early, but not behind its last member.
    if (record && (record.hash !== undefined || behind.length === 0)) {
      if (holdsRecord(behind)) throw damage()
      return { layout: 'torn', last: record, appendAt: end.appendAt + from + length, joint: '\n,' }
    }
  }
  // Beginning and end of the line are there, and no zeros: it was written whole and changed afterwards.
  const isWholeLine = from !== undefined && rest.includes(END) && rest.at(-2) === CLOSE_ARRAY && !rest.includes(NUL)
  if (isWholeLine || holdsRecord(rest)) throw damage()
  return { layout: 'torn', ...end }
}

/**
 * Tells whether bytes hold a complete record somewhere; after 64 beginnings it takes them to. A torn record of ours has
 * one beginning at most, since within a string `{"` is escaped.
 */
function holdsRecord(bytes: Buffer): boolean {
  let attempts = 0
  for (const { index } of bytes.toString('latin1').matchAll(/\{[ \t\r\n]*"/g)) {
    const length = objectLength(bytes.subarray(index))
    if (length !== undefined && parseElement(bytes.subarray(index, index + length))) return true
    if (++attempts === 64) return true
  }
  return false
}

/** Behind `]` alone the array is ours and cut, so only what closes more than that is worth a look. */
function mayCloseArray(rest: Buffer): boolean {
  return rest[0] !== CLOSE_ARRAY && rest.subarray(-64).toString('latin1').trimEnd().endsWith(']')
}

function isArray(reader: Reader): boolean {
  try {
    for (const _ of scanArray(reader, { blockBytes: BLOCK_BYTES }));
    return true
  } catch {
    return false
  }
}
