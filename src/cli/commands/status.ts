import type { Command } from 'commander'
import { DAY_SECONDS, formatDuration, formatSpan } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { type LogRecord, recordName } from '../../log/record.js'
import { type AgedCredential, findNextDue, rankByUrgency, recentRecords } from '../../rotation/overview.js'
import { type Coming, foreseeEvents } from '../../rotation/timeline.js'
import { formatUtc, parseTimestamp } from '../../timestamp.js'
import type { TokenRecord } from '../../tokens/record-line.js'
import { createdCallsLeft } from '../../tokens/budget.js'
import { TokenRecords } from '../../tokens/records.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { type Opened, openForReading } from '../open-vault.js'
import {
  drawPicture,
  type Line,
  type ShownChange,
  type ShownToken,
  type Summary,
  showsUnicode,
  type View,
} from '../picture.js'
import { colorLevel, countOf, createPrinter } from '../printer.js'
import { drawTimeline } from '../timeline-picture.js'
import { visible } from '../visible.js'
import { describeScope } from './token-create.js'

const STATUS: CommandShape<GlobalOptions> = {
  name: 'status',
  examples: [
    ['how old everything is, what is due next, what is alive', 'mcpvault status'],
    ['the same for a screen reader or a program', 'mcpvault status --json'],
  ],
}

const MOST_CHANGES = 5
const LINES = 24
/** Enough of a token's id to tell it from the others. */
const SHORT_ID = 12

/** Registers `status`. */
export function addStatusCommand(parent: Command, context: Context, run = runStatus): void {
  addCommand(parent, STATUS, (options) => run(options, context))
}

/** A token, and how many calls are left of its budget; undefined when it has none. */
interface LiveToken {
  readonly record: TokenRecord
  readonly callsLeft: number | undefined
}

/** What `status` shows. */
interface Status {
  readonly opened: Opened
  readonly credentials: readonly AgedCredential[]
  readonly summary: Summary
  readonly coming: readonly Coming[]
  /** Why they are not known, in words, where they are not. */
  readonly tokens: readonly LiveToken[] | string
  readonly changes: readonly LogRecord[] | string
  readonly nowMs: number
}

/** Shows each credential's age against its limit, what is due next, the live tokens and the last changes. */
export async function runStatus(options: GlobalOptions, context: Context): Promise<void> {
  const opened = await openForReading(options, context, 'if-there')
  const nowMs = context.now()
  const credentials = await rankByUrgency(opened.vault, opened.access, context.host)
  const status: Status = {
    opened,
    credentials,
    summary: summarise(credentials, nowMs),
    coming: foreseeEvents(opened.vault, credentials, nowMs),
    tokens: findTokens(opened, nowMs),
    changes: findChanges(opened),
    nowMs,
  }
  if (options.json) createPrinter(context, options).json(toJson(status))
  else if (context.stdout.isTerminal) context.stdout.write(await draw(status, options, context))
  else printLines(status, options, context)
}

/** Says in one sentence what the bars say. */
function summarise(credentials: readonly AgedCredential[], nowMs: number): Summary {
  const due = credentials.filter(({ isDue }) => isDue).length
  const next = findNextDue(credentials)
  const now = due === 0 ? 'nothing is due' : `${due} of ${credentials.length} ${due === 1 ? 'is' : 'are'} due`
  if (next?.dueAtMs === undefined) return { before: now, name: '', after: '' }
  const date = formatUtc(next.dueAtMs).slice(0, 10)
  const after = ` in ${formatSpan((next.dueAtMs - nowMs) / 1000)} (${date})`
  return { before: `${now}; next: `, name: next.name, after }
}

function findTokens({ vault, access }: Opened, nowMs: number): readonly LiveToken[] | string {
  if (access.key === undefined) return 'not shown: they need the key'
  return unlessBroken(() => {
    const records = TokenRecords.open(access.store, vault)
    try {
      return records.live(nowMs).map((record) => ({ record, callsLeft: createdCallsLeft(record, records.tokensKey) }))
    } finally {
      records.close()
    }
  })
}

function findChanges({ vault, access }: Opened): readonly LogRecord[] | string {
  return unlessBroken(() => recentRecords(vault, access, MOST_CHANGES))
}

/** The rest of the picture is worth having when one part of it cannot be read. */
function unlessBroken<T>(read: () => T): T | string {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    return `not shown: they cannot be read (mcpvault doctor)`
  }
}

async function draw(status: Status, options: GlobalOptions, context: Context): Promise<string> {
  const { stdout, env } = context
  const frame = { columns: stdout.columns, isUnicode: showsUnicode(env) }
  const timeline = drawTimeline({ events: status.coming, nowMs: status.nowMs }, frame)
  // The prompt comes back below.
  const lines = drawPicture({ ...toView(status), timeline }, { ...frame, lines: (stdout.rows ?? LINES) - 1 })
  const level = colorLevel(stdout, env, options.color)
  const paint = level === 0 ? undefined : (await import('../output.js')).paint
  const drawLine = (line: Line): string =>
    line.map(({ text, tone }) => (paint && tone ? paint(text, tone, level) : text)).join('')
  // Only a line without colour may end in spaces.
  return lines.map((line) => `${drawLine(line).trimEnd()}\n`).join('')
}

