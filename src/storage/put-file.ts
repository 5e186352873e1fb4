/** Writes a private file in one step, over whatever file has the name. */

import { lstatSync, renameSync } from 'node:fs'
import { VaultError } from '../errors.js'
import { wrapSystemError } from './io-error.js'
import { confirmNames } from './replace-file.js'
import { followLinks } from './resolve-target.js'
import { readBack, removeQuietly, sweepOldTempFiles, tempPath, writeTempFile } from './temp-file.js'

/**
 * Creates or replaces a file, whole or not at all, durably and with mode 0600 whatever mode it had. A symbolic link is
 * followed; its target is replaced.
 *
 * @throws {VaultError} INPUT if something other than a file has the name, IO if nothing changed, DURABILITY if it is
 * there and may be gone after a power cut.
 */
export function putPrivateFile(
  path: string,
  bytes: Buffer,
  { what, randomBytes }: { readonly what: string; readonly randomBytes: (length: number) => Buffer },
): void {
  const target = followLinks(path)
  const action = `cannot write the ${what} "${path}"`
  const temp = tempPath(target, randomBytes)
  try {
    const found = lstatSync(target, { throwIfNoEntry: false })
    if (found && !found.isFile()) throw new VaultError('INPUT', `${action}: it is not a regular file`)
    // What a killed process left may hold the same secret.
    sweepOldTempFiles([target], Date.now())
    writeTempFile(temp, bytes, { action })
    readBack(temp, bytes, { action })
    renameSync(temp, target)
  } catch (error) {
    removeQuietly(temp)
    throw wrapSystemError(action, error)
  }
  confirmNames(target, what)
}
