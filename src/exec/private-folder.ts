/**
 * Values as files for one program: a directory of mode 0700 with files of mode 0600, removed when the program has ended.
 *
 * The directory holds the record of its owner, as a lock does, written before any value: what a killed process has left
 * is swept by the next one.
 */

import {
  closeSync,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { ioError } from '../storage/io-error.js'
import { describeSelf, formatOwner, isProvablyDead, parseOwner } from '../storage/owner.js'
import { findPlace } from '../storage/process-table.js'
import { readFileChecked, type StorageHost } from '../storage/read-file.js'

/** What the directory needs of the world. */
export interface FolderWorld {
  readonly host: StorageHost
  readonly env: Readonly<Record<string, string | undefined>>
  readonly randomBytes: (length: number) => Buffer
}

/** A directory for this process' values. */
export interface PrivateFolder {
  readonly path: string
  /** Writes a file and gives its path. @throws {VaultError} IO */
  add(name: string, bytes: Buffer): string
  /** Removes everything; throws system errors as they are. */
  remove(): void
}

const PREFIX = 'mcpvault-exec-'
/** No variable has a dot in its name. */
const OWNER_NAME = '.owner'
const OWNER_BYTES = 4096
/** Between making the directory and writing the owner's record nobody takes as long. */
const YOUNG_MS = 60_000

/**
 * Makes a directory: in XDG_RUNTIME_DIR where there is one, which lies in memory and is the user's alone, else in the
 * temporary directory.
 *
 * @throws {VaultError} IO, UNSAFE if owners cannot be told apart here
 */
export function createPrivateFolder({ host, env, randomBytes }: FolderWorld): PrivateFolder {
  const base = basesOf(env).find((path) => isUsable(path, host)) ?? '/tmp'
  const path = join(base, PREFIX + randomBytes(8).toString('hex'))
  const owner = formatOwner(describeSelf(host, randomBytes(16).toString('hex'), 'exec'))
  const folder: PrivateFolder = {
    path,
    add(name, bytes) {
      const file = join(path, name)
      writePrivate(file, bytes)
      return file
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  }
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    throw ioError(`cannot create the directory "${path}"`, error)
  }
  try {
    folder.add(OWNER_NAME, Buffer.from(owner))
    return folder
  } catch (error) {
    folder.remove()
    throw error
  }
}

/** Removes what killed processes of this user have left; never throws. */
export function sweepPrivateFolders(world: Pick<FolderWorld, 'host' | 'env'>): void {
  for (const { path, isOwned } of findLeftFolders(world)) {
    try {
      if (isOwned) rmSync(path, { recursive: true, force: true })
      else {
        rmSync(join(path, OWNER_NAME), { force: true })
        rmdirSync(path)
      }
    } catch {
      // Gone meanwhile.
    }
  }
}

/** What a killed process has left. */
export interface LeftFolder {
  readonly path: string
  /** Whether the owner's record was written, and behind it perhaps values. */
  readonly isOwned: boolean
}

/** Finds what killed processes of this user have left; never throws. */
export function findLeftFolders({ host, env }: Pick<FolderWorld, 'host' | 'env'>): readonly LeftFolder[] {
  const paths = [...new Set([...basesOf(env), '/tmp'])].flatMap((base) =>
    listQuietly(base).map((name) => join(base, name)),
  )
  return paths.flatMap((path) => {
    try {
      return inspect(path, host) ?? []
    } catch {
      // Gone meanwhile, or somebody else's after all.
      return []
    }
  })
}

function inspect(path: string, host: StorageHost): LeftFolder | undefined {
  const stats = lstatSync(path)
  if (!stats.isDirectory() || stats.uid !== host.uid) return undefined
  const snapshot = readFileChecked(join(path, OWNER_NAME), { what: 'owner', host, maxBytes: OWNER_BYTES })
  const owner = snapshot && parseOwner(snapshot.bytes.toString('utf8'))
  if (owner !== undefined) {
    return isProvablyDead(owner, findPlace(host), { host, ageMs: 0 }) ? { path, isOwned: true } : undefined
  }
  // Without an owner's record no value was written yet; what is not empty is not ours.
  if (Date.now() - stats.mtimeMs <= YOUNG_MS) return undefined
  return readdirSync(path).every((name) => name === OWNER_NAME) ? { path, isOwned: false } : undefined
}

function listQuietly(base: string): readonly string[] {
  try {
    return readdirSync(base).filter(
      (name) => name.startsWith(PREFIX) && /^[0-9a-f]{16}$/.test(name.slice(PREFIX.length)),
    )
  } catch {
    return []
  }
}

function basesOf({ XDG_RUNTIME_DIR, TMPDIR }: FolderWorld['env']): readonly string[] {
  return [XDG_RUNTIME_DIR, TMPDIR].filter((path): path is string => path !== undefined && isAbsolute(path))
}

/** A directory of our own that nobody else gets into, or one that is anybody's, as /tmp is. */
function isUsable(path: string, { uid }: StorageHost): boolean {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch {
    return false
  }
  if (!stats.isDirectory()) return false
  const isSticky = (stats.mode & 0o1000) !== 0
  return (stats.uid === uid && (stats.mode & 0o022) === 0) || isSticky
}

function writePrivate(path: string, bytes: Buffer): void {
  let fd: number | undefined
  try {
    fd = openSync(path, 'wx', 0o600)
    // A umask may have taken more.
    fchmodSync(fd, 0o600)
    writeFileSync(fd, bytes)
    closeSync(fd)
  } catch (error) {
    if (fd !== undefined) closeQuietly(fd)
    throw ioError(`cannot write "${path}"`, error)
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // Closed already: closing it was what failed.
  }
}
