/**
 * `manifest.json` of a backup: what lies in its directory, so that a part that is missing, cut or changed is noticed
 * before anything is put back. docs/file-format.md has the layout.
 */

import { isUtf8 } from 'node:buffer'
import { sha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import type { FileSum } from '../storage/copy-file.js'
import type { DocumentName } from '../storage/store.js'
import { formatUtc, parseTimestamp } from '../timestamp.js'
import type { VaultFormat } from '../vault/vault.js'

/** What each document is called in a backup, wherever it lay. */
export const BACKUP_NAMES = {
  vault: 'mcp_credentials.enc',
  log: 'rotation_log.json',
  tokens: 'mcp_tokens.jsonl',
} as const satisfies Readonly<Record<DocumentName, string>>

/** The name of the manifest itself; it is written last, so a directory without it is no backup. */
export const MANIFEST_NAME = 'manifest.json'

/** How far the vault of a set had come; read without a key, so it proves nothing. */
export interface BackedUpState {
  /** Null when the vault could not be read: then the files are kept, and cannot be put back. */
  readonly format: VaultFormat | null
  readonly vault_id: string | null
  readonly gen: number | null
  /** Number of the last log record that the vault has committed; in the tutorial format the log's last. */
  readonly seq: number | null
}

/** What lies in a backup. Members are in file order. */
export interface BackupManifest extends BackedUpState {
  readonly mcpvault_backup: 1
  /** UTC with milliseconds. */
  readonly created: string
  readonly files: Readonly<Record<DocumentName, FileSum | null>>
}

const DOCUMENTS: readonly DocumentName[] = ['vault', 'log', 'tokens']

/** Prints a manifest, a member a line; the last one is the SHA-256 of the others as JSON without white space. */
export function formatManifest(manifest: BackupManifest): Buffer {
  const { created, format, vault_id, gen, seq, files } = manifest
  const listed = DOCUMENTS.map((name) => {
    const file = files[name]
    return [name, file && { name: BACKUP_NAMES[name], size: file.size, sha256: file.sha256 }]
  })
  const ordered = { mcpvault_backup: 1, created, format, vault_id, gen, seq, files: Object.fromEntries(listed) }
  const sum = sha256(JSON.stringify(ordered)).toString('hex')
  return Buffer.from(`${JSON.stringify({ ...ordered, sha256: sum }, null, 2)}\n`)
}

/**
 * Reads a manifest; every byte that mcpvault would not have written is damage.
 *
 * @throws {VaultError} DAMAGED
 */
export function parseManifest(bytes: Buffer): BackupManifest {
  const manifest = rebuild(parseObject(bytes))
  if (manifest !== undefined && formatManifest(manifest).equals(bytes)) return manifest
  throw new VaultError('DAMAGED', `"${MANIFEST_NAME}" is not what mcpvault wrote`)
}

function rebuild(value: Readonly<Record<string, unknown>> | undefined): BackupManifest | undefined {
  if (value?.mcpvault_backup !== 1) return undefined
  const { created, format, vault_id, gen, seq } = value
  const files = asObject(value.files)
  const time = parseTimestamp(created)
  const isKnown =
    typeof created === 'string' &&
    time !== undefined &&
    formatUtc(time.epochMs) === created &&
    (format === 'native' || format === 'tutorial' || format === null) &&
    (vault_id === null || typeof vault_id === 'string') &&
    (gen === null || isCount(gen)) &&
    (seq === null || isCount(seq)) &&
    files !== undefined
  if (!isKnown) return undefined
  const sums = DOCUMENTS.map((name) => [name, rebuildSum(files[name])] as const)
  if (sums.some(([, sum]) => sum === undefined)) return undefined
  return {
    mcpvault_backup: 1,
    created,
    format,
    vault_id,
    gen,
    seq,
    files: Object.fromEntries(sums) as BackupManifest['files'],
  }
}

function rebuildSum(value: unknown): FileSum | null | undefined {
  if (value === null) return null
  const { size, sha256: sum } = asObject(value) ?? {}
  return isCount(size) && typeof sum === 'string' && /^[0-9a-f]{64}$/.test(sum) ? { size, sha256: sum } : undefined
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    return isUtf8(bytes) ? asObject(JSON.parse(bytes.toString('utf8'))) : undefined
  } catch {
    return undefined
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
