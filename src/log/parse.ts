import type { LogRecord } from './record.js'

/** What stands in the file, for the records that had to be bent to fit {@link LogRecord}. */
const RAW = new WeakMap<object, object>()

const TEXTS = ['subject', 'from', 'id', 'by', 'reason', 'prev', 'hash'] as const
const COUNTS = ['version', 'count', 'seq'] as const

/**
 * Takes an element of a log as a record; undefined when it is no JSON object.
 *
 * Members that mcpvault does not know are kept, because the record's hash covers them. A member of another type than
 * {@link LogRecord} says is left out (`credential` becomes null, `rotated_at` and `action` become empty), so that
 * callers can trust the type; hashing still sees the record as it stands in the file.
 */
export function parseRecord(value: unknown): LogRecord | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const raw = value as Readonly<Record<string, unknown>>
  if (isWellTyped(raw)) return raw as unknown as LogRecord
  const record = bendRecord(raw)
  RAW.set(record, raw)
  return record
}

/** Gives a record as it stands in the file. */
export function rawRecord(record: object): object {
  return RAW.get(record) ?? record
}

function isWellTyped(raw: Readonly<Record<string, unknown>>): boolean {
  return (
    (raw.credential === null || typeof raw.credential === 'string') &&
    typeof raw.rotated_at === 'string' &&
    typeof raw.action === 'string' &&
    TEXTS.every((member) => raw[member] === undefined || typeof raw[member] === 'string') &&
    COUNTS.every((member) => raw[member] === undefined || isCount(raw[member]))
  )
}

/** The largest safe integer is left out, so that the next sequence number is still exact. */
function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < Number.MAX_SAFE_INTEGER
}

function bendRecord(raw: Readonly<Record<string, unknown>>): LogRecord {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  const record: Record<string, unknown> = {
    ...raw,
    credential: typeof raw.credential === 'string' ? raw.credential : null,
    rotated_at: text(raw.rotated_at),
    action: text(raw.action),
  }
  for (const member of TEXTS) if (typeof record[member] !== 'string') delete record[member]
  for (const member of COUNTS) if (!isCount(record[member])) delete record[member]
  return record as unknown as LogRecord
}
