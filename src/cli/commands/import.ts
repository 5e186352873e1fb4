import { isUtf8 } from 'node:buffer'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { readDates } from '../../rotation/ages.js'
import { openFileChecked } from '../../storage/read-file.js'
import { changeVault } from '../../vault/change.js'
import {
  type ImportOptions as VaultImportOptions,
  type ImportStep,
  type OnConflict,
  previewImport,
} from '../../vault/import.js'
import { type ImportSource, readImportSource, type SourceKind } from '../../vault/import-source.js'
import type { VaultKey } from '../../vault/key.js'
import { openVault } from '../../vault/open.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import { isClientConfig, readConfigSource } from '../config-source.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, oneOf, wholeNumber } from '../flags.js'
import { findGivenKey } from '../key-source.js'
import { openForWriting } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { createProgress } from '../progress.js'
import { readFileOrPipe } from '../read-value.js'

/** Options of `import`. */
export interface ImportOptions extends GlobalOptions {
  readonly file: string
  readonly format?: FileKind
  readonly dryRun: boolean
  readonly onConflict?: OnConflict
  readonly prefix?: string
  readonly allowEmpty: boolean
  readonly fromKeyFile?: string
  readonly fromKeyFd?: number
}

/** What a file can be imported as, the config of an MCP client too. */
type FileKind = SourceKind | 'mcp'

/** A file taken in. */
type FileSource = Pick<ImportSource, 'values'> & { readonly kind: FileKind }

const MAX_SOURCE_BYTES = 64 * 1024 * 1024

const KINDS: Readonly<Record<FileKind, string>> = {
  env: 'a .env file',
  json: 'a JSON file',
  vault: 'a tutorial vault',
  mcp: 'the config of an MCP client',
}

const IMPORT: CommandShape<ImportOptions> = {
  name: 'import',
  positionals: [
    { key: 'file', arity: 'one', help: 'a .env file, a JSON object, a tutorial vault or mcp.json; "-" is stdin' },
  ],
  flags: [
    { key: 'dryRun', long: '--dry-run', help: 'say what would happen to which name, and change nothing' },
    {
      key: 'onConflict',
      long: '--on-conflict',
      value: 'WHAT',
      help: 'a name that is there already: skip it, rotate it, or fail and import nothing (fail)',
      parse: oneOf('skip', 'rotate', 'fail'),
    },
    { key: 'prefix', long: '--prefix', value: 'TEXT', help: 'put this before every name' },
    { key: 'allowEmpty', long: '--allow-empty', help: 'take empty values' },
    {
      key: 'format',
      long: '--format',
      value: 'FORMAT',
      help: 'env, json, vault or mcp, instead of looking at the content',
      parse: oneOf('env', 'json', 'vault', 'mcp'),
    },
    {
      key: 'fromKeyFile',
      long: '--from-key-file',
      value: 'FILE',
      help: 'the key of the tutorial vault (the same key)',
    },
    {
      key: 'fromKeyFd',
      long: '--from-key-fd',
      value: 'N',
      help: 'read that key from an inherited descriptor',
      parse: wholeNumber(0, 65_535),
    },
  ],
  examples: [
    ['see first, then take in a .env file', 'mcpvault import .env --dry-run && mcpvault import .env'],
    ['replace what is there, keeping the old values for 7 days', 'mcpvault import secrets.json --on-conflict rotate'],
    ['move everything from another vault, past the disk', 'mcpvault export --vault old.enc | mcpvault import -'],
  ],
}

/** Registers `import`. */
export function addImportCommand(parent: Command, context: Context, run = runImport): void {
  addCommand(parent, IMPORT, (options) => run(options, context))
}

/** Takes in many credentials at once: all or none. */
export async function runImport(options: ImportOptions, context: Context): Promise<void> {
  const access = await openForWriting(options, context)
  const source = await readSource(options, context, access)
  if (source.kind !== 'vault' && (options.fromKeyFile !== undefined || options.fromKeyFd !== undefined)) {
    throw new VaultError('USAGE', `cannot use a key for "${options.file}": it is ${KINDS[source.kind]}, in plain text`)
  }
  const onConflict = options.onConflict ?? 'fail'
  try {
    if (options.dryRun) {
      const steps = previewImport(openVault(access), source.values, { onConflict, nowMs: context.now() })
      await reportPlan(steps, options, context)
      return
    }
    const progress = createProgress(context, { label: 'importing', quiet: options.quiet })
    const how: VaultImportOptions = {
      onConflict,
      reason: `from ${KINDS[source.kind]}`,
      onProgress: (done, total) => progress.show(done, total),
    }
    try {
      const steps = await changeVault(access, 'import', (draft) => draft.importAll(source.values, how))
      progress.end()
      report(steps, source.kind, { options, context })
    } finally {
      progress.end()
    }
  } finally {
    for (const { value } of source.values) value.wipe()
  }
}

