import type { Command } from 'commander'
import { formatSpan } from '../../duration.js'
import { findAges, withStuck } from '../../rotation/ages.js'
import { DEFAULT_MAX_AGE_SECONDS, type DueState, dueState } from '../../rotation/due.js'
import { formatUtc } from '../../timestamp.js'
import type { Credential, Vault } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { fitTable } from '../fit-table.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { describePolicy, policyJson } from '../policy-text.js'
import { showsUnicode } from '../picture.js'
import { createPrinter, type Table } from '../printer.js'

/** Options of `list`. */
export interface ListOptions extends GlobalOptions {
  readonly pattern?: string
}

const LIST: CommandShape<ListOptions> = {
  name: 'list',
  positionals: [{ key: 'pattern', arity: 'optional', help: 'names to list; * stands for any text' }],
  examples: [
    ['all credentials', 'mcpvault list'],
    ['those of one upstream, for a program', "mcpvault list 'github_*' --json"],
  ],
}

/** Registers `list`. */
export function addListCommand(parent: Command, context: Context, run = runList): void {
  addCommand(parent, LIST, (options) => run(options, context))
}

/** Columns that hold what people have written, by their number. */
const [NAME, POLICY, NOTE] = [0, 4, 5]

interface Row {
  readonly credential: Credential
  readonly due: DueState
  readonly sinceMs: number | undefined
}

/** Lists the credentials, never their values. */
export async function runList(options: ListOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const names = vault.names().filter(matcher(options.pattern))
  const judging = { host: context.host, nowMs: context.now() }
  const ages = await withStuck(findAges(vault, names, access), vault, judging)
  const rows = names.flatMap((name): Row[] => {
    const credential = vault.describe(name)
    const age = ages.get(name) ?? { sinceMs: undefined }
    const due = dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: context.now() })
    return credential === undefined ? [] : [{ credential, due, sinceMs: age.sinceMs }]
  })
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json(rows.map((row) => toJson(row, vault)))
    return
  }
  if (vault.format === 'tutorial' && context.stdout.isTerminal) {
    printer.warn('the tutorial format has no versions and cannot notice that values were swapped: mcpvault upgrade')
  }
  const table: Table = {
    headers: ['name', 'version', 'age', 'due', 'policy', 'note'],
    rows: rows.map(({ credential, due, sinceMs }) => [
      credential.name,
      versionOf(credential),
      {
        plain: sinceMs === undefined ? '-' : formatUtc(sinceMs),
        shown: due.ageSeconds === undefined ? 'unknown' : formatSpan(due.ageSeconds),
      },
      dueCell(due, context.now()),
      describePolicy(credential.policy),
      credential.note ?? (isDamaged(credential, vault) ? 'damaged' : ''),
    ]),
    empty:
      options.pattern === undefined ? 'the vault holds no credentials yet: mcpvault store NAME' : 'no name matches',
  }
  const { stdout, env } = context
  // The name last: without it the rest says nothing.
  const fit = { columns: stdout.columns, isUnicode: showsUnicode(env), order: [NOTE, POLICY, NAME] }
  await printer.table(stdout.isTerminal ? fitTable(table, fit) : table)
}

/** `*` is the only special character: names hold dots and brackets of their own. */
function matcher(pattern: string | undefined): (name: string) => boolean {
  if (pattern === undefined) return () => true
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  const expression = new RegExp(`^${parts.join('.*')}$`, 'su')
  return (name) => expression.test(name)
}

function versionOf(credential: Credential): string {
  const current = credential.versions.find((version) => version.stage === 'current')
  return current === undefined ? '-' : String(current.version)
}

function isDamaged(credential: Credential, vault: Vault): boolean {
  return vault.format === 'tutorial' && credential.codec === undefined
}

function dueCell(due: DueState, nowMs: number): { plain: string; shown: string; tone?: 'bad' } {
  const plain = due.dueAtMs === undefined ? '-' : formatUtc(due.dueAtMs)
  if (due.isDue) return { plain, shown: due.reason === 'age' ? 'now' : `now (${due.reason})`, tone: 'bad' }
  return { plain, shown: `in ${formatSpan(((due.dueAtMs ?? nowMs) - nowMs) / 1000)}` }
}

function toJson({ credential, due, sinceMs }: Row, vault: Vault): Record<string, unknown> {
  const current = credential.versions.find((version) => version.stage === 'current')
  return {
    name: credential.name,
    version: current?.version ?? null,
    since: sinceMs === undefined ? null : formatUtc(sinceMs),
    age_seconds: due.ageSeconds ?? null,
    due: due.isDue,
    due_at: due.dueAtMs === undefined ? null : formatUtc(due.dueAtMs),
    policy: policyJson(credential.policy),
    note: credential.note ?? null,
    damaged: isDamaged(credential, vault),
    verified: vault.isVerified,
  }
}
