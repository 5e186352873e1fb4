import { isUtf8 } from 'node:buffer'
import { statSync } from 'node:fs'
import { VaultError } from '../errors.js'
import { readFileChecked, type StorageHost } from '../storage/read-file.js'
import { replaceFile } from '../storage/replace-file.js'
import { resolveTarget } from '../storage/resolve-target.js'
import { ConflictError, type Revision } from '../storage/store.js'
import { sweepOldTempFiles } from '../storage/temp-file.js'

/** The largest text file of another program that is edited, in bytes. */
export const MAX_TEXT_BYTES = 10 * 1024 * 1024

/** A text file of another program, as it was read. */
export interface TextFile {
  /** As it was named. */
  readonly path: string
  /** The file itself, symbolic links followed. */
  readonly target: string
  readonly text: string
  readonly bytes: Buffer
  readonly revision: Revision
  /** What the file is, for messages: `config`. */
  readonly what: string
}

/** What replacing a file needs of the world. */
export interface ReplaceTextAccess {
  readonly host: StorageHost
  now(): number
  randomBytes(length: number): Buffer
}

/**
 * Reads a text file; undefined when there is none. Symbolic links are followed.
 *
 * @throws {VaultError} INPUT if it is no regular file, no UTF-8 or over 10 MiB, UNSAFE if other users can write it, IO.
 */
export function readTextFile(
  path: string,
  what: string,
  { host }: Pick<ReplaceTextAccess, 'host'>,
): TextFile | undefined {
  const target = resolveOrSay(path, what)
  const snapshot = readFileChecked(target, { what, maxBytes: MAX_TEXT_BYTES, host })
  if (snapshot === undefined) return undefined
  if (!isUtf8(snapshot.bytes)) throw new VaultError('INPUT', `cannot read the ${what} "${path}": it is not UTF-8 text`)
  return { path, target, what, ...snapshot, text: snapshot.bytes.toString('utf8') }
}

function resolveOrSay(path: string, what: string): string {
  try {
    return resolveTarget(path)
  } catch (error) {
    throw new VaultError('IO', `cannot read the ${what} "${path}": its symbolic links lead nowhere`, { cause: error })
  }
}

/**
 * Replaces a text file that was read, atomically and durably, by the vault's own protocol: mode and owner stay, and a
 * symbolic link stays one.
 *
 * @throws {VaultError} LOCKED if it is no longer what was read, UNSAFE if mode or owner cannot be kept, IO if it is
 * read-only or the system refuses: nothing was written then; DURABILITY if it was, unconfirmed.
 */
export function replaceTextFile(file: TextFile, text: string, access: ReplaceTextAccess): TextFile {
  const { path, target, what, revision } = file
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length > MAX_TEXT_BYTES)
    throw new VaultError('INPUT', `cannot write the ${what} "${path}": it would be over 10 MiB`)
  checkWritable(file)
  sweepOldTempFiles([target], access.now())
  try {
    const written = replaceFile(target, bytes, {
      what,
      expected: revision,
      randomBytes: access.randomBytes,
      verify: () => {},
      fence: () => checkUnchanged(file, access),
    })
    return { ...file, text, bytes, revision: written }
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    throw changedMeanwhile(file)
  }
}

/** Renaming over a file needs no permission to write it, but a mode without any was somebody's wish, root's too. */
function checkWritable({ path, target, what }: TextFile): void {
  const mode = statSync(target, { throwIfNoEntry: false })?.mode ?? 0o200
  if ((mode & 0o200) !== 0) return
  throw new VaultError('IO', `cannot write the ${what} "${path}": it is read-only`, { hints: [`chmod u+w "${path}"`] })
}

/** Size and time of writing can be the same by chance or by design; the content cannot. */
function checkUnchanged(file: TextFile, { host }: ReplaceTextAccess): void {
  const found =
    resolveOrSay(file.path, file.what) === file.target
      ? readFileChecked(file.target, { what: file.what, maxBytes: MAX_TEXT_BYTES, host })
      : undefined
  if (!found?.bytes.equals(file.bytes)) throw changedMeanwhile(file)
}

function changedMeanwhile({ path, what }: TextFile): VaultError {
  return new VaultError('LOCKED', `cannot write the ${what} "${path}": another program has changed it meanwhile`, {
    hints: ['nothing was written to it; run the command again'],
  })
}
