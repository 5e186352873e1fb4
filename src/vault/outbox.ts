import { VaultError } from '../errors.js'
import { appendRecords, nextLink } from '../log/append.js'
import { type LogTail, readBackward, readTail } from '../log/read.js'
import { hashRecord, type LogRecord, type SealedRecord, sealRecord } from '../log/record.js'
import { ConflictError, type Reader, type Transaction } from '../storage/store.js'
import { isDamage, pause } from './open.js'
import type { LogAnchor, LogEvent, VaultAccess } from './vault.js'

/** What log records are read from: the store, or a transaction. */
type LogSource = Pick<Transaction, 'open'>

const ATTEMPTS = 20
/** How long a log that cannot be read must have kept still before it counts as damaged. */
const STILL_MS = 50

/** Gives the records that the vault has committed and the log does not hold, oldest first. */
export function missingRecords(pending: readonly LogRecord[], source: LogSource): readonly LogRecord[] {
  const missing = new Map(pending.map((record) => [record.id, record]))
  const firstSeq = pending[0]?.seq ?? 0
  return withLog(source, (reader) => {
    if (missing.size === 0 || reader === undefined) return pending
    for (const record of readBackward(reader)) {
      missing.delete(record.id)
      if (missing.size === 0 || isAtMost(record, firstSeq - 1)) break
    }
    return [...missing.values()]
  })
}

/** Reads the records that were sealed after a sequence number, newest first. */
export function recordsAfter(seq: number, source: LogSource): readonly LogRecord[] {
  return withLog(source, (reader) => {
    const records: LogRecord[] = []
    if (reader === undefined) return records
    for (const record of readBackward(reader)) {
      if (isAtMost(record, seq)) break
      if (record.seq !== undefined) records.push(record)
    }
    return records
  })
}

/** What the log holds of what the vault has committed. */
export interface LogSurvey {
  /** Records that were sealed after the vault's last one, newest first. */
  readonly since: readonly LogRecord[]
  /** Records that the vault has committed and the log does not hold as they were, oldest first. */
  readonly missing: readonly LogRecord[]
  /**
   * `whole`: the log goes up to what the vault has committed; `lost`: it ends before that; `changed`: it holds another
   * record in that place, so somebody has edited it.
   */
  readonly standing: 'whole' | 'lost' | 'changed'
  /** The number of the last sealed record, 0 when there is none. */
  readonly lastSeq: number
}

/**
 * Holds the end of the log against the vault's word on it. Reads backwards from the end to the vault's last record, past
 * what other programs have added; all of it only if that record is not where it belongs.
 *
 * @throws {VaultError} DAMAGED if the part of the log that was needed cannot be read.
 */
export function surveyLog(anchor: LogAnchor, source: LogSource): LogSurvey {
  const survey = new Survey(anchor)
  withLog(source, (reader) => {
    if (reader === undefined) return
    for (const record of readBackward(reader)) {
      survey.add(record)
      if (survey.isDone) return
    }
  })
  return survey
}

class Survey implements LogSurvey {
  readonly since: LogRecord[] = []
  lastSeq = 0
  isDone = false
  readonly #anchor: LogAnchor
  /** By number. */
  readonly #pending: ReadonlyMap<number | undefined, LogRecord>
  readonly #missing: Set<LogRecord>
  /** The last record that cannot be missing. */
  readonly #base: number
  #standing: LogSurvey['standing'] | undefined
  /** Whether the first missing record follows one that is there. */
  #isLinked = false
  #isOutOfOrder = false

  constructor(anchor: LogAnchor) {
    this.#anchor = anchor
    this.#pending = new Map(anchor.pending.map((record) => [record.seq, record]))
    this.#missing = new Set(anchor.pending)
    this.#base = (anchor.pending[0]?.seq ?? anchor.seq + 1) - 1
  }

