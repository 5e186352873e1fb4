import { VaultError } from '../errors.js'
import { readBackward, readForward, readTail } from '../log/read.js'
import { hashRecord, type LogRecord, recordName } from '../log/record.js'
import { type LastRotation, lastRotations } from '../rotation/due.js'
import type { StorageHost } from '../storage/read-file.js'
import type { Reader, Snapshot, Transaction } from '../storage/store.js'
import { formatNaive } from '../timestamp.js'
import { restoreTokens } from '../tokens/restore.js'
import { runChange } from '../vault/change.js'
import { commitVault } from '../vault/commit.js'
import { compareMark, readMark } from '../vault/marks.js'
import { NativeVault } from '../vault/native-vault.js'
import { parseVault } from '../vault/open.js'
import { appendEvents } from '../vault/outbox.js'
import { checkSame, reinstateVault } from '../vault/reinstate.js'
import { undoLayout } from '../vault/relaid.js'
import type { LogEvent, VaultAccess } from '../vault/vault.js'
import { copySet, removeSet } from './backup.js'
import type { Backup, OpenedBackup } from './read-backup.js'
import { shellWord } from '../shell-word.js'

/** How a backup is put back. */
export interface RestoreOptions {
  /** Where the files go that are there now; must not exist. Made only if there are some. */
  readonly keepIn: string
  /** Whether files that are there may be replaced. */
  readonly mayReplace: boolean
  readonly host: StorageHost
}

/** What putting a backup back did. */
export interface Restored {
  /** The vault's generation now; undefined in the tutorial format. */
  readonly generation: number | undefined
  /** Where the files are that were there before; undefined when there were none. */
  readonly keptIn: string | undefined
  /** What happened since the backup and is not in the vault any more, newest first. */
  readonly since: readonly LogRecord[]
  readonly revokedTokens: number
}

/**
 * Puts a backup back: log, then token records, then the vault, under one lock. Whatever was there is copied to a
 * directory first. The log in place is kept where it goes on from the backup's; docs/file-format.md says what becomes of
 * the token records.
 *
 * A kill leaves the old set, the new one, or a vault whose log or token records are ahead of it or behind their marks,
 * which the next command refuses; the same restore then finishes.
 *
 * @throws {VaultError} EXISTS if another vault is there, or files may not be replaced; UNSAFE, IO, LOCKED, DURABILITY.
 */
export async function restoreBackup(
  access: VaultAccess,
  opened: OpenedBackup,
  options: RestoreOptions,
): Promise<Restored> {
  let isKept = false
  return runChange(access, 'restore', (transaction) => {
    const found = transaction.read('vault')
    checkPlace(access, opened, { transaction, found })
    const isEmpty = found === undefined && !isThere(transaction, 'log') && !isThere(transaction, 'tokens')
    if (!isEmpty) {
      if (!options.mayReplace) throw filesMeanwhile(access)
      // A second attempt, after a program that takes no lock has written: what was kept is not what is there now.
      if (isKept) removeSet(options.keepIn)
      copySet(access, transaction, { directory: options.keepIn, host: options.host })
      isKept = true
    }
    const result = putBack(opened, { access, transaction, found })
    return { ...result, keptIn: isEmpty ? undefined : options.keepIn }
  })
}

/** A restore under way. */
interface Place {
  readonly access: VaultAccess
  readonly transaction: Transaction
  /** The vault that is there. */
  readonly found: Snapshot | undefined
}

function putBack({ backup, vault }: OpenedBackup, place: Place): Omit<Restored, 'keptIn'> {
  const { access, transaction, found } = place
  const hasOwnLog = settleLogFile(backup, transaction)
  const revoked = restoreTokens(transaction, backup.tokens, {
    store: access.store,
    keys: vault,
    nowMs: access.now(),
    warn: (message) => access.warn(message),
  })
  const reason = `backup of ${backup.manifest.created}`
  if (vault instanceof NativeVault) {
    const gen = found === undefined ? 0 : generationOf(found.bytes, access)
    const target = { access, transaction, expected: found?.revision, gen, hasOwnLog, reason }
    return { ...reinstateVault(vault, undoLayout(backup.vault) ?? backup.vault, target), revokedTokens: revoked }
  }
  const since = hasOwnLog ? recordsSince(backup, transaction) : []
  for (const record of since) {
    access.warn(`since this copy was made: "${recordName(record) ?? ''}" ${record.action} at ${record.rotated_at}`)
  }
  const isNew = found === undefined && !hasOwnLog
  const events = isNew ? [] : tutorialEvents(backup, { ...place, names: vault.names(), reason })
  commitVault(
    () =>
      void transaction.replace('vault', backup.vault, {
        expected: found?.revision,
        verify: (read) => checkSame(read, backup.vault),
      }),
    events.length === 0 ? [] : [() => appendEvents(events, access, transaction)],
  )
  return { generation: undefined, since, revokedTokens: revoked }
}

/** Lays the backup's log down where there is none, or a shorter one; gives whether the one in place was kept. */
function settleLogFile({ log }: Backup, transaction: Transaction): boolean {
  const own = transaction.open('log')
  try {
    if (own !== undefined && log === undefined) readTail(own)
    if (own !== undefined && (log === undefined || !isWorthReplacing(own, log))) return true
    if (log === undefined) return false
    const bytes = log.read(0, log.size)
    transaction.replace('log', bytes, { expected: own?.revision, verify: (read) => checkSame(read, bytes) })
    return false
  } finally {
    own?.close()
  }
}

