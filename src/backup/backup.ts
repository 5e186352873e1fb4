/**
 * Backups: vault, log and token records as one consistent set in a directory of its own, and the way back.
 *
 * `backup.ts` copies a set under the lock; `read-backup.ts` takes one in and refuses what is not whole; `restore.ts` puts
 * one back, vault last, so that a kill leaves the old set, the new one, or one that the next command refuses. Values stay
 * encrypted all the way, and the key is never a part of a set.
 *
 * @module
 */

import { join } from 'node:path'
import { VaultError } from '../errors.js'
import { readTail } from '../log/read.js'
import { copyToNewFile, createPrivateDirectory, type FileSum, removeDirectoryQuietly } from '../storage/copy-file.js'
import { createPrivateFile } from '../storage/create-file.js'
import type { StorageHost } from '../storage/read-file.js'
import { ConflictError, type DocumentName, type Reader, type Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { runChange } from '../vault/change.js'
import { NativeVault } from '../vault/native-vault.js'
import { parseVault, readVault } from '../vault/open.js'
import { undoLayout } from '../vault/relaid.js'
import type { VaultAccess } from '../vault/vault.js'
import { BACKUP_NAMES, type BackedUpState, type BackupManifest, formatManifest, MANIFEST_NAME } from './manifest.js'

const DOCUMENTS: readonly DocumentName[] = ['vault', 'log', 'tokens']
const UNREADABLE: BackedUpState = { format: null, vault_id: null, gen: null, seq: null }

/** Where a set is copied to. */
export interface CopyOptions {
  /** Must not exist; gets the mode 0700, each file in it 0600. */
  readonly directory: string
  readonly host: StorageHost
}

/**
 * Copies vault, log and token records as they stand at one moment. Needs no key.
 *
 * @throws {VaultError} NOT_FOUND if there is no vault, DAMAGED if it is none, EXISTS if the directory is there, and
 * LOCKED, IO, UNSAFE, INPUT; nothing is left then.
 */
export async function createBackup(access: VaultAccess, options: CopyOptions): Promise<BackupManifest> {
  return runChange(access, 'backup', (transaction) => {
    const { bytes } = readVault(transaction, access.store.locate('vault'))
    describeVault(bytes, transaction)
    return copySet(access, transaction, options)
  })
}

/**
 * Copies whatever there is of a set under a lock that is held already, readable or not.
 *
 * @throws {ConflictError} if a program that takes no lock wrote meanwhile; nothing is left then.
 * @throws {VaultError} as {@link createBackup}, but for a vault that is missing or damaged.
 */
export function copySet(access: VaultAccess, transaction: Transaction, options: CopyOptions): BackupManifest {
  const { directory } = options
  createPrivateDirectory(directory)
  try {
    return fillDirectory(access, transaction, options)
  } catch (error) {
    removeSet(directory)
    throw error
  }
}

/** Removes a set and its directory. */
export function removeSet(directory: string): void {
  const names = [...Object.values(BACKUP_NAMES), MANIFEST_NAME]
  removeDirectoryQuietly(
    directory,
    names.map((name) => join(directory, name)),
  )
}

function fillDirectory(
  access: VaultAccess,
  transaction: Transaction,
  { directory, host }: CopyOptions,
): BackupManifest {
  const before = revisionsOf(transaction)
  const files = Object.fromEntries(
    DOCUMENTS.map((name) => [
      name,
      withReader(
        transaction,
        name,
        (reader) => reader && copyToNewFile(reader, join(directory, BACKUP_NAMES[name]), { host }),
      ) ?? null,
    ]),
  ) as Record<DocumentName, FileSum | null>
  const vault = transaction.read('vault')
  const state = vault === undefined ? UNREADABLE : describeQuietly(vault.bytes, transaction)
  if (revisionsOf(transaction) !== before) throw new ConflictError('the set was written while it was copied')
  const manifest: BackupManifest = { mcpvault_backup: 1, created: formatUtc(access.now()), ...state, files }
  createPrivateFile(join(directory, MANIFEST_NAME), formatManifest(manifest), {
    randomBytes: (length) => access.randomBytes(length),
  })
  return manifest
}

function revisionsOf(transaction: Transaction): string {
  return DOCUMENTS.map((name) => withReader(transaction, name, (reader) => reader?.revision.id ?? '-')).join(' ')
}

function describeQuietly(bytes: Buffer, transaction: Transaction): BackedUpState {
  try {
    return describeVault(bytes, transaction)
  } catch (error) {
    if (error instanceof VaultError && error.code === 'DAMAGED') return UNREADABLE
    throw error
  }
}

/** Reads how far a vault has come, unverified. @throws {VaultError} DAMAGED */
function describeVault(bytes: Buffer, transaction: Transaction): BackedUpState {
  const vault = parseVault(undoLayout(bytes) ?? bytes, undefined)
  if (vault instanceof NativeVault) {
    const { gen, log } = vault.parts.header
    return { format: 'native', vault_id: vault.id, gen, seq: log.seq }
  }
  const seq = withReader(transaction, 'log', (reader) => (reader ? readTail(reader).lastSeq : 0))
  return { format: 'tutorial', vault_id: null, gen: null, seq }
}

function withReader<T>(transaction: Transaction, name: DocumentName, use: (reader: Reader | undefined) => T): T {
  const reader = transaction.open(name)
  try {
    return use(reader)
  } finally {
    reader?.close()
  }
}
