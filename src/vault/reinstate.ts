import { VaultError } from '../errors.js'
import { nextLink } from '../log/append.js'
import type { LogTail } from '../log/read.js'
import { hashRecord, type LogRecord, recordName, type SealedRecord, sealRecord } from '../log/record.js'
import type { Revision, Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { commitVault } from './commit.js'
import { compareMark, raiseMark, readMark, warnOfEarlierKey } from './marks.js'
import { NativeDraft } from './native-draft.js'
import { NativeVault, noKey } from './native-vault.js'
import { appendCommitted, linkEvents, type LogSurvey, readLogTail, surveyLog } from './outbox.js'
import type { LogEvent, VaultAccess } from './vault.js'

/** Where an older vault is put back. */
export interface ReinstatePlace {
  readonly access: VaultAccess
  readonly transaction: Transaction
  /** The file that it replaces; undefined when there is none. */
  readonly expected: Revision | undefined
  /** The highest generation that a verified vault in the place has; 0 when there is none. */
  readonly gen: number
  /** Whether the log in the place lay there before; false when it came with the vault, or there is none. */
  readonly hasOwnLog: boolean
  /** For the record `restored`. */
  readonly reason: string
}

/** What putting a vault back did. */
export interface Reinstated {
  readonly generation: number
  /** Records that the log has and the vault does not know, newest first: what is lost by going back. */
  readonly since: readonly LogRecord[]
}

/**
 * Makes a verified vault, whose `bytes` come from elsewhere, the current one. Where nothing was and this machine has seen
 * nothing newer, they are laid down as they are; otherwise the vault goes on at the highest generation + 1, behind a
 * record `restored`, which is committed in it as every change is.
 *
 * @throws {ConflictError} if another program wrote meanwhile.
 * @throws {VaultError} UNSAFE if this machine knows the vault under another data key; IO, LOCKED; DURABILITY if it was put
 * back and is not confirmed, or its record has not reached the log.
 */
export function reinstateVault(vault: NativeVault, bytes: Buffer, place: ReinstatePlace): Reinstated {
  const { access, transaction, expected } = place
  const standing = compareMark(vault, readMark(vault.id, access), access)
  warnOfEarlierKey(standing, access)
  const survey = surveyLog(vault.logAnchor, transaction)
  const isNew = expected === undefined && !place.hasOwnLog && standing.behind === undefined
  if (isNew && survey.since.length === 0) {
    commitVault(
      () => void transaction.replace('vault', bytes, { expected, verify: (read) => checkSame(read, bytes) }),
      [() => raiseMark(vault, access)],
    )
    return { generation: vault.parts.header.gen, since: survey.since }
  }
  const generation = Math.max(standing.highestGen, place.gen) + 1
  for (const record of survey.since) {
    access.warn(`since this copy was made: "${recordName(record) ?? ''}" ${record.action} at ${record.rotated_at}`)
  }
  writeNext(vault, settleRecords(vault, survey, { ...place, generation }), { ...place, generation })
  return { generation, since: survey.since }
}

interface Going extends ReinstatePlace {
  readonly generation: number
}

function writeNext(vault: NativeVault, records: readonly SealedRecord[], place: Going): void {
  const { access, transaction, expected, generation } = place
  const { keys } = vault
  if (keys === undefined) throw noKey()
  const { header } = vault.parts
  const last = records.at(-1)
  const log = { seq: last?.seq ?? header.log.seq, head: last?.hash ?? header.log.head, pending: records }
  const draft = new NativeDraft(vault, keys, { nowMs: access.now(), randomBytes: access.randomBytes.bind(access) })
  const bytes = draft.seal({ ...header, gen: generation, log })
  const verify = (read: Buffer): void => void NativeVault.openWith(read, keys)
  commitVault(
    // The file before may be the damaged one that made somebody restore: it must not take the place of a good `.bak`.
    () => void transaction.replace('vault', bytes, { expected, verify }),
    [() => appendCommitted(transaction, records), () => raiseMark(NativeVault.openWith(bytes, keys), access)],
  )
}

/** Refuses bytes that are not those that were written. @throws {VaultError} IO */
export function checkSame(read: Buffer, bytes: Buffer): void {
  if (!read.equals(bytes)) throw new VaultError('IO', 'the disk gave back other bytes than were written')
}

/**
 * The records to commit: those that the vault had committed and the log never got, and `restored`. Where the log went on
 * without them they get new places behind its end.
 */
function settleRecords(vault: NativeVault, survey: LogSurvey, place: Going): readonly SealedRecord[] {
  const { access, transaction, reason, generation } = place
  const { missing } = survey
  const tail = readLogTail(transaction)
  const because = `${reason}; generation ${vault.parts.header.gen} goes on as ${generation}`
  const event: LogEvent = { credential: null, rotated_at: formatUtc(access.now()), action: 'restored', reason: because }
  if (missing.length === 0 || survey.since.length > 0 || !follows(missing, tail)) {
    return linkEvents([...missing, event], access, { anchor: vault.logAnchor, tail })
  }
  const kept = missing as readonly SealedRecord[]
  const { seq, hash } = kept.at(-1) as SealedRecord
  const link = { seq: seq + 1, prev: hash, id: access.randomBytes(8).toString('hex') }
  return [...kept, sealRecord({ by: access.by, ...event }, link)]
}

/** Whether records that were sealed earlier fit behind the log's end as they are. */
function follows(records: readonly LogRecord[], tail: LogTail | undefined): boolean {
  const { prev, seq } = nextLink(tail)
  const [first] = records
  return first?.prev === prev && first.seq === seq && records.every((record) => record.hash === hashRecord(record))
}
