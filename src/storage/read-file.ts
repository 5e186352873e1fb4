/** Reads files that others may be writing, replacing or misusing at the same time. */

import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { isSystemError, VaultError } from '../errors.js'
import { ownerHints, wrapSystemError } from './io-error.js'
import type { Reader, Revision, Snapshot } from './store.js'
import { shellWord } from '../shell-word.js'

/** The process that reads and writes, as far as storage needs to know it. */
export interface StorageHost {
  readonly pid: number
  readonly platform: string
  /** Effective user id; -1 on platforms that have none, where modes mean nothing and are not checked. */
  readonly uid: number
}

/** How a file is read. */
export interface ReadOptions {
  /** What the file is, for messages: `vault`. */
  readonly what: string
  /** Nothing longer is read; unlimited when undefined. */
  readonly maxBytes?: number | undefined
  /** Told when others can read the file; nobody is told when it is undefined. */
  readonly warn?: ((text: string) => void) | undefined
  readonly host: StorageHost
}

// A writer that keeps changing a file in place gets this many chances to finish.
const MOST_ATTEMPTS = 16

/**
 * Reads a regular file whole and in one state; undefined when it or its directory does not exist.
 *
 * Symbolic links are followed. A mode that lets other users write is refused: the world's write bit, or the group's
 * unless group and owner have the same number (a user private group, where a umask of 002 is usual). The owner is
 * trusted. A mode that lets others read is only warned of.
 *
 * @throws {VaultError} UNSAFE if others can write it, INPUT if it is no regular file or over `maxBytes`, IO.
 */
export function readFileChecked(path: string, options: ReadOptions): Snapshot | undefined {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const file = openChecked(path, options)
    if (!file) return undefined
    try {
      const bytes = readFully(file.fd, 0, file.revision.size)
      const after = revisionOf(fstatSync(file.fd, { bigint: true }))
      if (after.id === file.revision.id && bytes.length === after.size) return { bytes, revision: after }
    } catch (error) {
      throw asReadError(error, path, options.what)
    } finally {
      closeSync(file.fd)
    }
  }
  throw new VaultError('IO', `cannot read the ${options.what} "${path}": another program keeps changing it`)
}

/**
 * Reads a pipe to its end, as `<(command)` of a shell hands one over; undefined if the path is none. It can be read once.
 * A FIFO that lies in a folder is none: nobody may ever write it, and cron would wait for ever.
 *
 * @throws {VaultError} UNSAFE if others can write it, INPUT if more than `maxBytes` come, IO.
 */
export function readPipeChecked(
  path: string,
  options: ReadOptions & { readonly maxBytes: number },
): Buffer | undefined {
  const { what, maxBytes } = options
  if (!isPipe(path)) return undefined
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY)
    checkMode(fstatSync(fd, { bigint: true }), path, options)
    const bytes = Buffer.allocUnsafeSlow(maxBytes + 1)
    let length = 0
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, null)
    }
    if (length <= maxBytes) return bytes.subarray(0, length)
    throw new VaultError('INPUT', `cannot read the ${what} "${path}": it is larger than ${maxBytes} bytes`)
  } catch (error) {
    throw asReadError(error, path, what)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Where shells name the descriptors that they have open. */
const DESCRIPTOR = /^\/(?:dev|proc\/(?:self|\d+))\/fd\/\d+$/

function isPipe(path: string): boolean {
  try {
    return DESCRIPTOR.test(path) && statSync(path).isFIFO()
  } catch {
    // Whoever reads it as a file says why it cannot be.
    return false
  }
}

/** Opens a regular file for reading by position; undefined and failures as with {@link readFileChecked}. */
export function openFileChecked(path: string, options: ReadOptions): Reader | undefined {
  const file = openChecked(path, options)
  if (!file) return undefined
  const { fd, revision } = file
  return {
    revision,
    size: revision.size,
    read(position, length) {
      try {
        return readFully(fd, position, Math.max(0, Math.min(length, revision.size - position)))
      } catch (error) {
        throw asReadError(error, path, options.what)
      }
    },
    close() {
      closeSync(fd)
    },
  }
}

/** Tells whether a file is in the state that was read; it is looked at, and refused, as {@link openFileChecked} does. */
export function isFileAt(path: string, revision: Revision, options: ReadOptions): boolean {
  try {
    const stats = statSync(path, { bigint: true })
    checkStats(stats, path, options)
    checkMode(stats, path, options)
    return revisionOf(stats).id === revision.id
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw asReadError(error, path, options.what)
  }
}

/** Names the state of a file: device, inode, size and time of the last write in nanoseconds. */
export function revisionOf(stats: BigIntStats): Revision {
  return { id: `${stats.dev}-${stats.ino}-${stats.size}-${stats.mtimeNs}`, size: Number(stats.size) }
}

/** Reads up to `length` bytes at a position; fewer only at the end of the file. */
export function readFully(fd: number, position: number, length: number): Buffer {
  // A buffer of its own, never a slice of the shared pool: what it holds may be a key, and its owner may wipe it.
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, position + filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

function openChecked(path: string, options: ReadOptions): { fd: number; revision: Revision } | undefined {
  let fd: number | undefined
  try {
    // Before opening, since opening some devices acts on them; after it, since the name may mean another file by then.
    checkStats(statSync(path, { bigint: true }), path, options)
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    const stats = fstatSync(fd, { bigint: true })
    checkStats(stats, path, options)
    checkMode(stats, path, options)
    return { fd, revision: revisionOf(stats) }
  } catch (error) {
    if (fd !== undefined) closeSync(fd)
    if (isSystemError(error, 'ENOENT')) return undefined
    throw asReadError(error, path, options.what)
  }
}

function checkStats(stats: BigIntStats, path: string, { what, maxBytes }: ReadOptions): void {
  if (!stats.isFile()) {
    throw new VaultError('INPUT', `cannot read the ${what} "${path}": it is ${describeKind(stats)}, not a regular file`)
  }
  if (maxBytes !== undefined && stats.size > BigInt(maxBytes)) {
    throw new VaultError('INPUT', `cannot read the ${what} "${path}": it is larger than ${maxBytes} bytes`)
  }
}

function describeKind(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  return stats.isSocket() ? 'a socket' : 'a device'
}

function checkMode(stats: BigIntStats, path: string, { what, warn, host }: ReadOptions): void {
  if (host.uid < 0) return
  const foreign = othersMode(stats)
  if (foreign & 0o022n) {
    throw new VaultError('UNSAFE', `cannot use the ${what} "${path}": other users can write it`, {
      hints: [`chmod go-w ${shellWord(path)}`],
    })
  }
  if (foreign & 0o044n) warn?.(`other users can read the ${what} "${path}": chmod 600 ${shellWord(path)}`)
}

/** Gives the mode bits that let other users in. Where a user has a group of their own, the group's bits let nobody in. */
export function othersMode(stats: Pick<BigIntStats, 'mode' | 'uid' | 'gid'>): bigint {
  return stats.mode & (stats.gid === stats.uid ? 0o007n : 0o077n)
}

function asReadError(error: unknown, path: string, what: string): unknown {
  if (isSystemError(error, 'ENXIO')) {
    return new VaultError('INPUT', `cannot read the ${what} "${path}": it is a socket or device, not a regular file`)
  }
  return wrapSystemError(`cannot read the ${what} "${path}"`, error, ownerHints(path, error))
}