/** A log in place is the longer history, unless the backup's holds all of it, or it cannot be read. */
function isWorthReplacing(own: Reader, log: Reader): boolean {
  if (orUndefined(() => readTail(own)) === undefined) return true
  return !holdsEndOf(own, log) && holdsEndOf(log, own)
}

/** Whether a log holds the last record of another one, and so all before it; not if one of them cannot be read. */
function holdsEndOf(log: Reader, other: Reader): boolean {
  return orUndefined(() => findEndOf(log, other)) ?? false
}

function findEndOf(log: Reader, other: Reader): boolean {
  const { lastRecord, lastSeq } = readTail(other)
  if (lastRecord === undefined) return true
  const hash = hashRecord(lastRecord)
  for (const record of readBackward(log)) {
    if (hashRecord(record) === hash) return true
    if (record.seq !== undefined && record.seq < lastSeq) return false
  }
  return false
}

/**
 * Refuses a place that belongs to another vault: each would take the other's log for its own.
 *
 * @throws {VaultError} EXISTS, UNSAFE, DAMAGED
 */
function checkPlace(
  access: VaultAccess,
  { backup, vault }: OpenedBackup,
  { transaction, found }: Omit<Place, 'access'>,
): void {
  const path = access.store.locate('vault')
  // Before anything is written: it refuses a vault that this machine knows under another data key.
  if (vault instanceof NativeVault) compareMark(vault, readMark(vault.id, access), access)
  if (found === undefined) {
    if (!isLogRelated(backup, transaction)) throw otherVault(`the rotation log "${access.store.locate('log')}"`, backup)
    return
  }
  const there = orUndefined(() => parseVault(undoLayout(found.bytes) ?? found.bytes, undefined))
  if (there !== undefined && (there.format !== vault.format || there.id !== vault.id)) {
    throw otherVault(`"${path}"`, backup)
  }
}

function otherVault(what: string, { directory }: Backup): VaultError {
  return new VaultError('EXISTS', `cannot restore: ${what} belongs to another vault than the backup`, {
    hints: [`to put it elsewhere: mcpvault restore ${shellWord(directory)} --vault FILE`],
  })
}

/** Two logs of one vault begin with the same record, or one of them holds the other's end. */
function isLogRelated({ log }: Backup, transaction: Transaction): boolean {
  const own = transaction.open('log')
  try {
    // One that cannot be read belongs to nobody, and is replaced.
    if (own === undefined || orUndefined(() => readTail(own))?.lastRecord === undefined) return true
    if (log === undefined) return false
    const first = orUndefined(() => firstHash(own))
    return first === undefined || first === orUndefined(() => firstHash(log)) || holdsEndOf(own, log)
  } finally {
    own?.close()
  }
}

function firstHash(log: Reader): string | undefined {
  for (const record of readForward(log)) return hashRecord(record)
  return undefined
}

/** The generation of the vault in place, if the key proves it; what a forger wrote there must not count. */
function generationOf(bytes: Buffer, { key }: VaultAccess): number {
  const vault = orUndefined(() => parseVault(undoLayout(bytes) ?? bytes, key))
  return vault instanceof NativeVault ? vault.parts.header.gen : 0
}

/** Reads what may be damaged: that is why somebody restores. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof VaultError && (error.code === 'DAMAGED' || error.code === 'WRONG_KEY')) return undefined
    throw error
  }
}

/** What the log in place has behind the end of the backup's, newest first. */
function recordsSince({ log }: Backup, transaction: Transaction): readonly LogRecord[] {
  const last = log && orUndefined(() => readTail(log))?.lastRecord
  const end = last && hashRecord(last)
  const records: LogRecord[] = []
  return withLog(transaction, (own) => {
    if (own === undefined) return records
    for (const record of readBackward(own)) {
      if (hashRecord(record) === end) break
      records.push(record)
    }
    return records
  })
}

/**
 * A name's last dated record is its age in the tutorial format, so a value that came back brings its date with it; then
 * `restored`.
 */
function tutorialEvents(
  { log }: Backup,
  place: Place & { readonly names: readonly string[]; readonly reason: string },
): readonly LogEvent[] {
  const { access, transaction, names, reason } = place
  const then = orUndefined(() => lastRotations(log, names, access.zone)) ?? new Map<string, LastRotation>()
  const now = withLog(transaction, (own) => lastRotations(own, names, access.zone))
  const dated = [...then].filter(([name, { rotatedAt }]) => now.get(name)?.rotatedAt !== rotatedAt)
  const because = `from the ${reason}; the date is that of the value`
  return [
    ...dated.map(([credential, { rotatedAt }]): LogEvent => {
      return { credential, rotated_at: rotatedAt, action: 'rotated', reason: because }
    }),
    { credential: null, rotated_at: formatNaive(access.now(), access.zone), action: 'restored', reason },
  ]
}

function withLog<T>(transaction: Transaction, read: (reader: Reader | undefined) => T): T {
  const reader = transaction.open('log')
  try {
    return read(reader)
  } finally {
    reader?.close()
  }
}

function isThere(transaction: Transaction, name: 'log' | 'tokens'): boolean {
  const reader = transaction.open(name)
  reader?.close()
  return reader !== undefined
}

function filesMeanwhile(access: VaultAccess): VaultError {
  return new VaultError('EXISTS', `cannot restore: "${access.store.locate('vault')}" and its files were made meanwhile`)
}
