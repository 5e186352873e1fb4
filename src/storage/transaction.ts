/** Changes documents under the store's lock. Loaded only by commands that write. */

import { accessSync, constants, existsSync, rmdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VaultError } from '../errors.js'
import { appendFile } from './append-file.js'
import { ensurePrivateDirectory } from './create-file.js'
import type { FileStoreOptions } from './file-store.js'
import { ioError, ownerHints } from './io-error.js'
import { type HeldLock, LockClaim, type LockOptions } from './lock.js'
import { deleteFile, previousStays, replaceFile } from './replace-file.js'
import { resolveTarget } from './resolve-target.js'
import {
  type AppendOptions,
  ConflictError,
  type DocumentName,
  type Reader,
  type ReplaceOptions,
  type Revision,
  type Snapshot,
  type Store,
  type Transaction,
} from './store.js'
import { guiseBeside, sweepOldTempFiles, sweepTempFiles } from './temp-file.js'

/** What a transaction is run with. */
export interface TransactionOptions extends FileStoreOptions {
  readonly command: string
  readonly now: () => number
  /** Reads as everybody else does. */
  readonly reader: Pick<Store, 'read' | 'open'>
  /** What each document is called in messages. */
  readonly labels: Readonly<Record<DocumentName, string>>
}

type Targets = Readonly<Record<DocumentName, string>>

/**
 * Takes the lock, runs `body`, and gives the lock back whatever happens.
 *
 * The lock lies beside the vault's real file. A missing directory of the vault is created with the mode 0700, and
 * removed again when the body fails and has left nothing in it.
 *
 * @throws {VaultError} LOCKED, UNSAFE or IO; and what `body` throws.
 */
export async function runTransaction<T>(options: TransactionOptions, body: (tx: Transaction) => T): Promise<T> {
  const targets = resolveTargets(options)
  const lockPath = `${targets.vault}.lock`
  const created = ensurePrivateDirectory(dirname(lockPath))
  try {
    const lock = await waitForLock(lockPath, { ...options, guise: guiseBeside(targets.vault, options.host) })
    const transaction = new FileTransaction(options, { lock, targets })
    try {
      sweepTempFiles([targets.vault, lockPath])
      // Whoever was made to share them with another vault does not share the lock.
      sweepOldTempFiles([targets.log, targets.tokens], options.now())
      return body(transaction)
    } finally {
      transaction.end()
      lock.release()
    }
  } catch (error) {
    if (created !== undefined) removeCreated(dirname(lockPath), created)
    throw error
  }
}

async function waitForLock(path: string, options: TransactionOptions & LockOptions): Promise<HeldLock> {
  const deadline = performance.now() + options.lockTimeoutMs
  const claim = new LockClaim(path, options)
  try {
    for (;;) {
      const lock = claim.tryTake()
      if (lock) return lock
      if (performance.now() >= deadline) throw claim.refusal()
      await sleep(1 + ((options.randomBytes(1)[0] ?? 0) * 7) / 255)
    }
  } finally {
    claim.discard()
  }
}

class FileTransaction implements Transaction {
  readonly #options: TransactionOptions
  readonly #targets: Targets
  readonly #lock: HeldLock
  #isOver = false

  constructor(options: TransactionOptions, { lock, targets }: { readonly lock: HeldLock; readonly targets: Targets }) {
    this.#options = options
    this.#lock = lock
    this.#targets = targets
  }

  read(name: DocumentName, maxBytes?: number): Snapshot | undefined {
    this.#assertRunning()
    return this.#options.reader.read(name, maxBytes)
  }

  open(name: DocumentName): Reader | undefined {
    this.#assertRunning()
    this.#assertWritable(name)
    return this.#options.reader.open(name)
  }

  replace(name: DocumentName, bytes: Buffer, options: ReplaceOptions): Revision {
    this.#assertRunning()
    return replaceFile(this.#targets[name], bytes, {
      ...options,
      what: this.#options.labels[name],
      fence: () => this.#fence(name),
      randomBytes: this.#options.randomBytes,
      newGuise: guiseBeside(this.#targets.vault, this.#options.host),
      warn: this.#options.warn,
    })
  }

  append(name: DocumentName, bytes: Buffer, options: AppendOptions): Revision {
    this.#assertRunning()
    const what = this.#options.labels[name]
    return appendFile(this.#targets[name], bytes, { ...options, what, fence: () => this.#fence(name) })
  }

  discardPrevious(name: DocumentName): void {
    this.#assertRunning()
    const path = `${this.#targets[name]}.bak`
    try {
      this.#fence(name)
      deleteFile(path, `previous ${this.#options.labels[name]}`)
    } catch (error) {
      if (!(error instanceof VaultError || error instanceof ConflictError)) throw error
      this.#options.warn(previousStays(path, error.message))
    }
  }

  end(): void {
    this.#isOver = true
  }

  /** What is opened is going to be appended to: that this cannot be is better known before anything else is written. */
  #assertWritable(name: DocumentName): void {
    const path = this.#targets[name]
    try {
      accessSync(existsSync(path) ? path : dirname(path), constants.W_OK)
    } catch (error) {
      throw ioError(`cannot write the ${this.#options.labels[name]} "${path}"`, error, ownerHints(path, error))
    }
  }

  #fence(name: DocumentName): void {
    if (resolveTarget(this.#options.paths[name]) !== this.#targets[name]) {
      throw new ConflictError(`"${this.#options.paths[name]}" was made to point elsewhere meanwhile`)
    }
    this.#lock.assertHeld()
  }

  #assertRunning(): void {
    if (this.#isOver) throw new VaultError('INTERNAL', 'cannot change documents: the transaction is over')
  }
}

function resolveTargets({ paths, labels }: TransactionOptions): Targets {
  const find = (name: DocumentName): string => {
    try {
      return resolveTarget(paths[name])
    } catch (error) {
      throw ioError(`cannot find the ${labels[name]} "${paths[name]}"`, error)
    }
  }
  return { vault: find('vault'), log: find('log'), tokens: find('tokens') }
}

/** Removes directories that this transaction created, from the inside out, as long as they are empty. */
function removeCreated(innermost: string, outermost: string): void {
  try {
    for (let current = resolve(innermost); ; current = dirname(current)) {
      rmdirSync(current)
      if (current === resolve(outermost)) return
    }
  } catch {
    // Something lies in it by now: then it is of use.
  }
}
