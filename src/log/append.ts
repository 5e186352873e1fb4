/**
 * Appending to the rotation log, under the store's lock.
 *
 * In our layout an append is one positioned write over the array's end, `]\n`, and touches no byte before it: O(1)
 * however long the log is. A torn tail is cut off by the same write. Another layout is laid out anew once, each record
 * keeping its members, their order and their spelling.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { Reader, Transaction } from '../storage/store.js'
import { readerOfBytes } from './bytes-reader.js'
import { damagedAt } from './damage.js'
import { type Element, MAX_RECORD_BYTES, readElement } from './element.js'
import { BLOCK_BYTES } from './end.js'
import { type LogTail, readForward, readTail } from './read.js'
import { FIRST_PREV, hashRecord, type LogPlace, type LogRecord } from './record.js'
import { scanArray } from './scan.js'

/** What the vault knows of the log: the last record that it has committed. */
export interface LogHead {
  /** 0 when there is none. */
  readonly seq: number
  /** Its hash. */
  readonly head: string
}

/**
 * A write of one page reaches the disk whole or leaves the old end in front of a hole, so it can always be told from
 * damage; longer batches are written in several steps.
 */
const WRITE_BYTES = 4096
/** What is laid out anew, and read back, well within the 30 s that a lock may be held. */
const MAX_FOREIGN_BYTES = 64 * 1024 * 1024
/** From so many records on, writing a log of at most this size anew costs less than syncing page after page. */
const MANY_RECORDS = 256
const SMALL_LOG_BYTES = 16 * 1024 * 1024
const END = ']\n'

/**
 * Appends records, in this order, and makes them durable; the log is created if it does not exist.
 *
 * A crash leaves the records that were there, followed by the first few new ones or none.
 *
 * @throws {ConflictError} if somebody wrote the log without the lock meanwhile.
 * @throws {VaultError} DAMAGED if the log cannot be read, INPUT if it is over 64 MiB in another layout or a record is
 * over 1 MiB; IO, DURABILITY and LOCKED as the transaction's writes do.
 */
export function appendRecords(tx: Transaction, records: readonly LogRecord[]): void {
  if (records.length === 0) return
  const lines = records.map(serialise)
  const reader = tx.open('log')
  if (!reader) {
    const bytes = Buffer.from(`[\n${lines.join('\n,')}\n${END}`)
    tx.replace('log', bytes, { expected: undefined, verify: (read) => verifyLayout(read, lines.length) })
    return
  }
  try {
    const tail = readTail(reader)
    const isCheapAnew = lines.length >= MANY_RECORDS && reader.size <= SMALL_LOG_BYTES && tail.layout === 'line'
    if (tail.layout === 'foreign' || isCheapAnew) relayLog(tx, reader, lines)
    else appendLines(tx, { reader, tail, lines })
  } finally {
    reader.close()
  }
}

/**
 * Cuts off the remains of an unfinished append; gives whether there were any.
 *
 * @throws {ConflictError} as {@link appendRecords}, and the same failures.
 */
export function cutTornTail(tx: Transaction): boolean {
  const reader = tx.open('log')
  if (!reader) return false
  try {
    const { layout, appendAt, joint } = readTail(reader)
    if (layout !== 'torn') return false
    tx.append('log', Buffer.from(joint.replace(',', '') + END), { expected: reader.revision, at: appendAt })
    return true
  } finally {
    reader.close()
  }
}

/** Gives the place of the next record; `head` is what the vault knows, which may be ahead of a lost or cut log. */
export function nextLink(tail: LogTail | undefined, head?: LogHead): Pick<LogPlace, 'seq' | 'prev'> {
  const seq = Math.max(tail?.lastSeq ?? 0, head?.seq ?? 0) + 1
  return { seq, prev: tail?.lastRecord ? hashRecord(tail.lastRecord) : FIRST_PREV }
}

function serialise(record: LogRecord): string {
  const line = JSON.stringify(record)
  if (Buffer.byteLength(line) <= MAX_RECORD_BYTES) return line
  throw new VaultError('INPUT', 'cannot append to the rotation log: the record is over 1 MiB')
}

interface LineAppend {
  readonly reader: Reader
  readonly tail: LogTail
  readonly lines: readonly string[]
}

function appendLines(tx: Transaction, { reader, tail, lines }: LineAppend): void {
  let expected = reader.revision
  let at = tail.appendAt
  let joint: string = tail.joint
  for (const batch of batches(lines)) {
    const bytes = Buffer.from(`${joint}${batch.join('\n,')}\n${END}`)
    expected = tx.append('log', bytes, { expected, at })
    at += bytes.length - END.length
    joint = ','
  }
}

/** Packs lines so that each batch fits one write; a line that is longer goes alone. */
function batches(lines: readonly string[]): readonly (readonly string[])[] {
  const packed: string[][] = []
  let room = 0
  for (const line of lines) {
    const length = Buffer.byteLength(line) + '\n,'.length
    if (room < length) {
      packed.push([])
      room = WRITE_BYTES - '\n,'.length - END.length
    }
    packed.at(-1)?.push(line)
    room -= length
  }
  return packed
}

function relayLog(tx: Transaction, reader: Reader, lines: readonly string[]): void {
  if (reader.size > MAX_FOREIGN_BYTES) {
    throw new VaultError('INPUT', 'cannot lay out the rotation log anew: it is over 64 MiB, the limit for that', {
      hints: ['mcpvault log show > log.new, which lays it out; then put log.new in the place of the log'],
    })
  }
  const appended = Buffer.from(lines.map((line) => `\n,${line}`).join(''))
  // Between two records there is one byte at least, and here two, so three bytes become four at most.
  const bytes = Buffer.allocUnsafe(Math.ceil((reader.size * 4) / 3) + appended.length + 8)
  let length = bytes.write('[')
  let count = 0
  for (const element of scanArray(reader, { blockBytes: BLOCK_BYTES })) {
    length += bytes.write(count++ === 0 ? '\n' : '\n,', length)
    length = compactElement(element, bytes, length)
  }
  const rest = count === 0 ? Buffer.from(`\n${appended.toString('utf8', 2)}`) : appended
  length += rest.copy(bytes, length)
  length += bytes.write(`\n${END}`, length)
  const total = count + lines.length
  const laid = bytes.subarray(0, length)
  tx.replace('log', laid, { expected: reader.revision, verify: (read) => verifyLayout(read, total) })
}

/** Copies a record without the white space between its tokens; every other byte stays. Gives the place behind it. */
function compactElement(element: Element, target: Buffer, at: number): number {
  readElement(element)
  let end = at
  let isInString = false
  let isEscaped = false
  for (const byte of element.bytes) {
    if (!isInString && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) continue
    if (isEscaped) isEscaped = false
    else if (byte === 0x5c) isEscaped = isInString
    else if (byte === 0x22) isInString = !isInString
    target[end++] = byte
  }
  return end
}

function verifyLayout(bytes: Buffer, expectedCount: number): void {
  const reader = readerOfBytes(bytes)
  let count = 0
  for (const _ of readForward(reader)) count++
  if (count !== expectedCount || readTail(reader).layout !== 'line') throw damagedAt(bytes.length, 'a wrong end')
}
