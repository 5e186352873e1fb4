import { isUtf8 } from 'node:buffer'
import { damagedAt } from './damage.js'
import { parseRecord } from './parse.js'
import type { LogRecord } from './record.js'

/** The longest record that is read, in bytes: checked before memory is taken. */
export const MAX_RECORD_BYTES = 1024 * 1024

/** Where a record's text lies in the log. */
export interface Element {
  /** Position of the record's `{`, in bytes. */
  readonly start: number
  readonly bytes: Buffer
}

/** Reads one record's text; undefined when it is too long, not valid UTF-8 or no JSON object. */
export function parseElement(bytes: Buffer): LogRecord | undefined {
  if (bytes.length > MAX_RECORD_BYTES || !isUtf8(bytes)) return undefined
  try {
    return parseRecord(JSON.parse(bytes.toString('utf8')))
  } catch {
    // JSON.parse quotes its input, so its error goes no further.
    return undefined
  }
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
