import { VaultError } from '../errors.js'
import { appendRecords } from '../log/append.js'
import { recordName } from '../log/record.js'
import { ConflictError, type Snapshot, type Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { withFreshKey } from './age-key.js'
import { commitVault } from './commit.js'
import { allowStanding, compareMark, raiseMark, readMark, restored, type Standing, warnOfEarlierKey } from './marks.js'
import { NativeDraft } from './native-draft.js'
import type { DataKeys } from './native-keys.js'
import { NativeVault, noKey } from './native-vault.js'
import { pause, readAndParse } from './open.js'
import {
  appendCommitted,
  appendEvents,
  linkEvents,
  type LogSurvey,
  readLogTail,
  surveyLog,
  whenStill,
} from './outbox.js'
import { checkPlace } from './trust.js'
import { TutorialDraft, type TutorialVault } from './tutorial-vault.js'
import type { Draft, LogEvent, VaultAccess } from './vault.js'

/** How often a change is started again because another program wrote the file without taking the lock. */
const ATTEMPTS = 20
const CONFLICT_PAUSE_MS = 10

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
  return runChange(access, command, (transaction) => {
    if (access.key === undefined) throw noKey()
    const { snapshot, vault } = readAndParse(transaction, access)
    const target = { access, transaction, snapshot }
    return vault instanceof NativeVault ? changeNative(vault, target, change) : changeTutorial(vault, target, change)
  })
}

/**
 * Runs a change under the lock, and again from its beginning when another program has written meanwhile.
 *
 * @throws {VaultError} LOCKED if that never ends, and what `body` throws.
 */
export async function runChange<T>(
  access: VaultAccess,
  command: string,
  body: (transaction: Transaction) => T,
): Promise<T> {
  return withFreshKey(access, () =>
    access.store.transaction(command, (transaction) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return body(transaction)
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
          if (attempt === ATTEMPTS) throw tooBusy(access)
          pause(CONFLICT_PAUSE_MS)
        }
      }
    }),
  )
}

function tooBusy(access: VaultAccess): VaultError {
  return new VaultError('LOCKED', `cannot change "${access.store.locate('vault')}": another program keeps writing it`)
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
  const standing = compareMark(vault, readMark(vault.id, access), access)
  allowStanding(standing, access, 'write')
  checkPlace(vault, access)
  warnOfEarlierKey(standing, access)
  finishDropping(vault, transaction)
  const events = settleLog(vault, standing, target)
  const draft = new NativeDraft(vault, keys, { nowMs: access.now(), randomBytes: access.randomBytes.bind(access) })
  const result = change(draft)
  if (events.length + draft.events.length === 0 && !draft.isChanged) return result
  draft.retireExpired()
  events.push(...draft.events)
  const records = linkEvents(events, access, { anchor: vault.logAnchor, tail: readLogTail(transaction) })
  const { header } = vault.parts
  const last = records.at(-1)
  const log = { seq: last?.seq ?? header.log.seq, head: last?.hash ?? header.log.head, pending: records }
  const bytes = draft.seal({ ...header, gen: standing.highestGen + 1, log })
  const after = draft.resealing?.keys ?? keys
  const verify = (read: Buffer): void => {
    checkChanged(reopen(read, after), draft.changed)
    draft.resealing?.verify(reopen(read, after))
  }
  commitVault(
    () => writeVault(target, bytes, { dropsValues: draft.dropsValues, verify }),
    [() => appendCommitted(transaction, records), () => raiseMark(reopen(bytes, after), access)],
  )
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
  whenStill(transaction, () => readLogTail(transaction))
  const bytes = draft.seal()
  const verify = (read: Buffer): void => {
    if (!read.equals(bytes)) throw new VaultError('IO', 'the disk gave back other bytes than were written')
  }
  commitVault(
    () => writeVault(target, bytes, { ...draft, verify }),
    [() => appendEvents(draft.events, access, transaction)],
  )
  return result
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
    ...(options.dropsValues ? { dropsPrevious: true } : { keepPrevious: '.bak' as const }),
  })
}

/** What the log says of a change that took a value out for good. */
const DROPPING: readonly string[] = ['retired', 'removed', 'aborted', 'key-removed', 'key-rotated']

