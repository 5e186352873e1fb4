/** Finds the file that a path means. */

import { lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { isSystemError } from '../errors.js'

/** Follows symbolic links as {@link resolveTarget} does; where that fails, whoever opens the path says why. */
export function followLinks(path: string): string {
  try {
    return resolveTarget(path)
  } catch {
    return resolve(path)
  }
}

/** Where the generation before of a document is kept: beside the file itself, not beside a link to it. */
export function backupPath(path: string): string {
  return `${followLinks(path)}.bak`
}

/**
 * Follows symbolic links to the file that a path means, whether or not that file exists. Throws system errors as they are.
 */
export function resolveTarget(path: string): string {
  let current = resolve(path)
  // Linux follows 40 links at most; here the last of a chain may dangle, which realpath does not answer.
  for (let followed = 0; followed < 40; followed++) {
    try {
      return realpathSync.native(current)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
    const directory = resolveDirectory(dirname(current))
    current = join(directory, basename(current))
    if (!lstatSync(current, { throwIfNoEntry: false })?.isSymbolicLink()) return current
    current = resolve(directory, readlinkSync(current))
  }
  return realpathSync.native(current)
}

function resolveDirectory(directory: string): string {
  try {
    return realpathSync.native(directory)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return directory
    throw error
  }
}
