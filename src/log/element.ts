import { isUtf8 } from 'node:buffer'
import { damagedAt } from './damage.js'
import { parseRecord } from './parse.js'
import type { LogRecord } from './record.js'

/** The longest record that is read, in bytes: checked before memory is taken. */
export const MAX_RECORD_BYTES = 1024 * 1024

/** How deeply what a record holds may be nested: printing it again, for its hash, takes a frame of the stack a level. */
const MAX_DEPTH = 500

/** Where a record's text lies in the log. */
export interface Element {
  /** Position of the record's `{`, in bytes. */
  readonly start: number
  readonly bytes: Buffer
}

/** Reads one record's text; undefined when it is too long or nested too deeply, not valid UTF-8 or no JSON object. */
export function parseElement(bytes: Buffer): LogRecord | undefined {
  if (bytes.length > MAX_RECORD_BYTES || !isUtf8(bytes)) return undefined
  try {
    return isTooDeep(bytes) ? undefined : parseRecord(JSON.parse(bytes.toString('utf8')))
  } catch {
    // JSON.parse quotes its input, so its error goes no further.
    return undefined
  }
}

/** A level takes two bytes at least, so that nothing is counted in a record as short as ours are. */
function isTooDeep(bytes: Buffer): boolean {
  if (bytes.length <= 2 * MAX_DEPTH) return false
  let depth = 0
  // Strings are dropped first: what brackets they hold are no levels.
  for (const [bracket] of bytes
    .toString('latin1')
    .replace(/"(?:[^"\\]|\\.)*"/gs, '')
    .matchAll(/[[{\]}]/g)) {
    depth += bracket === '[' || bracket === '{' ? 1 : -1
    if (depth > MAX_DEPTH) return true
  }
  return false
}

/**
 * Reads one record's text.
 *
 * @throws {VaultError} DAMAGED if it is not valid UTF-8 or no JSON object.
 */
export function readElement(element: Element): LogRecord {
  const record = parseElement(element.bytes)
  if (record) return record
  throw damagedAt(element.start, isUtf8(element.bytes) ? 'no valid record' : 'a record that is not UTF-8')
}