function toView({ opened, credentials, summary, tokens, changes, nowMs }: Status): View {
  const { vault, access } = opened
  const verified = vault.format === 'native' ? [vault.isVerified ? 'verified' : 'not verified (no key)'] : []
  return {
    path: access.store.locate('vault'),
    facts: [`${vault.format} format`, countOf(credentials.length, 'credential'), ...verified].join(', '),
    credentials,
    summary,
    tokens: typeof tokens === 'string' ? tokens : tokens.map((token) => showToken(token, nowMs)),
    changes: typeof changes === 'string' ? changes : changes.map((record) => showChange(record, opened, nowMs)),
    nowMs,
  }
}

function showToken({ record, callsLeft }: LiveToken, nowMs: number): ShownToken {
  const { id, label, caveats } = record
  const { tools, before } = describeScope(caveats)
  const ends = before === null ? undefined : (Date.parse(before) - nowMs) / 1000
  return { name: label ?? id.slice(0, SHORT_ID), tools, secondsLeft: ends, callsLeft }
}

function showChange(record: LogRecord, { access }: Opened, nowMs: number): ShownChange {
  const at = parseTimestamp(record.rotated_at, access.zone)
  const ago = at === undefined ? undefined : (nowMs - at.epochMs) / 1000
  return {
    when: ago === undefined ? '?' : ago < 0 ? 'ahead' : `${formatSpan(ago)} ago`,
    action: record.action,
    name: recordName(record) ?? '-',
    version: record.version,
    by: record.by,
  }
}

/** One line a thing; the first field says what it is. */
function printLines(
  { opened, credentials, coming, tokens, changes }: Status,
  options: GlobalOptions,
  context: Context,
): void {
  const line = (...fields: readonly string[]): string => `${fields.map(visible).join('\t')}\n`
  const at = (epochMs: number | undefined): string => (epochMs === undefined ? '-' : formatUtc(epochMs))
  const texts = [
    ...credentials.map(({ name, ageSeconds, maxAgeSeconds, isDue, reason, dueAtMs }) => {
      const age = ageSeconds === undefined ? '-' : `${Math.floor(ageSeconds / DAY_SECONDS)}d`
      return line('credential', name, age, formatDuration(maxAgeSeconds), isDue ? (reason ?? 'due') : '-', at(dueAtMs))
    }),
    ...coming.map(({ name, atMs, what }) => line('coming', name, at(atMs), what)),
    ...listed(tokens).map(({ record: { id, label, caveats }, callsLeft }) => {
      const { tools, before } = describeScope(caveats)
      return line(
        'token',
        id,
        label ?? '-',
        tools.join(','),
        before ?? '-',
        callsLeft === undefined ? '-' : `${callsLeft}`,
      )
    }),
    ...listed(changes).map((record) => {
      const time = parseTimestamp(record.rotated_at, opened.access.zone)?.epochMs
      const version = record.version === undefined ? '-' : String(record.version)
      return line('change', at(time), record.action, recordName(record) ?? '-', version, record.by ?? '-')
    }),
  ]
  context.stdout.write(texts.join(''))
  if (options.quiet) return
  if (typeof tokens === 'string') context.stderr.write(`live tokens are ${tokens}\n`)
  if (typeof changes === 'string') context.stderr.write(`the last changes are ${changes}\n`)
}

function listed<T>(things: readonly T[] | string): readonly T[] {
  return typeof things === 'string' ? [] : things
}

function toJson({ opened, credentials, summary, coming, tokens, changes }: Status): Record<string, unknown> {
  const { vault, access } = opened
  const next = findNextDue(credentials)
  return {
    vault: access.store.locate('vault'),
    format: vault.format,
    verified: vault.isVerified,
    summary: `${summary.before}${summary.name}${summary.after}`,
    credentials: credentials.map((credential) => credentialJson(credential)),
    next_due: next === undefined ? null : { name: next.name, due_at: timeJson(next.dueAtMs) },
    coming: coming.map(({ name, atMs, event, version, what }) => {
      return { name, at: timeJson(atMs), event, version: version ?? null, what }
    }),
    live_tokens_shown: typeof tokens !== 'string',
    live_tokens: listed(tokens).map(({ record: { id, label, caveats }, callsLeft }) => ({
      id,
      label: label ?? null,
      ...describeScope(caveats),
      calls_left: callsLeft ?? null,
    })),
    last_changes_shown: typeof changes !== 'string',
    last_changes: listed(changes).map((record) => changeJson(record, access.zone)),
  }
}

function credentialJson(credential: AgedCredential): Record<string, unknown> {
  const { name, ageSeconds, maxAgeSeconds, isDue, reason, dueAtMs, isApproximate } = credential
  return {
    name,
    age_seconds: ageSeconds ?? null,
    age_days: ageSeconds === undefined ? null : Math.floor(ageSeconds / DAY_SECONDS),
    max_age_seconds: maxAgeSeconds,
    due: isDue,
    reason: reason ?? null,
    due_at: timeJson(dueAtMs),
    approximate: isApproximate,
  }
}

function changeJson(record: LogRecord, zone: string | undefined): Record<string, unknown> {
  return {
    at: timeJson(parseTimestamp(record.rotated_at, zone)?.epochMs),
    action: record.action,
    credential: recordName(record) ?? null,
    version: record.version ?? null,
    by: record.by ?? null,
    reason: record.reason ?? null,
  }
}

function timeJson(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : formatUtc(epochMs)
}
