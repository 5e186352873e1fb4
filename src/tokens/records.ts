import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { HighWaterMarks, Mark, Reader, Revision, Store } from '../storage/store.js'
import type { Vault } from '../vault/vault.js'
import { intersectCaveats } from './caveats.js'
import {
  type ChainLink,
  headerDigest,
  openRecord,
  parseHeader,
  type RecordEntry,
  type TokenRecord,
} from './record-line.js'
import type { TokenLookup } from './verify.js'

/** What opens token records: an opened vault is one. */
export type TokenKeys = Pick<Vault, 'tokenStoreId' | 'tokensKey'>

/** Where records are read from: the store, or a transaction that holds its lock. */
export type RecordSource = Pick<Store, 'open'>

/** Where the next record goes. */
export interface RecordsEnd extends ChainLink {
  readonly revision: Revision
  /** Bytes up to the end of the last complete line; what lies behind is a torn record. */
  readonly size: number
}

type TokensMark = NonNullable<Mark['tokens']>

const NEWLINE = 0x0a
const LONGEST_FILE = 64 * 1024 * 1024

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
  #chain: Chain | undefined
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

  /** Where the next record goes; undefined while there is no file. */
  get end(): RecordsEnd | undefined {
    return this.#chain?.end
  }

  find(id: string): TokenRecord | undefined {
    return this.#isIntact ? this.#chain?.records.get(id) : undefined
  }

  /** All tokens ever created, oldest first. */
  all(): readonly TokenRecord[] {
    return this.#isIntact ? [...(this.#chain?.records.values() ?? [])] : []
  }

  /** The tokens that are neither revoked nor expired, oldest first. */
  live(nowMs: number): readonly TokenRecord[] {
    return this.all().filter((record) => isLive(record, nowMs))
  }

  /**
   * Takes in what was written since; costs next to nothing when that is nothing.
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
    const reader = source.open('tokens')
    if (reader === undefined) {
      const wasThere = this.#chain !== undefined
      this.#startOver(undefined)
      return wasThere
    }
    try {
      if (this.#chain?.isAt(reader)) return false
      const isContinued = this.#chain?.isContinuedBy(reader) ?? false
      const chain = isContinued ? this.#chain : new Chain(this.#keys, this.#store.locate('tokens'))
      if (chain !== this.#chain) this.#startOver(chain)
      chain?.readFrom(reader)
      return true
    } finally {
      reader.close()
    }
  }

  #startOver(chain: Chain | undefined): void {
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
    return mark === undefined || this.#chain?.macAt(mark.seq) === mark.mac
  }

  #storeIdText(): string | undefined {
    const id = this.#chain?.storeId ?? this.#keys.tokenStoreId
    return id?.toString('base64url') ?? this.#seen?.id
  }
}

/** One file's verified records, from its header on. */
class Chain {
  readonly records = new Map<string, TokenRecord>()
  readonly #keys: TokenKeys
  readonly #path: string
  /** The mac of each record as the file spells it; a mark may name any of them. */
  readonly #macs: string[] = []
  #previousMac: Buffer = Buffer.alloc(0)
  #size = 0
  #lastLine: Buffer = Buffer.alloc(0)
  #revision: Revision | undefined
  #store: { readonly id: Buffer; readonly tokensKey: Secret } | undefined

  constructor(keys: TokenKeys, path: string) {
    this.#keys = keys
    this.#path = path
  }

  get storeId(): Buffer | undefined {
    return this.#store?.id
  }

  get tokensKey(): Secret | undefined {
    return this.#store?.tokensKey
  }

  get mark(): TokensMark | undefined {
    const mac = this.#macs.at(-1)
    return mac === undefined ? undefined : { seq: this.#macs.length, mac }
  }

  get end(): RecordsEnd | undefined {
    if (this.#revision === undefined) return undefined
    return {
      revision: this.#revision,
      size: this.#size,
      seq: this.#macs.length + 1,
      previousMac: this.#previousMac,
    }
  }

  macAt(seq: number): string | undefined {
    return this.#macs[seq - 1]
  }

  isAt(reader: Reader): boolean {
    return this.#revision?.id === reader.revision.id
  }

  /** Whether a file goes on behind what was read. Its last mac stands for all before it, so one line is enough. */
  isContinuedBy(reader: Reader): boolean {
    const { length } = this.#lastLine
    return length > 0 && reader.read(this.#size - length, length).equals(this.#lastLine)
  }

  /** Reads every complete line that is new. @throws {VaultError} DAMAGED, INPUT */
  readFrom(reader: Reader): void {
    if (reader.size > LONGEST_FILE) {
      throw new VaultError('INPUT', `cannot read the token records "${this.#path}": they are larger than 64 MiB`)
    }
    const bytes = reader.read(this.#size, reader.size - this.#size)
    let [previous, start] = [0, 0]
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#readLine(bytes.subarray(start, end))
      previous = start
      start = end + 1
    }
    // A copy: a view would keep the whole file in memory.
    if (start > 0) this.#lastLine = Buffer.from(bytes.subarray(previous, start))
    this.#size += start
    this.#revision = reader.revision
    if (this.#store === undefined) throw this.#damaged('its first line is not whole')
  }

  #readLine(line: Buffer): void {
    if (this.#store === undefined) {
      this.#readHeader(line)
      return
    }
    const seq = this.#macs.length + 1
    const opened = openRecord(line, this.#store.tokensKey.reveal(), { seq, previousMac: this.#previousMac })
    if (opened === undefined || !this.#apply(opened.entry)) throw this.#damaged(`record ${seq} does not fit`)
    this.#previousMac = opened.mac
    this.#macs.push(opened.mac.toString('base64url'))
  }

  #readHeader(line: Buffer): void {
    const id = parseHeader(line)
    if (id === undefined) throw this.#damaged('its first line is not a header of token records')
    const expected = this.#keys.tokenStoreId
    if (expected !== undefined && !expected.equals(id)) throw this.#damaged('they belong to another vault')
    this.#store = { id, tokensKey: this.#keys.tokensKey(id) }
    this.#previousMac = headerDigest(line)
  }

  /** Gives false for an entry that no writer makes: an id created twice, or revoked before it was created. */
  #apply(entry: RecordEntry): boolean {
    const known = this.records.get(entry.id)
    if (entry.type === 'create') {
      const { id, label, caveats, atMs } = entry
      this.records.set(id, { id, label, caveats, createdMs: atMs, revokedMs: undefined })
      return known === undefined
    }
    if (known === undefined) return false
    this.records.set(entry.id, { ...known, revokedMs: known.revokedMs ?? entry.atMs })
    return true
  }

  #damaged(what: string): VaultError {
    return new VaultError('DAMAGED', `cannot use the token records "${this.#path}": ${what}`, {
      hints: [
        'until they are whole again every token is refused; if the key was changed, use the one before',
        `without a copy to restore: mv "${this.#path}" "${this.#path}.damaged" && mcpvault token revoke --all --accept-restore`,
      ],
    })
  }
}

/** Tells whether a token can still be used for anything. */
function isLive(record: TokenRecord, nowMs: number): boolean {
  const { beforeMs } = intersectCaveats(record.caveats)
  return record.revokedMs === undefined && (beforeMs === undefined || nowMs < beforeMs)
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
