import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { HighWaterMarks, Mark, Store } from '../storage/store.js'
import { RecordChain, type RecordsEnd, type TokenKeys, type TokensMark } from './record-chain.js'
import type { TokenRecord } from './record-line.js'
import type { TokenLookup } from './verify.js'

export type { TokenKeys } from './record-chain.js'

/** Where records are read from: the store, or a transaction that holds its lock. */
export type RecordSource = Pick<Store, 'open' | 'isAt'>

/**
 * The token records, read and verified once, then followed.
 *
 * A last line without its newline is a torn write and is skipped. Everything else that does not fit is damage: the
 * records are then not intact, and nothing is allowed until a `refresh` has read them whole again. Fewer records than
 * this machine has seen, or others, are an old copy, and refused in the same way.
 */
export class TokenRecords implements TokenLookup {
  readonly #store: Store
  readonly #keys: TokenKeys
  readonly #acceptRestore: boolean
  #chain: RecordChain | undefined
  /** The furthest state that this object has seen, for where no mark can be kept. */
  #seen: { readonly id: string; readonly mark: TokensMark } | undefined
  #isIntact = false
  #isBehind = false

  private constructor(store: Store, keys: TokenKeys, acceptRestore: boolean) {
    this.#store = store
    this.#keys = keys
    this.#acceptRestore = acceptRestore
  }

  /**
   * Reads and verifies the records; there need not be any yet.
   *
   * @param options `acceptRestore` reads an old copy too and says so in `isBehind`; only for a change that ends it.
   * @throws {VaultError} as `refresh`
   */
  static open(store: Store, keys: TokenKeys, options: { readonly acceptRestore?: boolean } = {}): TokenRecords {
    const records = new TokenRecords(store, keys, options.acceptRestore ?? false)
    records.refresh()
    return records
  }

  get isIntact(): boolean {
    return this.#isIntact
  }

  /** Whether these records are older than, or others than, what this machine has seen. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  get tokensKey(): Secret | undefined {
    return this.#chain?.tokensKey
  }

  /** Whose records these are; undefined while there is no file. */
  get storeId(): Buffer | undefined {
    return this.#chain?.storeId
  }

  /** Where the next record goes; undefined while there is no file. */
  get end(): RecordsEnd | undefined {
    return this.#chain?.end
  }

  find(id: string): TokenRecord | undefined {
    return this.#isIntact ? this.#chain?.records.get(id) : undefined
  }

  /** All tokens that there are records of, oldest first; a compaction drops those that have ended. */
  all(): readonly TokenRecord[] {
    return this.#isIntact ? [...(this.#chain?.records.values() ?? [])] : []
  }

  /** The tokens that are neither revoked nor expired, oldest first. */
  live(nowMs: number): readonly TokenRecord[] {
    return this.all().filter((record) => record.revokedMs === undefined && nowMs < endOf(record))
  }

  /**
   * Takes in what was written since; costs one look at the file's revision when that is nothing.
   *
   * @throws {VaultError} DAMAGED, RESTORED, UNSAFE, INPUT, IO; nothing is allowed until a later call succeeds.
   */
  refresh(source: RecordSource = this.#store): void {
    try {
      if (this.#readChain(source) || !this.#isIntact) this.#compareMark(source)
      this.#isIntact = true
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Wipes the tokens key; nothing is allowed any more. */
  close(): void {
    this.#startOver(undefined)
    this.#isIntact = false
  }

  /** Makes this state the furthest that this machine knows, although it has seen another: an accepted old copy. */
  resetMark(): void {
    const id = this.#storeIdText()
    const mark = this.#chain?.mark
    if (id === undefined) return
    this.#store.marks.raise(id, (stored) => withTokens(stored, mark))
    this.#seen = mark && { id, mark }
    this.#isBehind = false
  }

  /** Gives whether there was anything new. */
  #readChain(source: RecordSource): boolean {
    const revision = this.#chain?.revision
    if (this.#isIntact && revision !== undefined && source.isAt?.('tokens', revision) === true) return false
    const reader = source.open('tokens')
    if (reader === undefined) {
      const wasThere = this.#chain !== undefined
      this.#startOver(undefined)
      return wasThere
    }
    try {
      if (this.#chain?.isAt(reader)) return false
      const isContinued = this.#chain?.isContinuedBy(reader) ?? false
      const chain = isContinued ? this.#chain : new RecordChain(this.#keys, this.#store.locate('tokens'))
      if (chain !== this.#chain) this.#startOver(chain)
      chain?.readFrom(reader)
      return true
    } finally {
      reader.close()
    }
  }

  #startOver(chain: RecordChain | undefined): void {
    this.#chain?.tokensKey?.wipe()
    this.#chain = chain
  }

  #compareMark(source: RecordSource): void {
    const id = this.#storeIdText()
    if (id === undefined) return
    const mark = this.#store.marks.read(id)?.tokens
    const seen = this.#seen?.id === id ? this.#seen.mark : undefined
    // A writer may have come between reading the file and its mark: what the mark stands for is in the file by now.
    if (!this.#covers(mark)) this.#readChain(source)
    this.#isBehind = !this.#covers(mark) || !this.#covers(seen)
    if (this.#isBehind) {
      if (!this.#acceptRestore) throw restored(this.#store.locate('tokens'), this.#chain !== undefined)
      return
    }
    const here = this.#chain?.mark
    if (here === undefined) return
    this.#seen = { id, mark: here }
    if (here.seq > (mark?.seq ?? 0)) raiseMark(this.#store.marks, id, here)
  }

  /** Whether the records go at least as far as a mark, and are the same up to there. */
  #covers(mark: TokensMark | undefined): boolean {
    return mark === undefined || this.#chain?.covers(mark) === true
  }

  #storeIdText(): string | undefined {
    const id = this.#chain?.storeId ?? this.#keys.tokenStoreId
    return id?.toString('base64url') ?? this.#seen?.id
  }
}

/** Gives when a token ends as it was created, in milliseconds since the epoch; infinite where no caveat says so. */
export function endOf({ caveats }: TokenRecord): number {
  let end = Number.POSITIVE_INFINITY
  for (const caveat of caveats) if (caveat.type === 'before' && caveat.epochMs < end) end = caveat.epochMs
  return end
}

function raiseMark(marks: HighWaterMarks, id: string, here: TokensMark): void {
  marks.raise(id, (stored) => ((stored?.tokens?.seq ?? 0) >= here.seq ? undefined : withTokens(stored, here)))
}

function withTokens(stored: Mark | undefined, tokens: TokensMark | undefined): Mark {
  const { tokens: _replaced, ...others } = stored ?? {}
  return tokens === undefined ? others : { ...others, tokens }
}

function restored(path: string, isThere: boolean): VaultError {
  const what = isThere ? 'are older than, or others than,' : 'are gone, unlike'
  return new VaultError('RESTORED', `cannot use the token records "${path}": they ${what} what this machine has seen`, {
    hints: [
      'put the newest copy back: a token that was revoked since could pass otherwise',
      'to go on without it, revoking every token: mcpvault token revoke --all --accept-restore',
    ],
  })
}
