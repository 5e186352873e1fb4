/** Looks at what lies beside a file. */

import { closeSync, constants, fstatSync, openSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readFully } from './read-file.js'

/** In a directory with more files nobody keeps a vault by hand, and looking into all of them would take long. */
const MOST_FILES = 1000

/**
 * Finds a regular file in the directory of `path` that begins with `head`; `path` itself and what is kept beside it
 * under its name and a suffix do not count, nor does what cannot be read.
 */
export function findNeighbour(path: string, head: Buffer): string | undefined {
  const directory = dirname(path)
  const own = basename(path)
  const isKin = (name: string): boolean => name === own || name.startsWith(`${own}.`) || name.startsWith(`.${own}.`)
  try {
    const entries = readdirSync(directory, { withFileTypes: true }).slice(0, MOST_FILES)
    const files = entries.filter((entry) => entry.isFile() && !isKin(entry.name))
    return files.map(({ name }) => join(directory, name)).find((file) => beginsWith(file, head))
  } catch {
    return undefined
  }
}

function beginsWith(path: string, head: Buffer): boolean {
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
    return fstatSync(fd).isFile() && readFully(fd, 0, head.length).equals(head)
  } catch {
    return false
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
