import { dirname } from 'node:path'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { isShellVariable } from '../../exec/environment.js'
import { shellWord } from '../../shell-word.js'
import { createPrivateFile, ensurePrivateDirectory } from '../../storage/create-file.js'
import { followLinks } from '../../storage/resolve-target.js'
import { type ExportFormat, exportedVariable, exportVault } from '../../vault/export.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import { type CommandShape, type GlobalOptions, oneOf } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { sideFiles } from '../side-files.js'
import { shownJson } from '../visible.js'

/** Options of `export`. */
export interface ExportOptions extends GlobalOptions {
  readonly format?: ExportFormat
  readonly output?: string
  readonly allowDangerousEnv: boolean
}

const EXPORT: CommandShape<ExportOptions> = {
  name: 'export',
  flags: [
    {
      key: 'format',
      long: '--format',
      value: 'FORMAT',
      help: 'json, env, fernet or aes-256-gcm (json)',
      parse: oneOf('json', 'env', 'fernet', 'aes-256-gcm'),
    },
    {
      key: 'output',
      long: '--output',
      short: '-o',
      value: 'FILE',
      help: 'write a new file with mode 0600 instead of stdout',
    },
    {
      key: 'allowDangerousEnv',
      long: '--allow-dangerous-env',
      help: 'export variables that decide what a shell runs, too: PATH, IFS, NODE_OPTIONS, …',
    },
  ],
  examples: [
    ['load all values into a shell', 'values=$(mcpvault export --format env) && set -a && eval "$values"; set +a'],
    ['go back to a file that a tutorial program reads', 'mcpvault export --format fernet -o ./tutorial.enc'],
  ],
}

/** Registers `export`. */
export function addExportCommand(parent: Command, context: Context, run = runExport): void {
  addCommand(parent, EXPORT, (options) => run(options, context))
}

/** Prints every credential's current value, in plain text or as a tutorial vault. */
export async function runExport(options: ExportOptions, context: Context): Promise<void> {
  const format = options.format ?? 'json'
  if (options.json && format === 'env' && options.output === undefined) {
    throw new VaultError('USAGE', 'cannot print in two formats: give --json or --format env')
  }
  if (options.allowDangerousEnv && format !== 'env') {
    throw new VaultError('USAGE', 'cannot use --allow-dangerous-env without --format env')
  }
  const { vault, access } = await openForReading(options, context, 'needed')
  if (format === 'env' && !options.allowDangerousEnv) refuseShellVariables(vault.names())
  const text = exportVault(vault, format, access)
  const printer = createPrinter(context, options)
  if (options.output === undefined) {
    context.stdout.write(format === 'env' ? text : shownJson(text, context.stdout))
    return
  }
  const path = absolutePath(options.output, context)
  const taken = sideFiles((name) => access.store.locate(name)).get(followLinks(path))
  if (taken !== undefined) {
    throw new VaultError('USAGE', `cannot export to "${path}": that is the place of ${taken}`, {
      hints: ['export to another file, check it, and move it into the place of the vault'],
    })
  }
  ensurePrivateDirectory(dirname(path))
  createPrivateFile(path, Buffer.from(text), { randomBytes: (length) => context.randomBytes(length) })
  const what = format === 'json' || format === 'env' ? 'in plain text' : `encrypted as ${format}`
  printer.done(`exported ${countOf(vault.names().length, 'credential')} to "${path}", ${what}`, {
    output: path,
    format,
    credentials: vault.names().length,
  })
}

/** Whoever may store a credential under any name must not come to decide what a shell does that loads them all. */
function refuseShellVariables(names: readonly string[]): void {
  const dangerous = names.filter((name) => isShellVariable(exportedVariable(name)))
  const [first] = dangerous
  if (first === undefined) return
  const list = dangerous.map((name) => `"${name}" as ${exportedVariable(name)}`).join(', ')
  throw new VaultError('INPUT', `cannot export ${list} for a shell: such a value decides what the shell runs or does`, {
    hints: [
      `give the credential another name: mcpvault rename ${shellWord(first)} NEW_NAME`,
      'or export it all the same: --allow-dangerous-env',
    ],
  })
}
