import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { BACKUP_NAMES } from '../../backup/manifest.js'
import { type OpenedBackup, openBackup, readBackup } from '../../backup/read-backup.js'
import { type Restored, restoreBackup } from '../../backup/restore.js'
import type { DocumentName } from '../../storage/store.js'
import { recordName } from '../../log/record.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import { requireConfirmation } from '../confirm.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { accessVault, createAccess, createWarner, vaultPlaces } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { newDirectory } from './backup.js'

/** Options of `restore`. */
export interface RestoreOptions extends GlobalOptions {
  readonly directory: string
  readonly yes: boolean
}

const DOCUMENTS: readonly DocumentName[] = ['vault', 'log', 'tokens']

const RESTORE: CommandShape<RestoreOptions> = {
  name: 'restore',
  positionals: [{ key: 'directory', arity: 'one', help: 'a directory that "backup" made' }],
  flags: [{ key: 'yes', long: '--yes', help: 'do not ask before files are replaced' }],
  examples: [
    ['put a backup back; what is there now is kept beside it', 'mcpvault restore mcpvault-backup-2026-11-22T12-00-00Z'],
    ['on a new machine', 'mcpvault restore /media/safe/mcpvault-monday --vault ./mcp_credentials.enc'],
  ],
}

/** Registers `restore`. */
export function addRestoreCommand(parent: Command, context: Context, run = runRestore): void {
  addCommand(parent, RESTORE, (options) => run(options, context))
}

/** Puts a backup back: into an empty place as it is, over a set that is there as its next generation. */
export async function runRestore(options: RestoreOptions, context: Context): Promise<void> {
  const directory = resolve(context.cwd, options.directory)
  const backup = readBackup(directory, context.host)
  try {
    // The backup lists which keys open it; the vault that is there may be damaged.
    const source = await accessVault({ ...options, vault: join(directory, BACKUP_NAMES.vault) }, context, 'needed')
    const path = findPlace(options, context)
    const access = createAccess(path, options, { context, key: source.key, warn: createWarner(context, options) })
    const opened = openBackup(backup, source.key as NonNullable<typeof source.key>, access.store)
    for (const warning of opened.warnings) access.warn(warning)
    const isThere = DOCUMENTS.some((name) => existsSync(access.store.locate(name)))
    if (isThere) await requireConfirmation(questionOf(opened, path), options, context)
    const keepIn = newDirectory(dirname(path), 'mcpvault-before-restore', context.now())
    const restored = await restoreBackup(access, opened, { keepIn, mayReplace: isThere, host: context.host })
    report(restored, { options, context, access, directory })
  } finally {
    backup.close()
  }
}

/** The vault that would be used here; where there is none, the place that `init` would take. */
function findPlace(options: RestoreOptions, context: Context): string {
  const places = vaultPlaces(options, context).map(({ path }) => path)
  return places.find((path) => existsSync(path)) ?? (places.at(-1) as string)
}

function questionOf({ backup }: OpenedBackup, path: string): string {
  return `Replace what is at "${path}" by the backup of ${backup.manifest.created}?`
}

interface Report {
  readonly options: RestoreOptions
  readonly context: Context
  readonly access: VaultAccess
  readonly directory: string
}

function report(restored: Restored, { options, context, access, directory }: Report): void {
  const { generation, keptIn, since, revokedTokens } = restored
  const path = access.store.locate('vault')
  const parts = [
    `restored "${path}" from "${directory}"${generation === undefined ? '' : ` as generation ${generation}`}`,
    ...(keptIn === undefined ? [] : [`the files that were there are in "${keptIn}"`]),
    ...(revokedTokens === 0 ? [] : [`${countOf(revokedTokens, 'token')} revoked, since later revocations are lost`]),
    ...(since.length === 0 ? [] : [`${countOf(since.length, 'later record')} listed above: rotate what changed since`]),
  ]
  createPrinter(context, options).done(parts.join('; '), {
    vault: path,
    backup: directory,
    generation: generation ?? null,
    previous: keptIn ?? null,
    revoked_tokens: revokedTokens,
    since: since.map((record) => ({
      name: recordName(record) ?? null,
      action: record.action,
      rotated_at: record.rotated_at,
      seq: record.seq ?? null,
    })),
  })
}
