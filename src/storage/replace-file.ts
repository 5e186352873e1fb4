/**
 * Replaces a file atomically and durably, by the one commit protocol: temporary file, fsync, read back and verify,
 * fence, rename, fsync of the directory.
 */

import { type BigIntStats, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { describeSystemError, ioError, linkError, wrapSystemError } from './io-error.js'
import { revisionOf } from './read-file.js'
import { ConflictError, type ReplaceOptions, type Revision } from './store.js'
import { type Guise, readBack, removeQuietly, syncDirectory, tempPath, writeTempFile } from './temp-file.js'
import { shellWord } from '../shell-word.js'

/** How a file is replaced; `path` is never a symbolic link, its target is. */
export interface ReplaceFileOptions extends ReplaceOptions {
  /** What the file is, for messages: `vault`. */
  readonly what: string
  /** Called just before the rename; throws to keep it from happening. */
  readonly fence: () => void
  readonly randomBytes: (length: number) => Buffer
  /** Mode and owner of a file that is created; 0600 and this process' own when undefined. */
  readonly newGuise?: Guise | undefined
  /** Told when `.bak` cannot be written or deleted, which is no reason not to write the file itself. */
  readonly warn?: (text: string) => void
}

/**
 * Replaces a file, or creates it when `expected` is undefined. Until the rename nothing has changed, and a kill leaves
 * at most a temporary file that {@link sweepTempFiles} removes.
 *
 * @throws {ConflictError} if the file is no longer the expected revision.
 * @throws {VaultError} IO if nothing changed, DURABILITY if it changed and was not confirmed, UNSAFE if mode or owner
 * cannot be kept, EXISTS if `.tutorial.bak` is there; and what `verify` and `fence` throw.
 */
export function replaceFile(path: string, bytes: Buffer, options: ReplaceFileOptions): Revision {
  const action = `cannot write the ${options.what} "${path}"`
  const temp = tempPath(path, options.randomBytes)
  let revision: Revision
  try {
    const replaced = findExpected(path, options.expected)
    revision = writeTempFile(temp, bytes, { action, guise: replaced ? asGuise(replaced) : options.newGuise })
    options.verify(readBack(temp, bytes, { action }))
    const keep = replaced && options.keepPrevious ? linkPrevious(path, options) : undefined
    try {
      options.fence()
      findExpected(path, options.expected)
      const previous = keep?.publish()
      // Synced together with the rename: what is to be gone is never seen behind the version that is without it.
      if (options.dropsPrevious) removePrevious(path, options)
      if (replaced) renameSync(temp, path)
      else publishNew(temp, path)
      if (previous !== undefined) yieldToWriter(path, { previous, revision, options })
    } catch (error) {
      keep?.undo()
      throw error
    }
  } catch (error) {
    removeQuietly(temp)
    throw wrapSystemError(action, error)
  }
  confirmNames(path, options.what)
  return revision
}

/**
 * Syncs the directory of a file whose name has just changed.
 *
 * @throws {VaultError} DURABILITY if the change may be gone after a power cut.
 */
export function confirmNames(path: string, what: string): void {
  try {
    syncDirectory(dirname(path))
  } catch (error) {
    throw new VaultError(
      'DURABILITY',
      `cannot confirm that the ${what} "${path}" will outlive a power cut, though it was written: ${describeSystemError(error)}`,
      { cause: error, hints: ['the new content is in place: look at it before running the command again'] },
    )
  }
}

/** Finds the file in the expected state; undefined when it is expected, and found, not to be there. */
function findExpected(path: string, expected: Revision | undefined): BigIntStats | undefined {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (!stats && !expected) return undefined
  if (!stats || !expected || !stats.isFile() || revisionOf(stats).id !== expected.id) {
    throw new ConflictError(`"${path}" was written by another program meanwhile`)
  }
  return stats
}

function asGuise(stats: BigIntStats): Guise {
  return { mode: Number(stats.mode), uid: Number(stats.uid), gid: Number(stats.gid) }
}

/** Gives a new file its name without ever overwriting: `link()` fails where `rename()` would replace. */
function publishNew(temp: string, path: string): void {
  try {
    linkSync(temp, path)
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) throw new ConflictError(`"${path}" was created by another program meanwhile`)
    throw linkError(`cannot create "${path}"`, error)
  }
  removeQuietly(temp)
}