  get missing(): readonly LogRecord[] {
    return [...this.#missing]
  }

  get standing(): LogSurvey['standing'] {
    return this.#standing ?? (this.#base === 0 ? 'whole' : 'lost')
  }

  /** Takes the records newest first. */
  add(record: LogRecord): void {
    const { seq } = record
    if (this.#missing.size > 0) this.#isLinked ||= hashRecord(record) === this.#anchor.pending[0]?.prev
    if (seq === undefined) return
    if (this.lastSeq === 0) this.lastSeq = seq
    if (seq > this.#anchor.seq) this.since.push(record)
    else if (seq >= this.#base) this.#compare(record, seq)
    else if (this.#standing === undefined) this.#isOutOfOrder = true
    else this.isDone = true
  }

  #compare(record: LogRecord, seq: number): void {
    const pending = this.#pending.get(seq)
    const isBase = seq === this.#base
    const isSame = pending ? hashRecord(record) === pending.hash : this.#isBase(record)
    if (isSame && pending) this.#missing.delete(pending)
    if (!isSame || this.#isOutOfOrder) this.#standing = 'changed'
    this.#standing ??= 'whole'
    this.isDone = isBase || this.#missing.size === 0
  }

  /** Where the records behind it are missing, what is known of it is that the first of them follows it. */
  #isBase(record: LogRecord): boolean {
    const { pending, head } = this.#anchor
    if (pending.length === 0) return hashRecord(record) === head
    return this.#standing !== undefined || this.#isLinked
  }
}

function isAtMost(record: LogRecord, seq: number): boolean {
  return record.seq !== undefined && record.seq <= seq
}

/** Reads the end of the log; undefined when there is none. @throws {VaultError} DAMAGED */
export function readLogTail(source: LogSource): LogTail | undefined {
  return withLog(source, (reader) => reader && readTail(reader))
}

/** Chains events to the log's last record; each gets its place in the order and an id of its own. */
export function linkEvents(
  events: readonly LogEvent[],
  access: VaultAccess,
  from: { readonly tail: LogTail | undefined; readonly anchor?: LogAnchor },
): readonly SealedRecord[] {
  let link = nextLink(from.tail, from.anchor)
  return events.map((event) => {
    const record = sealRecord({ by: access.by, ...event }, { ...link, id: access.randomBytes(8).toString('hex') })
    link = { seq: link.seq + 1, prev: record.hash }
    return record
  })
}

/**
 * Appends records that the vault has committed already.
 *
 * @throws {VaultError} DURABILITY if the log cannot be written: they stay in the vault and are appended later.
 */
export function appendCommitted(transaction: Transaction, records: readonly LogRecord[]): void {
  try {
    whenStill(transaction, () => appendRecords(transaction, records))
  } catch (error) {
    throw unrecorded(error, 'its record is kept in the vault and is written to the log by the next command that writes')
  }
}

/**
 * Appends the events of a change to a tutorial vault, which keeps no records. Other programs may write the log at any
 * time, so the chain is linked anew to whatever is its end by then.
 *
 * @throws {VaultError} DURABILITY if the log cannot be written
 */
export function appendEvents(events: readonly LogEvent[], access: VaultAccess, transaction: Transaction): void {
  try {
    whenStill(transaction, () =>
      appendRecords(transaction, linkEvents(events, access, { tail: readLogTail(transaction) })),
    )
  } catch (error) {
    throw unrecorded(error, 'the log has no record of it, so the credential may be shown as due')
  }
}

function unrecorded(error: unknown, what: string): VaultError {
  return new VaultError('DURABILITY', `the change stands, but the rotation log could not be written: ${what}`, {
    cause: error,
    hints: error instanceof VaultError ? [error.message, ...error.hints] : [],
  })
}

/** Reads or writes the log, and again while another program is at it: after a conflict, or damage that goes away. */
export function whenStill<T>(source: LogSource, run: () => T): T {
  for (let attempt = 1; ; attempt++) {
    const before = logRevision(source)
    try {
      return run()
    } catch (error) {
      const isConflict = error instanceof ConflictError
      if (attempt === ATTEMPTS || !(isConflict || isDamage(error))) throw error
      pause(STILL_MS)
      if (!isConflict && logRevision(source) === before) throw error
    }
  }
}

function logRevision(source: LogSource): string | undefined {
  return withLog(source, (reader) => reader?.revision.id)
}

function withLog<T>(source: LogSource, read: (reader: Reader | undefined) => T): T {
  const reader = source.open('log')
  try {
    return read(reader)
  } finally {
    reader?.close()
  }
}
