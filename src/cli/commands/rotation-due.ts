import type { Command } from 'commander'
import { DAY_SECONDS, formatDuration, formatSpan } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { findAges, withStuck } from '../../rotation/ages.js'
import { DEFAULT_MAX_AGE_SECONDS, type DueState, dueState } from '../../rotation/due.js'
import { formatUtc } from '../../timestamp.js'
import { unknownName } from '../../vault/name.js'
import type { Vault } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { ROTATION_DUE, type RotationDueOptions } from '../hot-commands.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { visible } from '../visible.js'

/** Registers `rotation-due`. */
export function addRotationDueCommand(parent: Command, context: Context, run = runRotationDue): void {
  addCommand(parent, ROTATION_DUE, (options) => run(options, context))
}

const NAGIOS_UNKNOWN = 3

/** One credential and whether it is due. */
interface Row extends DueState {
  readonly name: string
}

/** Says which credentials are due. Gives 0 when there is one and 1 when there is none. */
export async function runRotationDue(options: RotationDueOptions, context: Context): Promise<number> {
  if (options.json && options.format !== undefined) {
    throw new VaultError('USAGE', 'cannot print in two formats: give --json or --format')
  }
  try {
    return await answer(options, context)
  } catch (error) {
    if (options.format !== 'nagios' || !(error instanceof VaultError)) throw error
    // Monitors show the first line of stdout, and take any other status than 3 for an answer or a broken plugin.
    context.stdout.write(`MCPVAULT UNKNOWN - ${nagiosText(error.message)}\n`)
    return NAGIOS_UNKNOWN
  }
}

async function answer(options: RotationDueOptions, context: Context): Promise<number> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const names = options.names.length > 0 ? [...new Set(options.names)] : vault.names()
  checkNames(vault, options.names)
  // A credential's own limit goes before one that is given for all.
  const maxAgeSeconds = options.maxAgeSeconds ?? DEFAULT_MAX_AGE_SECONDS
  const withinSeconds = options.withinSeconds ?? 0
  const nowMs = context.now()
  const ages = await withStuck(findAges(vault, names, access), vault, { host: context.host, nowMs })
  const rows = names.map((name): Row => {
    const age = ages.get(name) ?? { sinceMs: undefined }
    return { name, ...dueState({ maxAgeSeconds, ...age, withinSeconds, nowMs }) }
  })
  const due = rows.filter((row) => row.isDue)
  if (options.format === 'prometheus') context.stdout.write(formatPrometheus(rows))
  else if (options.format === 'nagios') {
    const status = printNagios(rows, due, context)
    return options.exitZero ? 0 : status
  } else await print(due, options, { context, isVerified: vault.isVerified })
  return due.length > 0 || options.exitZero ? 0 : 1
}

/** A tutorial vault may have a log that knows more names than it does; there an unknown name is due. */
function checkNames(vault: Vault, names: readonly string[]): void {
  if (vault.format === 'tutorial') return
  for (const name of names) {
    if (vault.describe(name) === undefined) throw unknownName(name, vault.names())
  }
}

async function print(
  due: readonly Row[],
  options: RotationDueOptions,
  given: { readonly context: Context; readonly isVerified: boolean },
): Promise<void> {
  const { context, isVerified } = given
  const printer = createPrinter(context, options)
  if (options.json) printer.json(due.map((row) => toJson(row, isVerified)))
  else if (options.format === 'names') context.stdout.write(due.map(({ name }) => `${visible(name)}\n`).join(''))
  else {
    await printer.table({
      headers: ['name', 'age', 'limit', 'reason'],
      rows: due.map((row) => [
        row.name,
        { plain: formatAge(row), shown: row.ageSeconds === undefined ? 'unknown' : formatSpan(row.ageSeconds) },
        formatDuration(row.maxAgeSeconds),
        { plain: row.reason ?? '', tone: row.reason === 'soon' ? 'faint' : 'bad' },
      ]),
      empty: 'nothing is due',
    })
  }
}

/** Whole days, as the tutorial counts; `-` when it is not known. */
function formatAge({ ageSeconds }: Row): string {
  return ageSeconds === undefined ? '-' : `${Math.floor(ageSeconds / DAY_SECONDS)}d`
}

function toJson(row: Row, isVerified: boolean): Record<string, unknown> {
  return {
    name: row.name,
    reason: row.reason ?? null,
    age_seconds: row.ageSeconds ?? null,
    age_days: row.ageSeconds === undefined ? null : Math.floor(row.ageSeconds / DAY_SECONDS),
    max_age_seconds: row.maxAgeSeconds,
    due_at: row.dueAtMs === undefined ? null : formatUtc(row.dueAtMs),
    approximate: row.isApproximate,
    verified: isVerified,
  }
}

/** Prometheus text exposition format 0.0.4; every credential is listed, due or not. */
function formatPrometheus(rows: readonly Row[]): string {
  const label = (name: string): string => visible(name).replaceAll('\\', '\\\\').replaceAll('"', '\\"')
  const metric = (name: string, help: string, value: (row: Row) => number | undefined): string => {
    const samples = rows.flatMap((row) => {
      const number = value(row)
      return number === undefined ? [] : [`${name}{credential="${label(row.name)}"} ${number}\n`]
    })
    return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${samples.join('')}`
  }
  return [
    metric('mcpvault_credential_due', 'Whether the credential is due for rotation.', (row) => (row.isDue ? 1 : 0)),
    metric('mcpvault_credential_age_seconds', 'Age of the current value.', (row) => row.ageSeconds),
    metric('mcpvault_credential_max_age_seconds', 'Age at which the credential is due.', (row) => row.maxAgeSeconds),
  ].join('')
}

/** A bar would end the text and begin the performance data. */
function nagiosText(text: string): string {
  return visible(text).replaceAll('|', '\\x7c')
}

/** Monitoring-plugin conventions: 0 OK, 1 WARNING (due soon), 2 CRITICAL (due), 3 UNKNOWN. */
function printNagios(rows: readonly Row[], due: readonly Row[], context: Context): number {
  const late = due.filter((row) => row.reason !== 'soon')
  const soon = due.length - late.length
  const [word, status] = late.length > 0 ? ['CRITICAL', 2] : soon > 0 ? ['WARNING', 1] : ['OK', 0]
  const listed = due.slice(0, 20).map(({ name, reason }) => `${nagiosText(name)} (${reason})`)
  const more = due.length > listed.length ? `, and ${due.length - listed.length} more` : ''
  const detail = due.length === 0 ? `${rows.length} credentials, none due` : `${listed.join(', ')}${more}`
  context.stdout.write(`MCPVAULT ${word} - ${detail} | due=${late.length};;1 soon=${soon} credentials=${rows.length}\n`)
  return Number(status)
}