/**
 * Gives way to a program that does not know the lock and wrote in place between the last look and the rename: its bytes
 * are in what was replaced by then. That takes its name again, unless the new file was written to as well.
 *
 * @throws {ConflictError} if there was one.
 */
function yieldToWriter(
  path: string,
  { previous, revision, options }: { previous: string; revision: Revision; options: ReplaceFileOptions },
): void {
  if (isAt(previous, options.expected)) return
  if (isAt(path, revision)) {
    const temp = tempPath(path, options.randomBytes)
    linkSync(previous, temp)
    renameSync(temp, path)
  }
  throw new ConflictError(`"${path}" was written by another program meanwhile`)
}

function isAt(path: string, revision: Revision | undefined): boolean {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stats !== undefined && revisionOf(stats).id === revision?.id
}

/** A second name for the bytes about to be replaced. */
interface KeptPrevious {
  /** Gives where they are kept; undefined if they cannot be. */
  publish(): string | undefined
  undo(): void
}

function linkPrevious(path: string, options: ReplaceFileOptions): KeptPrevious {
  return options.keepPrevious === '.tutorial.bak' ? linkForEver(path) : linkOneGeneration(path, options)
}

function linkForEver(path: string): KeptPrevious {
  const backup = `${path}.tutorial.bak`
  try {
    linkSync(path, backup)
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw linkError(`cannot keep "${backup}"`, error)
    // A killed upgrade leaves a second name of the very file that is being replaced: that is the backup wanted.
    if (lstatSync(backup, { bigint: true }).ino !== lstatSync(path, { bigint: true }).ino) {
      throw new VaultError('EXISTS', `cannot keep "${backup}": it is there already`, {
        hints: [`mv -i ${shellWord(backup)} ${shellWord(`${backup}.old`)}`],
      })
    }
  }
  return { publish: () => backup, undo: () => removeQuietly(backup) }
}

function linkOneGeneration(path: string, options: ReplaceFileOptions): KeptPrevious {
  const backup = `${path}.bak`
  const temp = tempPath(path, options.randomBytes)
  try {
    linkSync(path, temp)
  } catch (error) {
    throw linkError(`cannot keep "${backup}"`, error)
  }
  return {
    publish() {
      try {
        renameSync(temp, backup)
      } catch (error) {
        options.warn?.(`cannot keep what is replaced as "${backup}": ${describeSystemError(error)}`)
        removeQuietly(temp)
        return undefined
      }
      // rename(2) does nothing where both names are of one file already, which a kill between the renames leaves.
      removeQuietly(temp)
      return backup
    },
    undo: () => removeQuietly(temp),
  }
}

/** What cannot be deleted is no reason to keep what is to be removed in the vault itself as well. */
function removePrevious(path: string, { warn }: ReplaceFileOptions): void {
  const backup = `${path}.bak`
  try {
    unlinkSync(backup)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) warn?.(previousStays(backup, describeSystemError(error)))
  }
}

/** The warning that a `.bak` could not be deleted. */
export function previousStays(backup: string, reason: string): string {
  return `"${backup}" may still hold what was removed, since it cannot be deleted (${reason}): rm -ri ${shellWord(backup)}`
}

/** Deletes a file, durably; it need not be there. @throws {VaultError} IO or DURABILITY */
export function deleteFile(path: string, what: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return
    throw ioError(`cannot delete the ${what} "${path}"`, error)
  }
  confirmNames(path, what)
}
