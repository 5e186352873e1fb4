import type { Reader } from '../storage/store.js'
import type { LogHead } from './append.js'
import { readForward, readTail } from './read.js'
import { FIRST_PREV, hashRecord, isChained, type LogRecord } from './record.js'

/** The vault's word on the log, which stands under the vault's MAC. */
export interface LogAnchor extends LogHead {
  /** Records that the vault has committed and that may not have reached the log yet. */
  readonly pending?: readonly LogRecord[]
}

/**
 * What is wrong with a log.
 *
 * `changed`: a record is not the one that its hash was made for, or lacks a part of its place in the chain; `chain`: it
 * does not follow the record before it, so one was changed, removed or put between; `order`: its `seq` is not higher
 * than those before; `gap`: records before it are not there, and it is not the `restored` with which a key holder has
 * accepted that; `behind`: the vault has committed records that are not there; `forked`: the vault has committed
 * another record with this `seq`; `ahead`: the log goes on behind what the vault knows, so an old vault was restored.
 */
export type LogProblemKind = 'changed' | 'chain' | 'order' | 'gap' | 'behind' | 'forked' | 'ahead'

/** One thing that is wrong. */
export interface LogProblem {
  readonly kind: LogProblemKind
  /** The record's position in the log, from 0; undefined when no record is to blame. */
  readonly index: number | undefined
  readonly seq: number | undefined
  /** A phrase for people, without any text from the log. */
  readonly text: string
}

/** What was found in a log. */
export interface LogReport {
  readonly records: number
  /** How many of them are links of the chain. */
  readonly sealed: number
  /** Positions, from 0, of the records that other programs wrote; the chain covers them and does not vouch for them. */
  readonly checkpoints: readonly number[]
  /** Sequence numbers whose records are gone, or were never written, before one that is there. */
  readonly gaps: readonly { readonly after: number; readonly before: number }[]
  /** Numbers of the records with which a key holder has gone on from an old vault, or from a log that was changed or cut. */
  readonly restored: readonly number[]
  readonly problems: readonly LogProblem[]
  /** Whether the vault's last record is there, in the log or pending; undefined when there was no vault to ask. */
  readonly anchored: boolean | undefined
  /** The remains of an unfinished append lie behind the last record; the next writer cuts them off. */
  readonly torn: boolean
}

/**
 * Checks every record of a log against its hash and the record before it, and the whole against the vault's word.
 *
 * Without an anchor a log that was cut at its end, or written anew from some record on, looks whole.
 *
 * @param reader undefined when there is no log.
 * @throws {VaultError} DAMAGED if the log cannot be read to its end.
 */
export function verifyLog(reader: Reader | undefined, anchor?: LogAnchor): LogReport {
  const chain = new ChainCheck()
  const against = anchor === undefined ? undefined : new AnchorCheck(anchor)
  if (reader) {
    for (const record of readForward(reader)) {
      chain.add(record)
      against?.add(record, chain.records - 1)
    }
  }
  const verdict = against?.finish()
  return {
    records: chain.records,
    sealed: chain.sealed,
    checkpoints: chain.checkpoints,
    gaps: chain.gaps,
    restored: chain.restored,
    problems: [...chain.problems, ...(verdict?.problems ?? [])],
    anchored: verdict?.isAnchored,
    torn: reader !== undefined && readTail(reader).layout === 'torn',
  }
}

/** Follows the chain from record to record. */
class ChainCheck {
  records = 0
  sealed = 0
  readonly checkpoints: number[] = []
  readonly gaps: { after: number; before: number }[] = []
  readonly restored: number[] = []
  readonly problems: LogProblem[] = []
  #prev = FIRST_PREV
  #seq = 0

  add(record: LogRecord): void {
    const hash = hashRecord(record)
    if (isChained(record)) this.#addLink(record, hash)
    else this.checkpoints.push(this.records)
    this.#prev = hash
    this.records++
  }

  #addLink(record: LogRecord, hash: string): void {
    this.sealed++
    const { seq } = record
    if (!seq || !record.id || !record.prev || !record.hash) {
      this.#report('changed', seq, 'lacks a part of its place in the chain')
    } else if (record.hash !== hash) this.#report('changed', seq, 'was changed: its hash does not fit')
    if (record.prev !== undefined && record.prev !== this.#prev) {
      this.#report('chain', seq, 'does not follow the record before it')
    }
    if (!seq) return
    if (record.action === 'restored') this.restored.push(seq)
    if (seq <= this.#seq) this.#report('order', seq, `comes after number ${this.#seq}`)
    else if (seq > this.#seq + 1) this.#reportGap(record, seq)
    this.#seq = Math.max(this.#seq, seq)
  }

  #reportGap({ action }: LogRecord, before: number): void {
    this.gaps.push({ after: this.#seq, before })
    if (action === 'restored') return
    const [first, last] = [this.#seq + 1, before - 1]
    const what = first === last ? `record ${first}, which is` : `records ${first} to ${last}, which are`
    this.#report('gap', before, `should follow ${what} not there`)
  }

  #report(kind: LogProblemKind, seq: number | undefined, text: string): void {
    this.problems.push({ kind, index: this.records, seq, text })
  }
}

/** Compares a log with the last record that its vault has committed. */
class AnchorCheck {
  readonly #anchor: LogAnchor
  /** Hashes by `seq` of the records that may be missing. */
  readonly #pending: ReadonlyMap<number | undefined, string | undefined>
  readonly #ahead: LogProblem[] = []
  readonly #forked: LogProblem[] = []
  #isFound: boolean
  #lastSeq = 0

  constructor(anchor: LogAnchor) {
    this.#anchor = anchor
    this.#pending = new Map(anchor.pending?.map((record) => [record.seq, record.hash]))
    this.#isFound = anchor.seq === 0
  }

  add(record: LogRecord, index: number): void {
    const { seq, hash } = record
    if (seq === undefined) return
    if (seq <= this.#anchor.seq) this.#lastSeq = Math.max(this.#lastSeq, seq)
    if (seq === this.#anchor.seq && hash === this.#anchor.head) this.#isFound = true
    else if (seq === this.#anchor.seq || this.#pending.has(seq)) this.#compare(record, index)
    else if (seq > this.#anchor.seq) {
      this.#ahead.push({ kind: 'ahead', index, seq, text: 'is not known to the vault: an old vault was restored' })
    }
  }

  finish(): { readonly problems: readonly LogProblem[]; readonly isAnchored: boolean } {
    const { seq, head } = this.#anchor
    const isAnchored = this.#isFound || this.#pending.get(seq) === head
    const problems = [...this.#forked, ...this.#ahead]
    if (this.#isMissingMore() && this.#forked.length === 0) {
      const text = `ends behind the vault: record ${seq} is missing`
      problems.push({ kind: 'behind', index: undefined, seq, text })
    }
    return { problems, isAnchored: isAnchored && this.#forked.length === 0 }
  }

  #compare({ seq, hash }: LogRecord, index: number): void {
    if (seq !== undefined && this.#pending.get(seq) === hash) return
    this.#forked.push({ kind: 'forked', index, seq, text: 'is not the one that the vault has committed' })
  }

  /** What is missing between the log's last record and the vault's must all be pending. */
  #isMissingMore(): boolean {
    if (this.#isFound) return false
    for (let seq = this.#lastSeq + 1; seq <= this.#anchor.seq; seq++) if (!this.#pending.has(seq)) return true
    return false
  }
}
