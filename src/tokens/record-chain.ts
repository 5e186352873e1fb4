import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { Mark, Reader, Revision } from '../storage/store.js'
import type { Vault } from '../vault/vault.js'
import {
  type Base,
  type ChainLink,
  headerDigest,
  openBase,
  openRecord,
  parseHeader,
  type RecordEntry,
  type TokenRecord,
} from './record-line.js'
import { shellWord } from '../shell-word.js'

/** What opens token records: an opened vault is one. */
export type TokenKeys = Pick<Vault, 'tokenStoreId' | 'tokensKey'>

/** The furthest state of token records that a machine has seen. */
export type TokensMark = NonNullable<Mark['tokens']>

/** Where the next record goes. */
export interface RecordsEnd extends ChainLink {
  readonly revision: Revision
  /** Bytes up to the end of the last complete line; what lies behind is a torn record. */
  readonly size: number
  /** Records, neither the header nor the base. */
  readonly lines: number
}

/** The longest file of token records, in bytes. */
export const LONGEST_FILE = 64 * 1024 * 1024

const NEWLINE = 0x0a

/** A record that grows with the reservations that are read. */
type FollowedRecord = TokenRecord & { readonly reserved?: Map<string, number> }

/** One file's verified records, from its header on. */
export class RecordChain {
  readonly records = new Map<string, FollowedRecord>()
  readonly #keys: TokenKeys
  readonly #path: string
  /** The mac of each record behind the base as the file spells it; a mark may name any of them. */
  readonly #macs: string[] = []
  /** What a compaction put in the place of the records before; undefined in a file that was never compacted. */
  #base: Base | undefined
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
    const mac = this.#macs.at(-1) ?? this.#base?.head.toString('base64url')
    return mac === undefined ? undefined : { seq: this.#lastSeq, mac }
  }

  get end(): RecordsEnd | undefined {
    if (this.#revision === undefined) return undefined
    return {
      revision: this.#revision,
      size: this.#size,
      seq: this.#lastSeq + 1,
      previousMac: this.#previousMac,
      lines: this.#macs.length,
    }
  }

  get #lastSeq(): number {
    return (this.#base?.seq ?? 0) + this.#macs.length
  }

  /**
   * Whether these records go at least as far as a mark, and are the same up to there.
   *
   * Of what a compaction dropped only the last mac is known: an earlier mark is covered, since who wrote the base has the
   * key and had all that it stands for.
   */
  covers({ seq, mac }: TokensMark): boolean {
    const base = this.#base
    if (base === undefined || seq > base.seq) return this.#macs[seq - (base?.seq ?? 0) - 1] === mac
    return seq < base.seq || base.head.toString('base64url') === mac
  }

  /** The state of the file that was read last. */
  get revision(): Revision | undefined {
    return this.#revision
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
    if (this.#macs.length < (this.#base?.lines ?? 0)) throw this.#damaged('its last records are missing')
  }

  #readLine(line: Buffer): void {
    if (this.#store === undefined) {
      this.#readHeader(line)
      return
    }
    const tokensKey = this.#store.tokensKey.reveal()
    const seq = this.#lastSeq + 1
    const opened = openRecord(line, tokensKey, { seq, previousMac: this.#previousMac })
    if (opened === undefined && this.#readBase(line, tokensKey)) return
    if (opened === undefined || !this.#apply(opened.entry)) throw this.#damaged(`record ${seq} does not fit`)
    this.#previousMac = opened.mac
    this.#macs.push(opened.mac.toString('base64url'))
  }

  /** Takes a line as the base, which only the one behind the header can be. */
  #readBase(line: Buffer, tokensKey: Buffer): boolean {
    if (this.#base !== undefined || this.#macs.length > 0) return false
    const opened = openBase(line, tokensKey, this.#previousMac)
    if (opened === undefined) return false
    this.#base = opened.base
    this.#previousMac = opened.mac
    return true
  }

  #readHeader(line: Buffer): void {
    const id = parseHeader(line)
    if (id === undefined) throw this.#damaged('its first line is not a header of token records')
    const expected = this.#keys.tokenStoreId
    if (expected !== undefined && !expected.equals(id)) throw this.#damaged('they belong to another vault')
    this.#store = { id, tokensKey: this.#keys.tokensKey(id) }
    this.#previousMac = headerDigest(line)
  }

  /** Gives false for an entry that no writer makes: an id created twice, or spoken of before it was created. */
  #apply(entry: RecordEntry): boolean {
    const known = this.records.get(entry.id)
    if (entry.type === 'create') {
      const { id, label, caveats, atMs } = entry
      this.records.set(id, { id, label, caveats, createdMs: atMs, revokedMs: undefined })
      return known === undefined
    }
    if (known === undefined) return false
    if (entry.type === 'revoke') this.records.set(entry.id, { ...known, revokedMs: known.revokedMs ?? entry.atMs })
    else this.#reserve(known, entry.calls)
    return true
  }

  #reserve(record: FollowedRecord, calls: readonly (readonly [counter: string, calls: number])[]): void {
    const reserved = record.reserved ?? new Map<string, number>()
    for (const [counter, count] of calls) reserved.set(counter, (reserved.get(counter) ?? 0) + count)
    if (record.reserved === undefined) this.records.set(record.id, { ...record, reserved })
  }

  #damaged(what: string): VaultError {
    return new VaultError('DAMAGED', `cannot use the token records "${this.#path}": ${what}`, {
      hints: [
        'until they are whole again every token is refused; if the key was changed, use the one before',
        `without a copy to restore: mv ${shellWord(this.#path)} ${shellWord(`${this.#path}.damaged`)} && mcpvault token revoke --all --accept-restore`,
      ],
    })
  }
}
