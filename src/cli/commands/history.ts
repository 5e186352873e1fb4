import type { Command } from 'commander'
import { formatSpan } from '../../duration.js'
import { readBackward } from '../../log/read.js'
import { type LogRecord, recordName } from '../../log/record.js'
import { findAges, readLog, withStuck } from '../../rotation/ages.js'
import { DEFAULT_MAX_AGE_SECONDS, dueState } from '../../rotation/due.js'
import { foreseeEvents } from '../../rotation/timeline.js'
import type { Reader } from '../../storage/store.js'
import { formatUtc, parseTimestamp } from '../../timestamp.js'
import { missingRecords } from '../../vault/outbox.js'
import { unknownName } from '../../vault/name.js'
import type { Credential, CredentialVersion } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, wholeNumber } from '../flags.js'
import { type Opened, openForReading } from '../open-vault.js'
import { type Cell, createPrinter } from '../printer.js'
import { listComing } from '../timeline-picture.js'
import { visible } from '../visible.js'

/** Options of `history`. */
export interface HistoryOptions extends GlobalOptions {
  readonly name: string
  readonly limit?: number
}

const HISTORY: CommandShape<HistoryOptions> = {
  name: 'history',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    {
      key: 'limit',
      long: '--limit',
      short: '-n',
      value: 'N',
      help: 'the newest N records (100)',
      parse: wholeNumber(1, 1_000_000),
    },
  ],
  examples: [['what happened to a credential, newest first', 'mcpvault history scavio_api_key']],
}

/** Registers `history`. */
export function addHistoryCommand(parent: Command, context: Context, run = runHistory): void {
  addCommand(parent, HISTORY, (options) => run(options, context))
}

/** Lists what the log has of one credential, and which of its versions are still loadable; newest first. */
export async function runHistory(options: HistoryOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const pending = missingRecords(vault.logAnchor?.pending ?? [], access.store)
  const { records, ended } = readLog(access, (reader) => takeOf(newestFirst(pending, reader), options))
  const credential = vault.describe(options.name)
  if (records.length === 0 && credential === undefined) throw unknownName(options.name, vault.names())
  // A name that was given up and stored anew counts its versions from 1 again: older records speak of other values.
  const credentialOf = (index: number): Credential | undefined => (index < ended ? credential : undefined)
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json(
      records.map((record, index) => ({ ...toJson(record, credentialOf(index)), verified: vault.isVerified })),
    )
  } else {
    await printer.table({
      headers: ['when', 'action', 'version', 'kept', 'by', 'reason'],
      rows: records.map((record, index) => [
        whenCell(record, { zone: access.zone, nowMs: context.now() }),
        record.action,
        record.version === undefined ? '-' : String(record.version),
        keptAs(record, credentialOf(index), context.now()),
        record.by ?? '-',
        describeReason(record),
      ]),
      empty: `the log has no record of "${options.name}"`,
    })
    // A pipe gets records alone; `status --json` has what is coming.
    if (context.stdout.isTerminal && credential !== undefined)
      await printComing(options.name, { vault, access }, context)
  }
}

async function printComing(name: string, { vault, access }: Opened, context: Context): Promise<void> {
  const nowMs = context.now()
  const ages = await withStuck(findAges(vault, [name], access), vault, { host: context.host, nowMs })
  const age = ages.get(name) ?? { sinceMs: undefined }
  const aged = { name, ...dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs }) }
  const events = foreseeEvents(vault, [aged], nowMs)
  if (events.length === 0) return
  context.stdout.write(
    `Coming up\n${listComing({ events, nowMs })
      .map((line) => `${visible(line)}\n`)
      .join('')}`,
  )
}

function* newestFirst(pending: readonly LogRecord[], reader: Reader | undefined): Generator<LogRecord> {
  yield* pending.toReversed()
  if (reader !== undefined) yield* readBackward(reader)
}

/** What the log has of a credential, newest first. */
interface Story {
  readonly records: readonly LogRecord[]
  /** Where the records begin that are about an earlier credential of the same name. */
  readonly ended: number
}

function takeOf(records: Iterable<LogRecord>, { name, limit = 100 }: HistoryOptions): Story {
  const taken: LogRecord[] = []
  let ended = limit
  // Before it was renamed the credential had another name; what the new name's last owner did is another story.
  let wanted = name
  for (const record of records) {
    if (recordName(record) !== wanted && !endsName(record, wanted)) continue
    if (endsName(record, wanted)) ended = Math.min(ended, taken.length)
    taken.push(record)
    if (taken.length === limit) break
    if (record.action === 'renamed' && recordName(record) === wanted) wanted = record.from ?? wanted
  }
  return { records: taken, ended }
}

/** Whether a name stood for no credential after a record: what came before it was another one. */
function endsName(record: LogRecord, name: string): boolean {
  if (record.action === 'removed') return recordName(record) === name
  return record.action === 'renamed' && record.from === name
}

function describeReason(record: LogRecord): string {
  const renamed = record.action === 'renamed' ? [`"${record.from ?? '?'}" to "${recordName(record) ?? '?'}"`] : []
  return [...renamed, ...(record.reason === undefined ? [] : [record.reason])].join(': ')
}

/** How long ago, for a person, unless it lies ahead; the log's own text where it is no date. */
function whenCell(
  { rotated_at }: LogRecord,
  { zone, nowMs }: { readonly zone: string | undefined; readonly nowMs: number },
): Cell {
  const at = parseTimestamp(rotated_at, zone)
  if (at === undefined) return rotated_at
  const plain = formatUtc(at.epochMs)
  return at.epochMs > nowMs ? plain : { plain, shown: `${formatSpan((nowMs - at.epochMs) / 1000)} ago` }
}

/** What is left of the version that a record made: `current`, `until …`, or `-`. */
function keptAs(record: LogRecord, credential: Credential | undefined, nowMs: number): Cell {
  const kept = keptVersion(record, credential)
  if (kept === undefined) return '-'
  if (kept.untilMs === undefined) return { plain: kept.stage, tone: 'good' }
  const shown = kept.untilMs > nowMs ? `for ${formatSpan((kept.untilMs - nowMs) / 1000)} more` : 'for rollback only'
  return { plain: `until ${formatUtc(kept.untilMs)}`, shown }
}

/** The number of a version that was given up before it was live is given again. */
const NOT_MAKING: readonly string[] = ['retired', 'removed', 'renamed', 'aborted']

function keptVersion(
  { action, version }: LogRecord,
  credential: Credential | undefined,
): CredentialVersion | undefined {
  if (NOT_MAKING.includes(action)) return undefined
  return credential?.versions.find((kept) => kept.version === version)
}

function toJson(record: LogRecord, credential: Credential | undefined): Record<string, unknown> {
  const kept = keptVersion(record, credential)
  return {
    rotated_at: record.rotated_at,
    action: record.action,
    ...(record.action === 'renamed' ? { name: recordName(record) ?? null, from: record.from ?? null } : {}),
    version: record.version ?? null,
    stage: kept?.stage ?? null,
    until: kept?.untilMs === undefined ? null : formatUtc(kept.untilMs),
    by: record.by ?? null,
    reason: record.reason ?? null,
    seq: record.seq ?? null,
  }
}
