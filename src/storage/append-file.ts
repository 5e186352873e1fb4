/** Writes at the end of a file in place: one positioned write and one fsync, however long the file is. */

import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, lstatSync, openSync, writeSync } from 'node:fs'
import { isSystemError, VaultError } from '../errors.js'
import { describeSystemError, ioError, ownerHints, wrapSystemError } from './io-error.js'
import { readFully, revisionOf } from './read-file.js'
import { type AppendOptions, ConflictError, type Revision } from './store.js'

/** How bytes are appended; `path` is never a symbolic link, its target is. */
export interface AppendFileOptions extends AppendOptions {
  /** What the file is, for messages: `rotation log`. */
  readonly what: string
  /** Called just before the write; throws to keep it from happening. */
  readonly fence: () => void
}

/**
 * Writes bytes at position `at` and cuts off what lies behind them; no byte before `at` is touched.
 *
 * A kill can leave any part of the new bytes over the old tail: whoever reads the file must know a torn tail.
 *
 * @throws {ConflictError} if the file is no longer the expected revision.
 * @throws {VaultError} IO if it failed (what lay behind `at` was put back, as far as the disk let it), DURABILITY if it
 * was written and not confirmed; and what `fence` throws.
 */
export function appendFile(path: string, bytes: Buffer, options: AppendFileOptions): Revision {
  const action = `cannot append to the ${options.what} "${path}"`
  const fd = openExpected(path, options.expected, action)
  try {
    const { at, expected } = options
    if (!Number.isSafeInteger(at) || at < 0 || at > expected.size) {
      throw new VaultError('INTERNAL', `${action}: the position lies outside of the file`)
    }
    const tail = readFully(fd, at, expected.size - at)
    options.fence()
    assertUnchanged(path, expected)
    writeOrRestore(fd, { bytes, tail, at, action })
    confirmBytes(fd, path, options.what)
    return revisionOf(fstatSync(fd, { bigint: true }))
  } catch (error) {
    throw wrapSystemError(action, error)
  } finally {
    closeSync(fd)
  }
}

function openExpected(path: string, expected: Revision, action: string): number {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ELOOP')) throw new ConflictError(`"${path}" was replaced meanwhile`)
    throw ioError(action, error, ownerHints(path, error))
  }
  const stats = fstatSync(fd, { bigint: true })
  if (stats.isFile() && revisionOf(stats).id === expected.id) return fd
  closeSync(fd)
  throw new ConflictError(`"${path}" was written by another program meanwhile`)
}

/** The descriptor still shows the expected file; the name may mean another one by now. */
function assertUnchanged(path: string, expected: Revision): void {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (!stats || revisionOf(stats).id !== expected.id) {
    throw new ConflictError(`"${path}" was written by another program meanwhile`)
  }
}

interface Write {
  readonly bytes: Buffer
  /** What lay behind `at` before. */
  readonly tail: Buffer
  readonly at: number
  readonly action: string
}

function writeOrRestore(fd: number, { bytes, tail, at, action }: Write): void {
  try {
    writeFully(fd, bytes, at)
    if (bytes.length < tail.length) ftruncateSync(fd, at + bytes.length)
  } catch (error) {
    throw ioError(
      action,
      error,
      restore(fd, tail, at) ? [] : ['its last line is torn: the next command that writes mends it'],
    )
  }
}

function restore(fd: number, tail: Buffer, at: number): boolean {
  try {
    writeFully(fd, tail, at)
    ftruncateSync(fd, at + tail.length)
    return true
  } catch {
    return false
  }
}

function writeFully(fd: number, bytes: Buffer, position: number): void {
  let written = 0
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

function confirmBytes(fd: number, path: string, what: string): void {
  try {
    fsyncSync(fd)
  } catch (error) {
    // A second fsync would report success for pages that the first one has already given up.
    const reason = describeSystemError(error)
    throw new VaultError(
      'DURABILITY',
      `cannot confirm that the ${what} "${path}" will outlive a power cut, though it was written: ${reason}`,
      { cause: error },
    )
  }
}
