/** Drops the records of tokens that have ended from a file that has grown. */

import type { RecordsEnd } from './record-chain.js'
import { encodeHeader, headerDigest, type RecordEntry, sealBase, sealRecords, type TokenRecord } from './record-line.js'
import { endOf } from './records.js'

/** Records that are read whole, and where they end. */
export interface CompactSource {
  readonly records: readonly TokenRecord[]
  readonly end: RecordsEnd
  /** Milliseconds since the epoch. */
  readonly nowMs: number
}

/** What a compaction writes with. */
export interface CompactKeys {
  readonly storeId: Buffer
  readonly tokensKey: Buffer
}

const NEWLINE = Buffer.from('\n')
const GROWN_BYTES = 64 * 1024
const DAY_MS = 86_400_000

/**
 * Lays out what is worth keeping of records that are longer than 64 KiB and more than half of which is not; undefined
 * leaves them.
 *
 * An expired token is dropped at once and a revoked one after a day: its id is then unknown, and refused as before. The
 * reservations of a token become one. Numbers go on from the base, so that an older copy is still a shorter one.
 */
export function compactRecords(source: CompactSource, keys: CompactKeys): Buffer | undefined {
  const { records, end, nowMs } = source
  if (end.size <= GROWN_BYTES) return undefined
  const kept = records.filter((record) => !isGone(record, nowMs))
  const lines = kept.reduce((count, record) => count + countEntries(record), 0)
  if (lines * 2 >= end.lines) return undefined
  const { storeId, tokensKey } = keys
  const header = encodeHeader(storeId)
  const seq = end.seq - 1
  const base = sealBase({ seq, head: end.previousMac, lines, atMs: nowMs }, tokensKey, headerDigest(header))
  const entries = kept.flatMap((record) => entriesOf(record, nowMs))
  const rest = sealRecords(entries, tokensKey, { seq: end.seq, previousMac: base.mac })
  return Buffer.concat([header, NEWLINE, base.line, NEWLINE, rest])
}

function isGone(record: TokenRecord, nowMs: number): boolean {
  const isLongRevoked = record.revokedMs !== undefined && record.revokedMs + DAY_MS <= nowMs
  return isLongRevoked || endOf(record) <= nowMs
}

function entriesOf({ id, label, caveats, createdMs, revokedMs, reserved }: TokenRecord, nowMs: number): RecordEntry[] {
  const entries: RecordEntry[] = [{ type: 'create', id, atMs: createdMs, label, caveats }]
  // Before the revocation, as a writer would have it.
  if (reserved !== undefined) entries.push({ type: 'reserve', id, atMs: nowMs, calls: [...reserved] })
  if (revokedMs !== undefined) entries.push({ type: 'revoke', id, atMs: revokedMs })
  return entries
}

function countEntries({ revokedMs, reserved }: TokenRecord): number {
  return 1 + (reserved === undefined ? 0 : 1) + (revokedMs === undefined ? 0 : 1)
}
