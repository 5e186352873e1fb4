/** Creates private files and directories, and never overwrites one. */

import { linkSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { describeSystemError, ioError, linkError, wrapSystemError } from './io-error.js'
import { readBack, removeQuietly, sweepOldTempFiles, syncDirectory, tempPath, writeTempFile } from './temp-file.js'

/** What creating a file needs of the world. */
export interface CreateOptions {
  readonly randomBytes: (length: number) => Buffer
  /** Milliseconds since the epoch; `Date.now` when it is not given. */
  readonly now?: () => number
}

/**
 * Creates a file with the mode 0600, whole or not at all, and durably. A symbolic link at `path` counts as a file.
 *
 * @throws {VaultError} EXISTS if something has that name, IO if nothing was created, DURABILITY if the file was created
 * and may be gone after a power cut.
 */
export function createPrivateFile(path: string, bytes: Buffer, { randomBytes, now = Date.now }: CreateOptions): void {
  const action = `cannot create "${path}"`
  const temp = tempPath(path, randomBytes)
  // What a killed process left may hold the same secret.
  sweepOldTempFiles([path], now())
  try {
    writeTempFile(temp, bytes, { action })
    readBack(temp, bytes, { action })
    linkNew(temp, path)
  } catch (error) {
    throw wrapSystemError(action, error)
  } finally {
    removeQuietly(temp)
  }
  try {
    syncDirectory(dirname(path))
  } catch (error) {
    const reason = describeSystemError(error)
    throw new VaultError('DURABILITY', `cannot confirm that "${path}" will outlive a power cut: ${reason}`, {
      cause: error,
    })
  }
}

function linkNew(temp: string, path: string): void {
  try {
    linkSync(temp, path)
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) {
      throw new VaultError('EXISTS', `cannot create "${path}": it exists already`, { cause: error })
    }
    throw linkError(`cannot create "${path}"`, error)
  }
}

/**
 * Makes sure that a directory exists; every directory that it has to create gets the mode 0700, none is ever changed.
 *
 * Gives the outermost directory that was created, or undefined when there was nothing to do.
 *
 * @throws {VaultError} IO
 */
export function ensurePrivateDirectory(path: string): string | undefined {
  const directory = resolve(path)
  const action = `cannot create the directory "${path}"`
  try {
    const created = missingDirectories(directory).filter(makeDirectory)[0]
    if (created !== undefined) syncCreated(directory, created)
    if (!statSync(directory).isDirectory()) throw new VaultError('IO', `${action}: a file has that name`)
    return created
  } catch (error) {
    throw error instanceof VaultError ? error : ioError(action, error)
  }
}

/** Lists what is missing on the way to a directory, outermost first: `mkdir -p` of Node never returns under /proc. */
function missingDirectories(directory: string): readonly string[] {
  const missing: string[] = []
  for (let at = directory; !statSync(at, { throwIfNoEntry: false }); at = dirname(at)) {
    missing.unshift(at)
    if (at === dirname(at)) break
  }
  return missing
}

/** Gives false when somebody else has made it meanwhile. */
function makeDirectory(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 })
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    throw error
  }
}

/** A new directory is durable when the one that holds its name is synced. */
function syncCreated(directory: string, outermost: string): void {
  for (let current = directory; ; current = dirname(current)) {
    syncDirectory(dirname(current))
    if (current === resolve(outermost) || current === dirname(current)) return
  }
}