/** A writer that took values out for good may have been killed before it deleted the generation that still has them. */
function finishDropping(vault: NativeVault, transaction: Transaction): void {
  const { pending } = vault.logAnchor
  if (pending.some(({ action }) => DROPPING.includes(action))) transaction.discardPrevious('vault')
}

/** Opens what was written, with the same keys: the MAC must fit. @throws {VaultError} DAMAGED */
function reopen(bytes: Buffer, keys: DataKeys): NativeVault {
  return NativeVault.openWith(bytes, keys)
}

/** What was written must be readable, not only whole. @throws {VaultError} DAMAGED */
function checkChanged(vault: NativeVault, changed: ReadonlySet<string>): void {
  // Cutting all lines once pays as soon as several names are looked for.
  const names = changed.size > 1 ? new Set(vault.names()) : changed
  for (const name of changed) if (names.has(name)) vault.entry(name)
}

/**
 * Brings vault and log together before a change: appends what the vault has committed and the log never got, or notices
 * that an old vault was put back, because the log or the mark is ahead of it, or that the log was changed. With
 * `--accept-restore` that is listed, and the records to write before those of the change are given back.
 *
 * @throws {VaultError} RESTORED; DAMAGED if the log was changed
 */
function settleLog(vault: NativeVault, standing: Standing, { access, transaction }: Target): LogEvent[] {
  const survey = surveyLog(vault.logAnchor, transaction)
  if (!access.acceptRestore) refuseStrangeLog(vault, survey, access)
  const isWhole = survey.since.length === 0 && survey.standing === 'whole'
  if (isWhole || !access.acceptRestore) {
    appendRecords(transaction, survey.missing)
    if (standing.behind === undefined || !access.acceptRestore) return []
  }
  for (const record of survey.since) {
    access.warn(`since this copy was made: "${recordName(record) ?? ''}" ${record.action} at ${record.rotated_at}`)
  }
  const isOld = standing.behind !== undefined || survey.since.length > 0
  const generations = `generation ${vault.parts.header.gen} goes on as ${standing.highestGen + 1}`
  const flaw = describeFlaw(vault, survey)
  if (flaw !== undefined) access.warn(`the rotation log ${flaw}`)
  const reason = [...(isOld ? [generations] : []), ...(flaw === undefined ? [] : [`the log ${flaw}`])].join('; ')
  const accepted: LogEvent = { credential: null, rotated_at: formatUtc(access.now()), action: 'restored', reason }
  if (isWhole) return [accepted]
  // What this copy had committed on its own while the log went on elsewhere gets a new place in the order.
  return survey.since.length > 0 ? [...survey.missing, accepted] : [accepted, ...survey.missing]
}

/** A log that was cut, deleted or moved is gone on with, but never in silence. @throws {VaultError} RESTORED, DAMAGED */
function refuseStrangeLog(vault: NativeVault, survey: LogSurvey, access: VaultAccess): void {
  const { seq } = vault.logAnchor
  if (survey.since.length > 0) {
    const last = survey.since[0]?.seq
    throw restored(`the rotation log is ahead of this copy of the vault (record ${last} after ${seq})`)
  }
  const place = access.store.locate('log')
  if (survey.standing === 'lost') {
    access.warn(`the rotation log "${place}" ${describeFlaw(vault, survey)}: run mcpvault log verify`)
  }
  if (survey.standing !== 'changed') return
  throw new VaultError('DAMAGED', `the rotation log "${place}" ${describeFlaw(vault, survey)}`, {
    hints: [
      'mcpvault log verify',
      'put back a good copy of the log; or go on, which is recorded: mcpvault log settle --accept-restore',
    ],
  })
}

/** Says for people what is wrong with the log itself; undefined when nothing is. */
function describeFlaw(vault: NativeVault, { standing, lastSeq }: LogSurvey): string | undefined {
  const { seq, pending } = vault.logAnchor
  if (standing === 'whole') return undefined
  if (standing === 'changed') return `was changed: it does not hold record ${seq} as the vault has committed it`
  return `ends at record ${lastSeq}, but the vault has committed ${(pending[0]?.seq ?? seq + 1) - 1}`
}
