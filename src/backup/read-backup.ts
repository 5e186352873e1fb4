import { join } from 'node:path'
import { VaultError } from '../errors.js'
import { verifyLog } from '../log/verify.js'
import { sumReader } from '../storage/copy-file.js'
import { openFileChecked, readFileChecked, type StorageHost } from '../storage/read-file.js'
import type { DocumentName, Reader, Store } from '../storage/store.js'
import { openTokenBytes } from '../tokens/restore.js'
import { checkValues } from '../vault/check.js'
import type { VaultKey } from '../vault/key.js'
import { NativeVault } from '../vault/native-vault.js'
import { parseVault } from '../vault/open.js'
import { undoLayout } from '../vault/relaid.js'
import type { TutorialVault } from '../vault/tutorial-vault.js'
import { MAX_VAULT_BYTES } from '../vault/vault.js'
import { BACKUP_NAMES, type BackupManifest, MANIFEST_NAME, parseManifest } from './manifest.js'

/** A backup whose files are those of its manifest. */
export interface Backup {
  readonly directory: string
  readonly manifest: BackupManifest
  readonly vault: Buffer
  readonly tokens: Buffer | undefined
  /** Open until `close`. */
  readonly log: Reader | undefined
  close(): void
}

/** A backup that was opened with its key. */
export interface OpenedBackup {
  readonly backup: Backup
  readonly vault: NativeVault | TutorialVault
  readonly values: number
  /** What is wrong with it and does not keep it from being put back, for people. */
  readonly warnings: readonly string[]
}

const MAX_MANIFEST_BYTES = 64 * 1024
const MAX_TOKENS_BYTES = 64 * 1024 * 1024

/**
 * Takes a backup in and compares each file with its manifest.
 *
 * @throws {VaultError} NOT_FOUND if there is no backup, DAMAGED naming the file that is missing, cut or changed, and
 * INPUT, UNSAFE, IO.
 */
export function readBackup(directory: string, host: StorageHost): Backup {
  const manifest = readManifest(directory, host)
  const read = (name: DocumentName, maxBytes: number): Buffer | undefined => {
    const reader = openDocument(name, { directory, manifest, host })
    if (reader === undefined) return undefined
    try {
      if (reader.size <= maxBytes) return reader.read(0, reader.size)
    } finally {
      reader.close()
    }
    throw notWhole(directory, `"${BACKUP_NAMES[name]}" is larger than ${maxBytes} bytes`)
  }
  const vault = read('vault', MAX_VAULT_BYTES)
  if (vault === undefined) {
    throw new VaultError('NOT_FOUND', `there is no vault in the backup "${directory}"`)
  }
  const tokens = read('tokens', MAX_TOKENS_BYTES)
  const log = openDocument('log', { directory, manifest, host })
  return { directory, manifest, vault, tokens, log, close: () => log?.close() }
}

/**
 * Opens a backup: the MAC of its vault and every value, what the manifest says of it, its log and its token records.
 *
 * @throws {VaultError} WRONG_KEY, DAMAGED
 */
export function openBackup(backup: Backup, key: VaultKey, store: Store): OpenedBackup {
  const { vault, values, damaged } = openVaultOf(backup, key)
  const { format, vault_id, gen, seq } = backup.manifest
  const header = vault instanceof NativeVault ? vault.parts.header : undefined
  const isSame =
    format === vault.format &&
    (header === undefined || (vault_id === header.vault_id && gen === header.gen && seq === header.log.seq))
  if (!isSame) throw notWhole(backup.directory, `"${MANIFEST_NAME}" describes another vault than lies beside it`)
  const warnings: string[] = []
  if (damaged.length > 0) warnings.push(`damaged in the backup: ${damaged.map((name) => `"${name}"`).join(', ')}`)
  if (!isLogWhole(backup.log, vault)) {
    warnings.push(`the log in the backup does not hold together: mcpvault log verify says more once it is put back`)
  }
  if (backup.tokens !== undefined && openTokenBytes(backup.tokens, { store, keys: vault }) === undefined) {
    warnings.push('the token records in the backup are damaged')
  }
  return { backup, vault, values, warnings }
}

function openVaultOf(backup: Backup, key: VaultKey) {
  try {
    const vault = parseVault(undoLayout(backup.vault) ?? backup.vault, key)
    return { vault, ...checkValues(vault) }
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    if (error.code === 'DAMAGED') throw notWhole(backup.directory, `"${BACKUP_NAMES.vault}": ${error.message}`)
    const message = error.message.replace(/\bthe vault\b/, `the vault in the backup "${backup.directory}"`)
    throw new VaultError(error.code, message, { hints: error.hints })
  }
}

function isLogWhole(log: Reader | undefined, vault: NativeVault | TutorialVault): boolean {
  try {
    return verifyLog(log, vault.logAnchor).problems.length === 0
  } catch (error) {
    if (error instanceof VaultError && error.code === 'DAMAGED') return false
    throw error
  }
}

function readManifest(directory: string, host: StorageHost): BackupManifest {
  const path = join(directory, MANIFEST_NAME)
  const file = readFileChecked(path, { what: 'manifest', maxBytes: MAX_MANIFEST_BYTES, host })
  if (file === undefined) {
    throw new VaultError('NOT_FOUND', `there is no backup in "${directory}": it has no "${MANIFEST_NAME}"`, {
      hints: ['a backup that was cut short has none either; take another one'],
    })
  }
  try {
    return parseManifest(file.bytes)
  } catch (error) {
    throw error instanceof VaultError ? notWhole(directory, error.message) : error
  }
}

function openDocument(
  name: DocumentName,
  {
    directory,
    manifest,
    host,
  }: { readonly directory: string; readonly manifest: BackupManifest; readonly host: StorageHost },
): Reader | undefined {
  const expected = manifest.files[name]
  if (expected === null) return undefined
  const file = BACKUP_NAMES[name]
  const reader = openFileChecked(join(directory, file), { what: 'backup', host })
  if (reader === undefined) throw notWhole(directory, `"${file}" is missing`)
  const found = sumReader(reader)
  if (found.size === expected.size && found.sha256 === expected.sha256) return reader
  reader.close()
  throw notWhole(
    directory,
    `"${file}" is not what was backed up: its ${found.size === expected.size ? 'content' : 'size'} differs`,
  )
}

function notWhole(directory: string, what: string): VaultError {
  return new VaultError('DAMAGED', `cannot use the backup "${directory}": ${what}`, {
    hints: ['nothing was changed; take another backup'],
  })
}