async function readSource(options: ImportOptions, context: Context, access: VaultAccess): Promise<FileSource> {
  const isStdin = options.file === '-'
  const path = resolve(context.cwd, options.file)
  const bytes = isStdin
    ? await context.stdin.readAll(MAX_SOURCE_BYTES)
    : readFileOrPipe(path, MAX_SOURCE_BYTES, 'values')
  const label = isStdin ? 'stdin' : options.file
  const prefix = options.prefix ?? ''
  try {
    const { format } = options
    if (format === 'mcp' || (format === undefined && isUtf8(bytes) && isClientConfig(bytes.toString('utf8')))) {
      return { kind: 'mcp', values: await readConfigSource(bytes.toString('utf8'), { label, prefix }) }
    }
    return readImportSource(bytes, {
      label,
      kind: format,
      allowEmpty: options.allowEmpty,
      prefix,
      findKey: () => findSourceKey(options, context, access),
      findDates: (names) => (isStdin ? new Map() : readDatesBeside(path, names, { context, access })),
    })
  } finally {
    bytes.fill(0)
  }
}

function findSourceKey({ fromKeyFile, fromKeyFd }: ImportOptions, context: Context, access: VaultAccess): VaultKey {
  const given = {
    ...(fromKeyFile === undefined ? {} : { keyFile: fromKeyFile }),
    ...(fromKeyFd === undefined ? {} : { keyFd: fromKeyFd }),
  }
  const isGiven = Object.keys(given).length > 0
  const found = isGiven
    ? findGivenKey({ ...given, input: false }, context, { isPassive: true, warn: access.warn.bind(access) })
    : undefined
  // openForWriting has seen to it that there is a key.
  return found?.key ?? (access.key as VaultKey)
}

/** A tutorial program keeps its log beside its vault. */
function readDatesBeside(
  path: string,
  names: readonly string[],
  { context, access }: { readonly context: Context; readonly access: VaultAccess },
): ReadonlyMap<string, number> {
  const log = openFileChecked(join(dirname(path), 'rotation_log.json'), { what: 'rotation log', host: context.host })
  if (log === undefined) return new Map()
  try {
    return readDates(log, names, access.zone)
  } finally {
    log.close()
  }
}

async function reportPlan(steps: readonly ImportStep[], options: ImportOptions, context: Context): Promise<void> {
  const printer = createPrinter(context, options)
  if (options.json) printer.json(toJson(steps, options))
  else {
    await printer.table({
      headers: ['name', 'would be'],
      rows: steps.map(({ name, fate }) => [name, fate === 'conflict' ? { plain: fate, tone: 'bad' } : fate]),
      empty: 'there is nothing to import',
    })
  }
  const conflicts = steps.filter(({ fate }) => fate === 'conflict').length
  if (conflicts === 0) return
  const verb = conflicts === 1 ? 'exists' : 'exist'
  printer.warn(
    `nothing would be imported, since ${conflicts} of them ${verb} already: give --on-conflict skip or rotate`,
  )
}

function report(
  steps: readonly ImportStep[],
  kind: FileKind,
  { options, context }: { readonly options: ImportOptions; readonly context: Context },
): void {
  const count = (fate: ImportStep['fate']): number => steps.filter((step) => step.fate === fate).length
  const taken = count('stored') + count('rotated')
  const parts = (['rotated', 'skipped', 'unchanged'] as const).filter((fate) => count(fate) > 0)
  const details = parts.length === 0 ? '' : ` (${parts.map((fate) => `${count(fate)} ${fate}`).join(', ')})`
  const isPlain = kind !== 'vault' && options.file !== '-'
  const advice = isPlain ? `; the file still holds the values in plain text: delete it, and its copies` : ''
  const what = taken === 0 ? 'there was nothing to import' : `imported ${countOf(taken, 'credential')}`
  const sentence = `${what} from "${options.file}"${details}${advice}`
  createPrinter(context, options).done(sentence, toJson(steps, options))
}

function toJson(steps: readonly ImportStep[], { file, dryRun }: ImportOptions): Record<string, unknown> {
  const names = (fate: ImportStep['fate']): readonly string[] =>
    steps.filter((step) => step.fate === fate).map(({ name }) => name)
  return {
    file,
    dry_run: dryRun,
    stored: names('stored'),
    rotated: names('rotated'),
    skipped: names('skipped'),
    unchanged: names('unchanged'),
    conflicts: names('conflict'),
  }
}
