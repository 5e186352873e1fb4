import { closeSync, constants, fstatSync, lstatSync, openSync, opendirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { type ScanHit, StreamSearch } from './search-stream.js'
import type { Sought } from './values.js'

/** What was looked through. */
export interface Scanned {
  files: number
  bytes: number
  /** Files that could not be read, with the reason. */
  readonly unread: { readonly path: string; readonly reason: string }[]
}

const CHUNK_BYTES = 256 * 1024
/** Git's own folder holds compressed objects, in which nothing can be seen; `scan --history` looks into those. */
const SKIPPED_FOLDER = '.git'

/**
 * Looks for values in files, and in all files below folders, in the order of their names. Links are not followed, nor are
 * FIFOs, sockets and devices opened; git's own folder is left out.
 *
 * @throws {VaultError} NOT_FOUND if a path that was asked for does not exist.
 */
export function* scanFiles(paths: readonly string[], sought: Sought, scanned: Scanned): Generator<ScanHit> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  for (const path of paths) {
    for (const file of walk(path, scanned)) yield* scanFile(file, { sought, scanned, buffer })
  }
}

function* walk(asked: string, scanned: Scanned): Generator<string> {
  let kind: ReturnType<typeof lstatSync>
  try {
    kind = lstatSync(asked)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) throw new VaultError('NOT_FOUND', `there is no "${asked}" to scan`)
    scanned.unread.push({ path: asked, reason: reasonOf(error) })
    return
  }
  if (!kind.isDirectory()) {
    yield asked
    return
  }
  // A stack instead of recursion: folders can be nested deeper than calls.
  const left = [asked]
  for (let folder = left.pop(); folder !== undefined; folder = left.pop()) {
    const { files, folders } = list(folder, scanned)
    yield* files
    left.push(...folders.reverse())
  }
}

function list(folder: string, scanned: Scanned): { readonly files: string[]; readonly folders: string[] } {
  const files: string[] = []
  const folders: string[] = []
  try {
    const directory = opendirSync(folder)
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        if (entry.isFile()) files.push(join(folder, entry.name))
        else if (entry.isDirectory() && entry.name !== SKIPPED_FOLDER) folders.push(join(folder, entry.name))
      }
    } finally {
      directory.closeSync()
    }
  } catch (error) {
    scanned.unread.push({ path: folder, reason: reasonOf(error) })
  }
  return { files: files.sort(), folders: folders.sort() }
}

function* scanFile(
  path: string,
  { sought, scanned, buffer }: { readonly sought: Sought; readonly scanned: Scanned; readonly buffer: Buffer },
): Generator<ScanHit> {
  const search = new StreamSearch(sought, path)
  let fd: number | undefined
  try {
    // Not blocking, so that a FIFO in the place of a file does not hang it.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    if (!fstatSync(fd).isFile()) throw new NotAFileError()
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      scanned.bytes += count
      yield* search.feed(buffer.subarray(0, count))
    }
    yield* search.end()
    scanned.files += 1
  } catch (error) {
    if (!isFileError(error)) throw error
    scanned.unread.push({ path, reason: reasonOf(error) })
  } finally {
    if (fd !== undefined) closeSync(fd)
    buffer.fill(0)
  }
}

class NotAFileError extends Error {}

function isFileError(error: unknown): boolean {
  return error instanceof NotAFileError || (error instanceof Error && 'syscall' in error)
}

function reasonOf(error: unknown): string {
  if (error instanceof NotAFileError) return 'it is no file'
  if (isSystemError(error, 'EACCES', 'EPERM')) return 'permission denied'
  return isSystemError(error, 'ELOOP') ? 'it is a link' : 'the system refused'
}
