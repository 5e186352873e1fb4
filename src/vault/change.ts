import { VaultError } from '../errors.js'
import { appendRecords, nextLink } from '../log/append.js'
import { hasRecord, type LogTail, readBackward, readTail } from '../log/read.js'
import { type LogRecord, hashRecord, recordName, sealRecord } from '../log/record.js'
import { ConflictError, type Snapshot, type Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { checkMark, raiseMark, restored, type Standing } from './marks.js'
import { NativeDraft } from './native-draft.js'
import type { DataKeys } from './native-keys.js'
import { NativeVault, noKey } from './native-vault.js'
import { parseVault, readVault } from './open.js'
import { TutorialDraft, type TutorialVault } from './tutorial-vault.js'
import type { Draft, LogAnchor, LogEvent, VaultAccess } from './vault.js'

/** How often a change is started again because another program wrote the file without taking the lock. */
const ATTEMPTS = 20
/** A pending record is looked for among this many more than are pending: other programs may have appended since. */
const REPLAY_SLACK = 1000

/**
 * Changes the vault and records it in the log, as one transaction in the native format: the records are committed inside
 * the vault first and then appended, so that a crash between is replayed by the next change. In the tutorial format the
 * vault is written first, then the log; a crash between errs to "due".
 *
 * `change` may run more than once: when another program has written the file meanwhile, everything starts again from
 * reading.
 *
 * @throws {VaultError} what `change` throws, and NOT_FOUND, NO_KEY, WRONG_KEY, DAMAGED, RESTORED, LOCKED, IO, UNSAFE;
 * DURABILITY if the change stands but is not confirmed.
 */
export async function changeVault<T>(access: VaultAccess, command: string, change: (draft: Draft) => T): Promise<T> {
  return access.store.transaction(command, (transaction) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return changeOnce(access, transaction, change)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        if (attempt === ATTEMPTS) throw tooBusy(access)
      }
    }
  })
}

function tooBusy(access: VaultAccess): VaultError {
  return new VaultError('LOCKED', `cannot change "${access.store.locate('vault')}": another program keeps writing it`)
}

function changeOnce<T>(access: VaultAccess, transaction: Transaction, change: (draft: Draft) => T): T {
  const snapshot = readVault(transaction, access.store.locate('vault'))
  if (access.key === undefined) throw noKey()
  const vault = parseVault(snapshot.bytes, access.key)
  const target = { access, transaction, snapshot }
  return vault instanceof NativeVault ? changeNative(vault, target, change) : changeTutorial(vault, target, change)
}

/** A change under way. */
interface Target {
  readonly access: VaultAccess
  readonly transaction: Transaction
  readonly snapshot: Snapshot
}

function changeNative<T>(vault: NativeVault, target: Target, change: (draft: Draft) => T): T {
  const { access, transaction } = target
  const { keys } = vault
  if (keys === undefined) throw noKey()
  const standing = checkMark(vault, access, 'write')
  replayPending(vault, transaction)
  const events: LogEvent[] = noticeRestore(vault, standing, target)
  const draft = new NativeDraft(vault, keys, { nowMs: access.now(), randomBytes: access.randomBytes.bind(access) })
  const result = change(draft)
  events.push(...draft.events)
  if (events.length === 0) return result
  const records = linkRecords(events, access, { anchor: vault.logAnchor, tail: tailOf(transaction) })
  const { header } = vault.parts
  const last = records.at(-1)
  const log = { seq: last?.seq ?? header.log.seq, head: last?.hash ?? header.log.head, pending: records }
  const bytes = draft.seal({ ...header, gen: standing.highestGen + 1, log })
  writeVault(target, bytes, { dropsValues: draft.dropsValues, verify: (read) => reopen(read, keys) })
  try {
    appendRecords(transaction, records)
  } catch (error) {
    throw unrecorded(error, 'its record is kept in the vault and is written to the log by the next command that writes')
  }
  raiseMark(reopen(bytes, keys), access)
  return result
}

function changeTutorial<T>(vault: TutorialVault, target: Target, change: (draft: Draft) => T): T {
  const { access, transaction } = target
  const draft = new TutorialDraft(vault, {
    nowMs: access.now(),
    zone: access.zone,
    randomBytes: access.randomBytes.bind(access),
  })
  const result = change(draft)
  if (draft.events.length === 0) return result
  // Read before the vault is written: a log that cannot be read must not leave a change without its record.
  const records = linkRecords(draft.events, access, { tail: tailOf(transaction) })
  const bytes = draft.seal()
  writeVault(target, bytes, {
    dropsValues: draft.dropsValues,
    verify: (read) => {
      if (!read.equals(bytes)) throw new VaultError('IO', 'the disk gave back other bytes than were written')
    },
  })
  try {
    appendTo(transaction, records)
  } catch (error) {
    throw unrecorded(error, 'the log has no record of it, so the credential will be shown as due')
  }
  return result
}

