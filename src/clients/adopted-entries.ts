/**
 * What `adopt` keeps for `--undo`: `mcp_adopted.jsonl` beside the vault, one JSON object a line, appended only. An entry
 * holds references to credentials in the place of secrets, never a value: docs/file-format.md has the members.
 */

import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { appendFile } from '../storage/append-file.js'
import { createPrivateFile } from '../storage/create-file.js'
import { readFileChecked } from '../storage/read-file.js'
import { followLinks } from '../storage/resolve-target.js'
import { ConflictError } from '../storage/store.js'
import type { ConfigPath } from './config-text.js'
import type { ReplaceTextAccess } from './replace-text-file.js'
import type { ReversalStep } from './reversal.js'

/** An entry of a config that was adopted. */
export interface AdoptedEntry {
  readonly v: 1
  /** 16 hex digits. */
  readonly id: string
  readonly adopted_at: string
  /** The real path of the config. */
  readonly file: string
  readonly client: string | null
  readonly server: string
  readonly path: ConfigPath
  readonly credentials: readonly { readonly name: string; readonly version: number }[]
  readonly regions: readonly AdoptedRegion[]
  /** The gateway's server that the entry connects to. */
  readonly gateway?: AdoptedServer
}

/** A server of the gateway's configuration that came from a client's. */
export interface AdoptedServer {
  /** The real path of the configuration. */
  readonly file: string
  readonly server: string
  /** SHA-256 of its text there, hex. */
  readonly sha256: string
  /** Whether it came with an adopted entry; false for one that was there already. */
  readonly added: boolean
}

/** A part of an adopted entry's text: what it is known again by, and the way back. */
export interface AdoptedRegion {
  readonly key: string
  /** SHA-256 of the adopted text, hex. */
  readonly sha256: string
  readonly steps: readonly ReversalStep[]
}

interface UndoneEntry {
  readonly v: 1
  readonly undone: string
  readonly undone_at: string
}

const WHAT = 'list of adopted entries'
const MAX_BYTES = 64 * 1024 * 1024
/** Another process may append at the same moment. */
const ATTEMPTS = 20

/** Where the entries of a vault are kept. */
export function adoptedPath(vaultPath: string): string {
  return join(dirname(followLinks(vaultPath)), 'mcp_adopted.jsonl')
}

/**
 * Lists the entries that were adopted and not put back, oldest first.
 *
 * @throws {VaultError} DAMAGED naming the line that cannot be read, UNSAFE if other users can write the file, IO.
 */
export function readAdopted(path: string, { host }: Pick<ReplaceTextAccess, 'host'>): readonly AdoptedEntry[] {
  const file = readFileChecked(path, { what: WHAT, maxBytes: MAX_BYTES, host })
  const entries = new Map<string, AdoptedEntry>()
  const lines = (file?.bytes.toString('utf8') ?? '').split('\n')
  // What is behind the last line feed is a line that a killed process has begun.
  for (const [index, line] of lines.slice(0, -1).entries()) {
    const record = parseLine(line, { path, number: index + 1 })
    if ('undone' in record) entries.delete(record.undone)
    else entries.set(record.id, record)
  }
  return [...entries.values()]
}

function parseLine(
  line: string,
  { path, number }: { readonly path: string; readonly number: number },
): AdoptedEntry | UndoneEntry {
  const damaged = (): VaultError =>
    new VaultError('DAMAGED', `cannot read the ${WHAT} "${path}": line ${number} is damaged`)
  let record: unknown
  try {
    record = JSON.parse(line)
  } catch {
    throw damaged()
  }
  if (typeof record !== 'object' || record === null || !('v' in record)) throw damaged()
  if (record.v !== 1) {
    throw new VaultError('DAMAGED', `cannot read the ${WHAT} "${path}": line ${number} is of a newer mcpvault`)
  }
  if ('undone' in record && typeof record.undone === 'string') return record as UndoneEntry
  const isEntry = 'id' in record && typeof record.id === 'string' && 'file' in record && typeof record.file === 'string'
  if (!isEntry || !('regions' in record) || !Array.isArray(record.regions)) throw damaged()
  return record as unknown as AdoptedEntry
}

/**
 * Appends records, durably; a line that a killed process has left torn is cut off.
 *
 * @throws {VaultError} IO, UNSAFE or DURABILITY; LOCKED if other processes keep appending.
 */
export function appendAdopted(
  path: string,
  records: readonly (AdoptedEntry | UndoneEntry)[],
  access: ReplaceTextAccess,
): void {
  const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      const file = readFileChecked(path, { what: WHAT, maxBytes: MAX_BYTES, host: access.host })
      if (file === undefined) createPrivateFile(path, bytes, { randomBytes: access.randomBytes })
      else {
        const at = file.bytes.lastIndexOf(0x0a) + 1
        appendFile(followLinks(path), bytes, { what: WHAT, expected: file.revision, at, fence: () => {} })
      }
      return
    } catch (error) {
      const isRace = error instanceof ConflictError || (error instanceof VaultError && error.code === 'EXISTS')
      if (!isRace) throw error
    }
  }
  throw new VaultError('LOCKED', `cannot append to the ${WHAT} "${path}": other programs keep writing it`)
}
