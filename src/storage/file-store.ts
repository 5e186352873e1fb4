/**
 * The store as files side by side: the vault, its log, its token records.
 *
 * Reading needs this file, `read-file.ts` and the marks; what writes is loaded by the first transaction, since the
 * commands that are run most often only read.
 */

import { openHighWaterMarks } from './high-water.js'
import { isFileAt, openFileChecked, readFileChecked, type ReadOptions, type StorageHost } from './read-file.js'
import type { DocumentName, Store } from './store.js'

/** Where the files are and what the store needs of the world. */
export interface FileStoreOptions {
  readonly paths: Readonly<Record<DocumentName, string>>
  /** Holds the high-water marks; need not exist. */
  readonly stateDirectory: string
  /** How long a transaction waits for the lock; 0 tries once. */
  readonly lockTimeoutMs: number
  readonly host: StorageHost
  readonly randomBytes: (length: number) => Buffer
  /** Told once a file when other users can read the vault or the token records; the log is meant to be read. */
  readonly warn: (text: string) => void
  /** Milliseconds since the epoch; `Date.now` when it is not given. */
  readonly now?: () => number
}

const LABELS: Readonly<Record<DocumentName, string>> = { vault: 'vault', log: 'rotation log', tokens: 'token records' }

/** No document is read whole that is longer, unless the caller allows more. */
const MOST_BYTES = 64 * 1024 * 1024

/** Opens the store of a vault; touches nothing until it is used. */
export function createFileStore(options: FileStoreOptions): Store {
  const { paths, host, randomBytes, stateDirectory } = options
  const now = options.now ?? Date.now
  const warned = new Set<DocumentName>()
  const readOptions = (name: DocumentName): ReadOptions => ({
    what: LABELS[name],
    host,
    warn: (text) => {
      if (name === 'log' || warned.has(name)) return
      warned.add(name)
      options.warn(text)
    },
  })
  const reader: Pick<Store, 'read' | 'open'> = {
    read: (name, maxBytes = MOST_BYTES) => readFileChecked(paths[name], { ...readOptions(name), maxBytes }),
    open: (name) => openFileChecked(paths[name], readOptions(name)),
  }
  // Made once: a running process looks before every request.
  const looking = { vault: readOptions('vault'), log: readOptions('log'), tokens: readOptions('tokens') }
  return {
    ...reader,
    isAt: (name, revision) => isFileAt(paths[name], revision, looking[name]),
    locate: (name) => paths[name],
    async transaction(command, body) {
      const { runTransaction } = await import('./transaction.js')
      return runTransaction({ ...options, command, now, reader, labels: LABELS }, body)
    },
    marks: openHighWaterMarks({ directory: stateDirectory, host, randomBytes, now, warn: options.warn }),
  }
}
