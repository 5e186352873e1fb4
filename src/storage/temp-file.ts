/** Temporary files beside their targets: made complete, durable and checked before they take a name that counts. */

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { readFully, revisionOf, type StorageHost } from './read-file.js'
import type { Revision } from './store.js'

/** How a temporary file is written. */
export interface TempFileOptions {
  /** What is being done, for messages: `cannot write the vault "FILE"`. */
  readonly action: string
  /** Mode and owner to take over from another file; 0600 and this process' own when undefined. */
  readonly guise?: Guise | undefined
}

/** Owner and mode that a new file takes over from the one that it replaces. */
export interface Guise {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

const NEW_MODE = 0o600
const PERMISSIONS = 0o7777
/** Nobody takes longer to write a file: locks are given up after half of it. */
const OLD_MS = 60_000

/** Names a temporary file beside `path`: `.<name>.tmp-<16 hex digits>`. */
export function tempPath(path: string, randomBytes: (length: number) => Buffer): string {
  return join(dirname(path), `.${basename(path)}.tmp-${randomBytes(8).toString('hex')}`)
}

/**
 * Writes a file that must not exist yet, and syncs it.
 *
 * @throws {VaultError} UNSAFE if mode or owner cannot be taken over, IO if the disk keeps only a part; system errors as
 * they are.
 */
export function writeTempFile(temp: string, bytes: Buffer, options: TempFileOptions): Revision {
  const fd = openSync(temp, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, NEW_MODE)
  try {
    // First of all, so that what cannot be kept is known before a byte is written, and one fsync covers everything.
    takeGuise(fd, options)
    writeFileSync(fd, bytes)
    fsyncSync(fd)
    const stats = fstatSync(fd, { bigint: true })
    // Seen in the wild: a full disk that reports success and keeps a part.
    if (Number(stats.size) !== bytes.length) throw new VaultError('IO', `${options.action}: the disk kept only a part`)
    return revisionOf(stats)
  } finally {
    closeSync(fd)
  }
}

/**
 * Reads a temporary file back through a descriptor of its own.
 *
 * @throws {VaultError} IO if it is not byte for byte what was written.
 */
export function readBack(temp: string, bytes: Buffer, { action }: TempFileOptions): Buffer {
  const fd = openSync(temp, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const found = readFully(fd, 0, bytes.length + 1)
    if (!found.equals(bytes)) throw new VaultError('IO', `${action}: the disk gave back other bytes than were written`)
    return found
  } finally {
    closeSync(fd)
  }
}

/** Makes the names in a directory durable. Throws system errors as they are; never to be retried. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes a file whose remains would do no harm: they are swept at the next lock. */
export function removeQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Gone already, or the disk is beyond help; either way nothing was published.
  }
}

/**
 * Removes what killed processes left beside the given files. Only to be called under the lock: then nobody who keeps to
 * it is writing there, and who waits for the lock writes its record anew.
 */
export function sweepTempFiles(paths: readonly string[]): void {
  for (const path of findTempFiles(paths)) removeQuietly(path)
}

/**
 * Removes what killed processes left beside the given files, where no lock keeps other processes away: only what is too
 * old to be still in use.
 */
export function sweepOldTempFiles(paths: readonly string[], nowMs: number): void {
  for (const path of findTempFiles(paths)) if (isOld(path, nowMs)) removeQuietly(path)
}

function isOld(path: string, nowMs: number): boolean {
  const modifiedMs = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs
  return modifiedMs !== undefined && nowMs - modifiedMs > OLD_MS
}

/** Finds the temporary files beside the given files, whoever made them and whether or not they are still in use. */
export function findTempFiles(paths: readonly string[]): readonly string[] {
  const directories = [...new Set(paths.map((path) => dirname(path)))]
  return directories.flatMap((directory) => {
    const prefixes = paths.filter((path) => dirname(path) === directory).map((path) => `.${basename(path)}.tmp-`)
    const isTemp = (name: string): boolean => {
      const prefix = prefixes.find((candidate) => name.startsWith(candidate))
      return prefix !== undefined && /^[0-9a-f]{16}$/.test(name.slice(prefix.length))
    }
    return listQuietly(directory)
      .filter(isTemp)
      .map((name) => join(directory, name))
  })
}

function listQuietly(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/**
 * What root creates for a file or directory of somebody else belongs to that user, who could not use it otherwise.
 * Undefined for everybody but root, and where nothing is at `path`.
 */
export function guiseBeside(path: string, { uid }: Pick<StorageHost, 'uid'>): Guise | undefined {
  if (uid !== 0) return undefined
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats && { mode: NEW_MODE, uid: stats.uid, gid: stats.gid }
}

function takeGuise(fd: number, { action, guise }: TempFileOptions): void {
  const wanted = guise && { mode: guise.mode & PERMISSIONS, uid: guise.uid, gid: guise.gid }
  try {
    const fresh = fstatSync(fd)
    // The owner first, since changing it clears mode bits.
    if (wanted && (fresh.uid !== wanted.uid || fresh.gid !== wanted.gid)) fchownSync(fd, wanted.uid, wanted.gid)
    const mode = wanted?.mode ?? NEW_MODE
    if ((fresh.mode & PERMISSIONS) !== mode) fchmodSync(fd, mode)
    if (!wanted || isWorn(fstatSync(fd), wanted)) return
  } catch (error) {
    if (!wanted) throw error
  }
  const kept = `mode ${wanted.mode.toString(8)} and owner ${wanted.uid}:${wanted.gid}`
  throw new VaultError('UNSAFE', `${action}: its ${kept} cannot be kept`, {
    hints: [`run the command as the user with the id ${wanted.uid}`],
  })
}

function isWorn(stats: Stats, guise: Guise): boolean {
  return (stats.mode & PERMISSIONS) === guise.mode && stats.uid === guise.uid && stats.gid === guise.gid
}
