/** Says in plain words why the operating system refused, and wraps it as a {@link VaultError}. */

import { statSync } from 'node:fs'
import { isSystemError, VaultError } from '../errors.js'
import { shellWord } from '../shell-word.js'

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EBUSY: 'it is a mount point',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the limit on file size is reached',
  EIO: 'the disk reported an I/O error',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many open files',
  ENOENT: 'no such file or directory',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ESTALE: 'the network file system has lost the file',
  EXDEV: 'it is a mount point',
}

/** Codes that libuv has no name for, by their numbers on Linux and macOS. */
const UNNAMED: Readonly<Record<number, string>> = {
  [-122]: 'EDQUOT',
  [-69]: 'EDQUOT',
  [-116]: 'ESTALE',
  [-70]: 'ESTALE',
}

/** The codes with which file systems say that they have no hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

/** Gives the reason of a system error in a few words without quoting anything. */
export function describeSystemError(error: unknown): string {
  if (!(error instanceof Error && 'code' in error)) return 'unknown failure'
  const code = UNNAMED['errno' in error ? Number(error.errno) : 0] ?? String(error.code)
  return REASONS[code] ?? code
}

/** Turns what a system call threw into an IO failure; anything else (a bug, a {@link VaultError}) is given back as it is. */
export function wrapSystemError(action: string, error: unknown, hints: readonly string[] = []): unknown {
  return error instanceof Error && 'errno' in error ? ioError(action, error, hints) : error
}

/** Tells whether the system has refused for want of a permission. */
export function isDenied(error: unknown): boolean {
  return isSystemError(error, 'EACCES', 'EPERM')
}

/** Says whose a file is that was refused: after one run with sudo that is often root. */
export function ownerHints(path: string, error: unknown): readonly string[] {
  if (!isDenied(error)) return []
  try {
    const { uid } = statSync(path)
    return [
      `it belongs to the user with the id ${uid}; to take it over: sudo chown "$(id -u):$(id -g)" ${shellWord(path)}`,
    ]
  } catch {
    return []
  }
}

/** Makes an IO failure of a system error; `action` is like `cannot read the vault "FILE"`. */
export function ioError(action: string, error: unknown, hints: readonly string[] = []): VaultError {
  // A container that was given the single file: nothing can be renamed over, or linked to, a mount point.
  const isMount = isSystemError(error, 'EBUSY', 'EXDEV')
  const advice = isMount ? ['mount the directory that holds the file, not the single file'] : []
  return new VaultError('IO', `${action}: ${describeSystemError(error)}`, {
    cause: error,
    hints: [...advice, ...hints],
  })
}

/** Makes an IO failure of a failed `link()`, naming a file system without hard links as such. */
export function linkError(action: string, error: unknown): VaultError {
  if (!isSystemError(error, ...NO_LINKS)) return ioError(action, error)
  return new VaultError('IO', `${action}: the file system allows no hard link here`, {
    cause: error,
    hints: ['keep the vault on a local file system that has hard links, such as ext4, XFS, Btrfs or APFS'],
  })
}