/** The tutorial's log may be written by others at any time: look again when it was. */
function appendTo(transaction: Transaction, records: readonly LogRecord[]): void {
  for (let attempt = 1; ; attempt++) {
    try {
      appendRecords(transaction, records)
      return
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt === ATTEMPTS) throw error
    }
  }
}

function writeVault(
  target: Target,
  bytes: Buffer,
  options: { readonly dropsValues: boolean; readonly verify: (read: Buffer) => unknown },
): void {
  target.transaction.replace('vault', bytes, {
    expected: target.snapshot.revision,
    verify: (read) => void options.verify(read),
    // A value that was taken out for good must not live on in the generation before.
    ...(options.dropsValues ? {} : { keepPrevious: '.bak' as const }),
  })
  if (options.dropsValues) target.transaction.discardPrevious('vault')
}

/** Opens what was written, with the same keys: the MAC must fit. @throws {VaultError} DAMAGED */
function reopen(bytes: Buffer, keys: DataKeys): NativeVault {
  return NativeVault.openWith(bytes, keys)
}

function unrecorded(error: unknown, what: string): VaultError {
  return new VaultError('DURABILITY', `the change stands, but the rotation log could not be written: ${what}`, {
    cause: error,
    hints: error instanceof VaultError ? [error.message, ...error.hints] : [],
  })
}

/** Appends what the vault committed and the log never got. */
function replayPending(vault: NativeVault, transaction: Transaction): void {
  const { pending } = vault.logAnchor
  if (pending.length === 0) return
  const missing = missingRecords(pending, transaction)
  if (missing.length > 0) appendRecords(transaction, missing)
}

function tailOf(source: Pick<Transaction, 'open'>): LogTail | undefined {
  const reader = source.open('log')
  if (reader === undefined) return undefined
  try {
    return readTail(reader)
  } finally {
    reader.close()
  }
}

/** Chains events to the log's last record. */
function linkRecords(
  events: readonly LogEvent[],
  access: VaultAccess,
  from: { readonly tail: LogTail | undefined; readonly anchor?: LogAnchor },
): LogRecord[] {
  let link = nextLink(from.tail, from.anchor)
  return events.map((event) => {
    const record = sealRecord({ ...event, by: access.by }, { ...link, id: access.randomBytes(8).toString('hex') })
    link = { seq: link.seq + 1, prev: hashRecord(record) }
    return record
  })
}

/** Gives the pending records that a log does not hold. */
export function missingRecords(pending: readonly LogRecord[], source: Pick<Transaction, 'open'>): readonly LogRecord[] {
  const reader = source.open('log')
  if (reader === undefined) return pending
  try {
    return pending.filter(
      (record) => record.id === undefined || !hasRecord(reader, record.id, pending.length + REPLAY_SLACK),
    )
  } finally {
    reader.close()
  }
}

/**
 * Notices that an old vault was put back: the log or the mark is ahead of it. With `--accept-restore` the log gets a
 * record of it, and what was rotated since is listed.
 *
 * @throws {VaultError} RESTORED
 */
function noticeRestore(vault: NativeVault, standing: Standing, target: Target): LogEvent[] {
  const { access, transaction } = target
  const { header } = vault.parts
  const since = recordsAfter(header.log.seq, transaction)
  if (since.length === 0 && !standing.isBehind) return []
  if (!access.acceptRestore) {
    throw restored(
      `the rotation log is ahead of this copy of the vault (record ${since[0]?.seq} after ${header.log.seq})`,
    )
  }
  for (const record of since) {
    access.warn(`since this copy was made: "${recordName(record) ?? ''}" ${record.action} at ${record.rotated_at}`)
  }
  const reason = `generation ${header.gen} goes on as ${standing.highestGen + 1}`
  return [{ credential: null, rotated_at: formatUtc(access.now()), action: 'restored', reason }]
}

/** Reads the records that were sealed after a sequence number, newest first. */
function recordsAfter(seq: number, source: Pick<Transaction, 'open'>): readonly LogRecord[] {
  const reader = source.open('log')
  if (reader === undefined) return []
  try {
    const records: LogRecord[] = []
    for (const record of readBackward(reader)) {
      if (record.seq !== undefined && record.seq <= seq) break
      if (record.seq !== undefined) records.push(record)
    }
    return records
  } finally {
    reader.close()
  }
}
