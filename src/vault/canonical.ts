/** JSON in one spelling, and the shapes of what stands in it; for the native format. */

import { isUtf8 } from 'node:buffer'
import { decodeBase64url } from '../crypto/encoding.js'
import { VaultError } from '../errors.js'
import { parseTimestamp } from '../timestamp.js'

/** As `formatUtc` prints it; printing a time to compare it makes V8 look up the time zone, which a read never needs. */
const UTC_SPELLING = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** Builds the error for a file that cannot be what mcpvault wrote. */
export function damaged(what: string): VaultError {
  return new VaultError('DAMAGED', `the vault is damaged: ${what}`, {
    hints: ['the generation before may still be whole beside it, under the same name with .bak'],
  })
}

/** Parses JSON and rebuilds it; undefined unless the rebuilt value has exactly the spelling that was read. */
export function parseCanonical<T>(line: Buffer, rebuild: (value: unknown) => T | undefined): T | undefined {
  if (!isUtf8(line)) return undefined
  const text = line.toString('utf8')
  try {
    const value = rebuild(JSON.parse(text))
    return value !== undefined && JSON.stringify(value) === text ? value : undefined
  } catch (error) {
    // A RangeError is what printing throws of a value that is nested too deeply.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}

/** Tells whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Tells whether a value is a whole number from 0 on. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Tells whether a value is a SHA-256 in hex. */
export function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/** Tells whether a value is base64url of so many bytes, or of any number. */
export function isBinary(value: unknown, length?: number): value is string {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : undefined
  return bytes !== undefined && (length === undefined || bytes.length === length)
}

/** Tells whether a value is a time as the format writes it. */
export function isTime(value: unknown): value is string {
  return typeof value === 'string' && UTC_SPELLING.test(value) && parseTimestamp(value) !== undefined
}
