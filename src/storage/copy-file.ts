/** Copies documents into files of their own: new, private, durable, and read back. */

import { createHash } from 'node:crypto'
import { closeSync, constants, fchmodSync, fsyncSync, mkdirSync, openSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { ensurePrivateDirectory } from './create-file.js'
import { ioError, wrapSystemError } from './io-error.js'
import { openFileChecked, type StorageHost } from './read-file.js'
import type { Reader } from './store.js'
import { removeQuietly, syncDirectory } from './temp-file.js'

/** What a file holds, for whoever wants to know whether it still does. */
export interface FileSum {
  /** Bytes. */
  readonly size: number
  /** SHA-256, hex. */
  readonly sha256: string
}

const BLOCK_BYTES = 1024 * 1024

/** Sums up an open document, however long it is. */
export function sumReader(reader: Reader): FileSum {
  const hash = createHash('sha256')
  for (const block of blocksOf(reader)) hash.update(block)
  return { size: reader.size, sha256: hash.digest('hex') }
}

/**
 * Copies an open document to a file that must not exist, mode 0600, syncs it and reads it back. Its name is durable once
 * the directory has been synced.
 *
 * @throws {VaultError} IO; nothing is left then.
 */
export function copyToNewFile(reader: Reader, path: string, { host }: { readonly host: StorageHost }): FileSum {
  const action = `cannot copy to "${path}"`
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    try {
      fchmodSync(fd, 0o600)
      for (const block of blocksOf(reader)) writeFileSync(fd, block)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    return compareCopy(reader, path, host)
  } catch (error) {
    removeQuietly(path)
    throw wrapSystemError(action, error)
  }
}

function compareCopy(reader: Reader, path: string, host: StorageHost): FileSum {
  const copy = openFileChecked(path, { what: basename(path), host })
  const sum = sumReader(reader)
  try {
    const found = copy && sumReader(copy)
    if (found?.size === sum.size && found.sha256 === sum.sha256) return sum
  } finally {
    copy?.close()
  }
  throw new VaultError('IO', `cannot copy to "${path}": the copy is not the same as what was copied`)
}

/**
 * Makes a directory that must not exist, mode 0700.
 *
 * @throws {VaultError} EXISTS if something has that name, IO.
 */
export function createPrivateDirectory(path: string): void {
  ensurePrivateDirectory(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
    syncDirectory(dirname(path))
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) {
      throw new VaultError('EXISTS', `cannot create the directory "${path}": it exists already`, { cause: error })
    }
    throw ioError(`cannot create the directory "${path}"`, error)
  }
}

/** Removes files and the directory that they lie in, unless something else lies in it, too. */
export function removeDirectoryQuietly(path: string, files: readonly string[]): void {
  for (const file of files) removeQuietly(file)
  try {
    rmdirSync(path)
  } catch {
    // It is somebody's by now.
  }
}

function* blocksOf(reader: Reader): Generator<Buffer> {
  for (let at = 0; at < reader.size; at += BLOCK_BYTES) {
    const block = reader.read(at, Math.min(BLOCK_BYTES, reader.size - at))
    if (block.length < Math.min(BLOCK_BYTES, reader.size - at)) {
      throw new VaultError('IO', 'a document became shorter while it was read')
    }
    yield block
  }
}
