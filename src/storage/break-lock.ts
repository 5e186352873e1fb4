/** Breaking a lock: it is renamed aside, read once more, and put back if it is not the one that was judged. */

import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, linkSync, openSync, renameSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isSystemError } from '../errors.js'
import { ioError } from './io-error.js'
import { readFully } from './read-file.js'
import { removeQuietly, tempPath } from './temp-file.js'

/** A lock file as found. */
export interface Found {
  readonly text: string
  readonly inode: bigint
  /** When it was published: `link()` is the last thing that changed its inode. */
  readonly sinceMs: number
}

const LARGEST_RECORD = 4096

/**
 * Names the file by which a process claims to be the one that breaks a lock. Each lock has another one: whoever judged an
 * earlier lock claims nothing of a later one. It is spelled as a temporary file, so that the next holder sweeps it.
 */
export function breakClaimPath(path: string, { text }: Found): string {
  const digest = createHash('sha256').update(text).digest('hex')
  return join(dirname(path), `.${basename(path)}.tmp-${digest.slice(0, 16)}`)
}

/**
 * Renames a lock aside, reads it once more, and removes it only if it is the one that was judged.
 *
 * @throws {VaultError} IO if it cannot be moved.
 */
export function moveAside(path: string, judged: Found, randomBytes: (length: number) => Buffer): boolean {
  const aside = tempPath(path, randomBytes)
  try {
    renameSync(path, aside)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw ioError(`cannot break the lock "${path}"`, error)
  }
  const moved = findLock(aside)
  const isJudged = typeof moved === 'object' && isSame(moved, judged)
  // Another breaker was faster and a live process has the lock: this is its record, and it gets it back.
  if (!isJudged) putBack(aside, path)
  removeQuietly(aside)
  return isJudged
}

/** Tells whether two looks found one and the same lock. */
export function isSame(a: Found, b: Found): boolean {
  return a.text === b.text && a.inode === b.inode
}

function putBack(aside: string, path: string): void {
  try {
    linkSync(aside, path)
  } catch {
    // A third process has taken the lock: the one moved aside is lost, and its holder refuses at the fence.
  }
}

/** Reads a lock file as it is. */
export function findLock(path: string): Found | 'absent' | 'unreadable' {
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
    const stats = fstatSync(fd, { bigint: true })
    if (!stats.isFile()) return 'unreadable'
    const text = readFully(fd, 0, LARGEST_RECORD).toString('utf8')
    return { text, inode: stats.ino, sinceMs: Number(stats.ctimeMs) }
  } catch (error) {
    return isSystemError(error, 'ENOENT') ? 'absent' : 'unreadable'
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
