/**
 * Reading the rotation log: newest first or oldest first, one block at a time, however long the log is.
 *
 * Our layout has one record a line, `[\n{…}\n,{…}\n]\n`, so its end and its last records are found without the rest. Any
 * other layout of a JSON array is read as well, after one pass over it. A torn tail is skipped: readers see the last
 * complete record, and leave the repair to the next writer.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import type { Reader } from '../storage/store.js'
import { damagedAt } from './damage.js'
import { type Element, MAX_RECORD_BYTES, readElement } from './element.js'
import { BLOCK_BYTES, FIRST_RECORD_AT, findEnd, type LogEnd, parseLine } from './end.js'
import { parseRecord } from './parse.js'
import type { LogRecord } from './record.js'
import { objectLength, scanArray } from './scan.js'

/** How a log is read. */
export interface ReadOptions {
  /** How many bytes are read at once; 64 KiB unless told. */
  readonly blockBytes?: number
}

/** The end of a log, as the next record needs to know it. */
export interface LogTail extends Omit<LogEnd, 'last'> {
  readonly lastRecord: LogRecord | undefined
  /** `seq` of the last record that has one, 0 when none has. */
  readonly lastSeq: number
}

/**
 * Reads the records newest first; reading stops where the caller stops.
 *
 * @throws {VaultError} DAMAGED if the bytes met are not records, naming the position.
 */
export function* readBackward(reader: Reader, { blockBytes = BLOCK_BYTES }: ReadOptions = {}): Generator<LogRecord> {
  const end = findEnd(reader)
  if (end.layout === 'foreign') {
    yield* scanBackward(reader, { blockBytes })
    return
  }
  for (const run of runsBackward(reader, { blockBytes, end: end.appendAt })) {
    const records = parseRun(run)
    if (records) {
      for (let index = records.length - 1; index >= 0; index--) yield records[index] as LogRecord
      continue
    }
    for (const line of linesOf(run).toReversed()) {
      const record = parseLine(line.bytes, line.start)
      if (!record) {
        // Somebody may have edited this part by hand: it is still an array, or it is damaged here.
        yield* scanBackward(reader, { blockBytes, end: line.start + line.bytes.length, damagedAt: line.start })
        return
      }
      yield record
    }
  }
}

/**
 * Reads the records oldest first.
 *
 * @throws {VaultError} DAMAGED if the bytes met are not records, naming the position.
 */
export function* readForward(reader: Reader, { blockBytes = BLOCK_BYTES }: ReadOptions = {}): Generator<LogRecord> {
  const { layout, last, appendAt } = findEnd(reader)
  if (layout !== 'foreign' && !last) return
  const range = layout === 'foreign' ? { blockBytes } : { blockBytes, end: appendAt }
  for (const element of scanArray(reader, range)) yield readElement(element)
}

/**
 * Reads the end of a log. One block is enough in our layout; another one is passed over once.
 *
 * @throws {VaultError} DAMAGED as `readBackward` does.
 */
export function readTail(reader: Reader): LogTail {
  const { last, ...end } = findEnd(reader)
  if (last?.seq !== undefined) return { ...end, lastRecord: last, lastSeq: last.seq }
  let lastRecord: LogRecord | undefined
  for (const record of readBackward(reader)) {
    lastRecord ??= record
    if (record.seq !== undefined) return { ...end, lastRecord, lastSeq: record.seq }
  }
  return { ...end, lastRecord, lastSeq: 0 }
}

/** Looks for a record by its id among the last `within` ones. */
export function hasRecord(reader: Reader, id: string, within: number): boolean {
  let seen = 0
  for (const record of readBackward(reader)) {
    if (record.id === id) return true
    if (++seen >= within) return false
  }
  return false
}

const LINE_FEED = 0x0a
const FIRST_BLOCK_BYTES = 4096

interface BackwardRange {
  readonly blockBytes: number
  /** Where to begin, going backwards, in bytes. */
  readonly end: number
}

