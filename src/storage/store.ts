/**
 * Where bytes live. Everything above this folder sees three named documents that change together, never a path: the
 * vault, its rotation log and its token records. `file-store.ts` keeps them as files side by side.
 *
 * @module
 */

/** A document of one vault. */
export type DocumentName = 'vault' | 'log' | 'tokens'

/** Identifies the exact state of a document that was read; equal ids mean that nobody has written since. */
export interface Revision {
  readonly id: string
  /** Bytes. */
  readonly size: number
}

/** A document read whole. */
export interface Snapshot {
  readonly bytes: Buffer
  readonly revision: Revision
}

/** An open document for reading by position; sees one state even when the document is replaced meanwhile. */
export interface Reader {
  readonly revision: Revision
  /** Bytes at the time of opening; later appends are not seen. */
  readonly size: number
  /** Reads up to `length` bytes from `position`; fewer only at the end. */
  read(position: number, length: number): Buffer
  close(): void
}

/** How a document is replaced. */
export interface ReplaceOptions {
  /** The revision that the new bytes were made from; undefined when the document must not exist yet. */
  readonly expected: Revision | undefined
  /** Called with the bytes read back from the disk before they take the document's place; throws to refuse them. */
  readonly verify: (bytes: Buffer) => void
  /** Keeps the replaced bytes under this suffix; `.bak` is overwritten, `.tutorial.bak` never (EXISTS). */
  readonly keepPrevious?: '.bak' | '.tutorial.bak'
  /** Deletes `.bak` just before the replacement: a kill between the two leaves the old version without it. */
  readonly dropsPrevious?: boolean
}

/** How bytes are appended. */
export interface AppendOptions {
  readonly expected: Revision
  /** Position that the bytes are written at, in bytes; what lies behind it is overwritten or cut off. */
  readonly at: number
}

/** Changes under the store's lock. Valid only while the body that received it runs. */
export interface Transaction {
  read(name: DocumentName, maxBytes?: number): Snapshot | undefined
  open(name: DocumentName): Reader | undefined
  /**
   * Replaces a document atomically and durably; until the rename nothing has changed.
   *
   * @throws {ConflictError} if the document is no longer the expected revision.
   * @throws {VaultError} IO if nothing changed, DURABILITY if it changed and was not confirmed, LOCKED if the lock was
   * lost or is older than 30 s, UNSAFE if mode or owner cannot be kept, EXISTS if `.tutorial.bak` is there.
   */
  replace(name: DocumentName, bytes: Buffer, options: ReplaceOptions): Revision
  /**
   * Writes bytes at a position and syncs them, without touching what lies before: O(1) however long the document is.
   *
   * @throws {ConflictError} if the document is no longer the expected revision.
   * @throws {VaultError} IO, DURABILITY or LOCKED as above.
   */
  append(name: DocumentName, bytes: Buffer, options: AppendOptions): Revision
  /**
   * Deletes the document's `.bak`, if there is one. That it cannot be deleted is warned of and never thrown: what was
   * committed before stands.
   */
  discardPrevious(name: DocumentName): void
}

/** The documents of one vault. Readers take no lock; writers take the store's one lock for the commit alone. */
export interface Store {
  /** The document's path, for messages. */
  locate(name: DocumentName): string
  /**
   * Reads a document whole; undefined when it does not exist.
   *
   * @throws {VaultError} UNSAFE if it is writable by others, INPUT if it is no regular file or over `maxBytes`, IO.
   */
  read(name: DocumentName, maxBytes?: number): Snapshot | undefined
  /** Opens a document for reading by position; undefined when it does not exist. Throws as `read` does. */
  open(name: DocumentName): Reader | undefined
  /** Tells whether a document is still as it was read, where that costs less than opening it. Throws as `read` does. */
  isAt?(name: DocumentName, revision: Revision): boolean
  /**
   * Runs `body` while holding the lock. The body is synchronous: nothing may be awaited under the lock.
   *
   * @throws {VaultError} LOCKED if another process kept the lock for longer than the store's time-out.
   */
  transaction<T>(command: string, body: (transaction: Transaction) => T): Promise<T>
  readonly marks: HighWaterMarks
}

/** Somebody replaced or wrote the document between reading and committing. Start again from reading. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError'

  /** By name: the built program holds this class once in every file that writes. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'ConflictError'
  }
}

/** The furthest state of a vault that this machine has seen, kept outside of it so that an old copy is noticed. */
export interface Mark {
  readonly vault?: {
    readonly gen: number
    readonly mac: string
    readonly commit: string
    /** Commitments of earlier data keys. */
    readonly past?: readonly string[]
    /** Set until the user has said that a vault that anybody could have made is the right one. */
    readonly isUnconfirmed?: true
  }
  readonly tokens?: { readonly seq: number; readonly mac: string }
  /** The id of the vault that lies in a place; the mark is then that of a place. */
  readonly place?: { readonly vault: string }
}

/** High-water marks by vault id, in the state directory. */
export interface HighWaterMarks {
  /** @throws {VaultError} DAMAGED if the mark is there and its checksum does not fit. */
  read(id: string): Mark | undefined
  /**
   * Replaces a mark with what `merge` makes of the stored one; undefined leaves it. Gives false when the state
   * directory cannot be written or another process is at it: marks are a safety net, never a reason to fail.
   */
  raise(id: string, merge: (stored: Mark | undefined) => Mark | undefined): boolean
}
