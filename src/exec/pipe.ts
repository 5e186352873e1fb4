/**
 * Pipes of the system for a program's output.
 *
 * What Node gives a child as a pipe is a pair of sockets: `/dev/stderr` cannot be opened there, and who writes to a reader
 * that has gone gets ECONNRESET instead of SIGPIPE. Node makes no pipes, so these are FIFOs that lose their names at once.
 */

import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { isSystemError, VaultError } from '../errors.js'
import { ioError } from '../storage/io-error.js'
import { createPrivateFolder, type FolderWorld } from './private-folder.js'

/** A pipe whose writing end is for a child. */
export interface SystemPipe {
  readonly reader: Readable
  /** To be inherited. */
  readonly writerFd: number
  /** To be called once the child has it: the reader ends when nobody has the writing end any more. */
  closeWriter(): void
}

/**
 * Makes a pipe for each name.
 *
 * @throws {VaultError} INPUT if this machine has no `mkfifo`, IO, UNSAFE
 */
export function createPipes(names: readonly string[], world: FolderWorld): readonly SystemPipe[] {
  const folder = createPrivateFolder(world)
  const pipes: SystemPipe[] = []
  try {
    const paths = names.map((name) => join(folder.path, name))
    makeFifos(paths, world.env.PATH)
    for (const path of paths) pipes.push(openPipe(path))
    return pipes
  } catch (error) {
    for (const { reader, closeWriter } of pipes) {
      reader.destroy()
      closeWriter()
    }
    throw error instanceof VaultError ? error : ioError('cannot make a pipe for the output', error)
  } finally {
    // Both ends are open: nobody needs the names any more.
    folder.remove()
  }
}

function makeFifos(paths: readonly string[], searchPath: string | undefined): void {
  const env: Record<string, string> = searchPath === undefined ? {} : { PATH: searchPath }
  const { error, status } = spawnSync('mkfifo', ['-m', '600', ...paths], { env, stdio: 'ignore' })
  if (isSystemError(error, 'ENOENT')) {
    throw new VaultError(
      'INPUT',
      'cannot mask the output: there is no program "mkfifo", which makes the pipes for it',
      {
        hints: ['mkfifo belongs to coreutils and to busybox'],
      },
    )
  }
  if (error) throw ioError('cannot make a pipe for the output', error)
  if (status !== 0) throw new VaultError('IO', 'cannot make a pipe for the output: mkfifo has failed')
}

function openPipe(path: string): SystemPipe {
  // Opening either end waits for the other, except the reading one without blocking.
  const readerFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  let writerFd: number
  try {
    writerFd = openSync(path, constants.O_WRONLY)
  } catch (error) {
    closeSync(readerFd)
    throw error
  }
  const reader = new Socket({ fd: readerFd, readable: true, writable: false })
  return { reader, writerFd, closeWriter: () => closeSync(writerFd) }
}
