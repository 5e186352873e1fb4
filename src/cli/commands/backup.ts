import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { createBackup, removeSet } from '../../backup/backup.js'
import type { BackupManifest } from '../../backup/manifest.js'
import { type OpenedBackup, openBackup, readBackup } from '../../backup/read-backup.js'
import { VaultError } from '../../errors.js'
import { formatUtc } from '../../timestamp.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { accessVault } from '../open-vault.js'
import { createPrinter } from '../printer.js'

/** Options of `backup`. */
export interface BackupOptions extends GlobalOptions {
  readonly directory?: string
}

const BACKUP: CommandShape<BackupOptions> = {
  name: 'backup',
  positionals: [
    { key: 'directory', arity: 'optional', help: 'a new directory (mcpvault-backup-TIME beside the vault)' },
  ],
  examples: [
    ['copy vault, log and token records as one set', 'mcpvault backup'],
    ['onto another disk', 'mcpvault backup /media/safe/mcpvault-monday'],
  ],
}

/** Registers `backup`. */
export function addBackupCommand(parent: Command, context: Context, run = runBackup): void {
  addCommand(parent, BACKUP, (options) => run(options, context))
}

/** Copies vault, log and token records as one set; verifies the copy if a key is there. */
export async function runBackup(options: BackupOptions, context: Context): Promise<void> {
  const access = await accessVault(options, context, 'if-there')
  const beside = dirname(access.store.locate('vault'))
  const directory =
    options.directory === undefined
      ? newDirectory(beside, 'mcpvault-backup', context.now())
      : resolve(context.cwd, options.directory)
  const manifest = await createBackup(access, { directory, host: context.host })
  const verified = verifyCopy(directory, access, context)
  for (const warning of verified?.warnings ?? []) access.warn(warning)
  report(manifest, { options, context, directory, isVerified: verified !== undefined })
}

/** Names a directory that is not there yet: `mcpvault-backup-2026-11-22T12-00-00Z`, with a number behind it if need be. */
export function newDirectory(parent: string, name: string, epochMs: number): string {
  const path = join(parent, `${name}-${formatUtc(epochMs).slice(0, 19).replaceAll(':', '-')}Z`)
  let free = path
  for (let number = 2; existsSync(free); number++) free = `${path}-${number}`
  return free
}

/** A copy that does not open with the key is no backup; a key that is another vault's proves nothing. */
function verifyCopy(directory: string, access: VaultAccess, context: Context): OpenedBackup | undefined {
  if (access.key === undefined) return undefined
  try {
    const backup = readBackup(directory, context.host)
    try {
      return openBackup(backup, access.key, access.store)
    } finally {
      backup.close()
    }
  } catch (error) {
    if (error instanceof VaultError && error.code === 'WRONG_KEY') {
      access.warn(`the copy was not verified: the key at hand is not that of the vault`)
      return undefined
    }
    removeSet(directory)
    throw error
  }
}

interface Report {
  readonly options: BackupOptions
  readonly context: Context
  readonly directory: string
  readonly isVerified: boolean
}

function report(manifest: BackupManifest, { options, context, directory, isVerified }: Report): void {
  const { files, format, vault_id, gen, seq } = manifest
  const names = { vault: 'the vault', log: 'the log', tokens: 'the token records' }
  const there = (['vault', 'log', 'tokens'] as const).filter((name) => files[name] !== null).map((name) => names[name])
  const list = there.length > 1 ? `${there.slice(0, -1).join(', ')} and ${there.at(-1)}` : there.join('')
  const checked = isVerified ? ', verified with the key' : ', not verified since no key was used'
  createPrinter(context, options).done(
    `backed up ${list} to "${directory}"${checked}; values stay encrypted, and the key is not in it: keep a copy of it elsewhere`,
    { directory, format, vault_id, gen, seq, files, verified: isVerified },
  )
}