/** Cuts our layout into runs of whole lines, last one first, without the line feed at their end. */
function* runsBackward(reader: Reader, { blockBytes, end }: BackwardRange): Generator<Element> {
  if (end <= FIRST_RECORD_AT) return
  let position = reader.read(end - 1, 1)[0] === LINE_FEED ? end - 1 : end
  // The later parts of the line whose beginning has not been read yet, last part first.
  let parts: Buffer[] = []
  let partBytes = 0
  // Most callers want the last few records, and a run is parsed whole.
  let length = Math.min(FIRST_BLOCK_BYTES, blockBytes)
  while (position > FIRST_RECORD_AT) {
    const start = Math.max(FIRST_RECORD_AT, position - length)
    length = Math.min(length * 4, blockBytes)
    const block = reader.read(start, position - start)
    if (block.length < position - start) throw damagedAt(start + block.length, 'an early end')
    const feed = block.indexOf(LINE_FEED)
    if (feed >= 0) {
      yield { start: start + feed + 1, bytes: joinParts(block.subarray(feed + 1), parts) }
      parts = []
      partBytes = 0
    }
    const lineEnd = feed < 0 ? block.length : feed
    parts.push(block.subarray(0, lineEnd))
    partBytes += lineEnd
    if (partBytes > MAX_RECORD_BYTES + blockBytes) throw damagedAt(start, 'a line of over 1 MiB')
    position = start
  }
  yield { start: FIRST_RECORD_AT, bytes: joinParts(Buffer.alloc(0), parts) }
}

/**
 * Parses a run of lines at once, which takes a fraction of the time of one after the other; undefined when it does not
 * hold exactly as many records as lines, or holds a long one, and each line has to be looked at.
 */
function parseRun({ bytes, start }: Element): readonly LogRecord[] | undefined {
  if (bytes.length > MAX_RECORD_BYTES || !isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  const isFirst = start === FIRST_RECORD_AT
  if (!text.startsWith(isFirst ? '{' : ',{')) return undefined
  let lines = 1
  for (let feed = text.indexOf('\n'); feed >= 0; feed = text.indexOf('\n', feed + 1)) lines++
  try {
    const values = JSON.parse(`[${isFirst ? text : text.slice(1)}]`) as readonly unknown[]
    const records = values.map(parseRecord)
    return records.length === lines && records.every((record) => record !== undefined) ? records : undefined
  } catch {
    // JSON.parse quotes its input, so its error goes no further.
    return undefined
  }
}

function linesOf({ bytes, start }: Element): readonly Element[] {
  const lines: Element[] = []
  for (let from = 0; from <= bytes.length; ) {
    const feed = bytes.indexOf(LINE_FEED, from)
    const end = feed < 0 ? bytes.length : feed
    lines.push({ start: start + from, bytes: bytes.subarray(from, end) })
    from = end + 1
  }
  return lines
}

function joinParts(first: Buffer, later: readonly Buffer[]): Buffer {
  return later.length === 0 ? first : Buffer.concat([first, ...later.toReversed()])
}

interface ScanRange {
  readonly blockBytes: number
  readonly end?: number
  /** The position to name when the bytes are no array. */
  readonly damagedAt?: number
}

/**
 * Reads records of any layout backwards: one pass forward notes where every block's first record begins, then the
 * blocks are read from the last to the first.
 */
function* scanBackward(reader: Reader, range: ScanRange): Generator<LogRecord> {
  const starts = groupStarts(reader, range)
  let end = range.end ?? reader.size
  for (const start of starts.toReversed()) {
    const elements = [...elementsIn(reader.read(start, end - start), start)]
    for (const element of elements.toReversed()) yield readElement(element)
    end = start
  }
}

function groupStarts(reader: Reader, { damagedAt: position, ...range }: ScanRange): readonly number[] {
  const starts: number[] = []
  try {
    for (const { start } of scanArray(reader, range)) {
      if (start - (starts.at(-1) ?? Number.NEGATIVE_INFINITY) >= range.blockBytes) starts.push(start)
    }
  } catch (error) {
    throw position === undefined ? error : damagedAt(position, 'no valid record')
  }
  return starts
}

/** Finds the records in bytes that have been scanned before, so between two of them there is no other brace. */
function* elementsIn(bytes: Buffer, position: number): Generator<Element> {
  for (let at = bytes.indexOf('{'); at >= 0; ) {
    const length = objectLength(bytes.subarray(at))
    if (length === undefined) throw damagedAt(position + at, 'a record without an end')
    yield { start: position + at, bytes: bytes.subarray(at, at + length) }
    at = bytes.indexOf('{', at + length)
  }
}
