import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { childEnvironment } from '../../exec/environment.js'
import { type Scanned, scanFiles } from '../../scan/scan-files.js'
import type { GitPlace } from '../../scan/scan-git.js'
import type { ScanHit } from '../../scan/search-stream.js'
import { prepareSought, type Sought } from '../../scan/values.js'
import { changeVault } from '../../vault/change.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading, type Opened } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'

/** Options of `scan`. */
export interface ScanOptions extends GlobalOptions {
  readonly paths: readonly string[]
  readonly staged: boolean
  readonly history: boolean
  readonly installHook: boolean
  readonly dryRun: boolean
}

/** As for every question with findings: 4, as `doctor` has it. */
const FOUND_STATUS = 4

const SCAN: CommandShape<ScanOptions> = {
  name: 'scan',
  positionals: [{ key: 'paths', arity: 'many', help: 'files and folders (the current folder)' }],
  flags: [
    { key: 'staged', long: '--staged', help: 'look through what git would commit now' },
    { key: 'history', long: '--history', help: 'look through every object of the git repository' },
    { key: 'installHook', long: '--install-hook', help: 'write a git pre-commit hook that scans what is staged' },
    { key: 'dryRun', long: '--dry-run', help: 'only say what was found; no credential becomes due' },
  ],
  examples: [
    ["does a value of the vault stand in this project's files?", 'mcpvault scan'],
    ['in all that git has ever kept?', 'mcpvault scan --history'],
    ['stop commits that hold one', 'mcpvault scan --install-hook'],
  ],
}

/** Registers `scan`. */
export function addScanCommand(parent: Command, context: Context, run = runScan): void {
  addCommand(parent, SCAN, (options) => run(options, context))
}

/** Looks for the vault's own values where they should not be. Gives 4 if there are any; their credentials are due then. */
export async function runScan(options: ScanOptions, context: Context): Promise<number> {
  checkChoice(options)
  const opened = await openForReading(options, context, 'needed')
  const place = { directory: context.cwd, env: childEnvironment(context.env) }
  if (options.installHook) return writeHook(opened, place, { options, context })
  const printer = createPrinter(context, options)
  const sought = prepareSought(opened.vault, context.now())
  const scanned: Scanned = { files: 0, bytes: 0, unread: [] }
  const hits: ScanHit[] = []
  try {
    for await (const hit of startScan(sought, scanned, { options, context, place })) hits.push(hit)
  } finally {
    sought.forms.wipe()
  }
  warnOfGaps(sought, scanned, { options, context })
  await print(hits, scanned, { options, context })
  if (!options.dryRun) await markFound(hits, opened, { options, context })
  const found = `found ${countOf(hits.length, 'value')} of the vault`
  if (!options.json) printer.done(`${found} in ${countOf(scanned.files, unitOf(options))}`, undefined)
  return hits.length === 0 ? 0 : FOUND_STATUS
}

interface Run {
  readonly options: ScanOptions
  readonly context: Context
}

function checkChoice({ staged, history, installHook, paths }: ScanOptions): void {
  const chosen = [staged, history, installHook].filter(Boolean).length
  if (chosen > 1) throw new VaultError('USAGE', 'cannot scan: give only one of --staged, --history and --install-hook')
  if (chosen === 1 && paths.length > 0) {
    throw new VaultError(
      'USAGE',
      'cannot scan paths: --staged, --history and --install-hook are about a whole repository',
    )
  }
}

async function* startScan(
  sought: Sought,
  scanned: Scanned,
  { options, context, place }: Run & { readonly place: GitPlace },
): AsyncGenerator<ScanHit> {
  if (options.staged || options.history) {
    const { scanHistory, scanStaged } = await import('../../scan/scan-git.js')
    yield* options.staged ? scanStaged(place, sought, scanned) : scanHistory(place, sought, scanned)
    return
  }
  const asked = options.paths.length === 0 ? ['.'] : options.paths
  for (const path of asked) {
    // Findings are named as the path was given.
    const absolute = absolutePath(path, context)
    for (const hit of scanFiles([absolute], sought, scanned)) {
      const where = absolute === path ? hit.where : renamed(hit.where, absolute, path)
      yield { ...hit, where }
    }
  }
}

function renamed(where: string, absolute: string, path: string): string {
  const below = where.slice(absolute.length).replace(/^\//, '')
  if (below === '') return path
  return path === '.' ? below : `${path.replace(/\/+$/, '')}/${below}`
}

function unitOf({ history }: ScanOptions): string {
  return history ? 'object' : 'file'
}

function warnOfGaps(sought: Sought, scanned: Scanned, { options, context }: Run): void {
  const printer = createPrinter(context, options)
  for (const name of sought.tooShort) printer.warn(`a value of "${name}" is too short to be looked for`)
  for (const name of sought.unreadable) printer.warn(`the value of "${name}" is damaged, so it was not looked for`)
  for (const { path, reason } of scanned.unread) printer.warn(`"${path}" was not looked through: ${reason}`)
}

async function print(hits: readonly ScanHit[], scanned: Scanned, { options, context }: Run): Promise<void> {
  const printer = createPrinter(context, options)
  if (options.json) {
    const findings = hits.map(({ where, line, column, value }) => ({
      file: where,
      line,
      column,
      credential: value.credential,
      version: value.version ?? null,
      is_current: value.isCurrent,
    }))
    const { files, bytes, unread } = scanned
    printer.json({ findings, files, bytes, unread })
    return
  }
  await printer.table({
    headers: ['where', 'credential', 'version'],
    rows: hits.map(({ where, line, column, value }) => [
      `${where}:${line}:${column}`,
      value.credential,
      { plain: String(value.version ?? '-'), ...(value.isCurrent ? {} : { shown: `${value.version} (previous)` }) },
    ]),
    empty: '',
  })
}

/** A value that lies in plain text has leaked: what is current is due. */
async function markFound(hits: readonly ScanHit[], { vault, access }: Opened, run: Run): Promise<void> {
  const current = hits.filter(({ value }) => value.isCurrent)
  const names = [...new Set(current.map(({ value }) => value.credential))]
  if (names.length === 0) return
  const printer = createPrinter(run.context, run.options)
  if (vault.format === 'tutorial') {
    printer.warn('the tutorial format has no record of leaks, so what was found is not shown as due; rotate it')
    return
  }
  await markLeaked(names, access)
  for (const name of names) printer.warn(`"${name}" has leaked and is due: mcpvault rotate ${name}`)
}

async function markLeaked(names: readonly string[], access: VaultAccess): Promise<void> {
  await changeVault(access, 'scan', (draft) => {
    for (const name of names) if (draft.has(name)) draft.markLeaked(name, { reason: 'found by a scan' })
  })
}

async function writeHook({ access }: Opened, place: GitPlace, { options, context }: Run): Promise<number> {
  const { installHook } = await import('../../scan/hook.js')
  const { launcher } = context.host
  const path = installHook(place, { launcher, vaultPath: access.store.locate('vault') })
  createPrinter(context, options).done(`wrote the hook "${path}"`, { hook: path })
  return 0
}
