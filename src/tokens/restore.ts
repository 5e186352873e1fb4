import { readerOfBytes } from '../log/bytes-reader.js'
import { VaultError } from '../errors.js'
import type { HighWaterMarks, Revision, Store, Transaction } from '../storage/store.js'
import type { TokensMark } from './record-chain.js'
import { sealRecords } from './record-line.js'
import { type TokenKeys, TokenRecords } from './records.js'

/** What token records are put back with. */
export interface TokenRestore {
  readonly store: Store
  /** The vault that is put back. */
  readonly keys: TokenKeys
  readonly nowMs: number
  warn(message: string): void
}

/**
 * Puts the token records of a backup back, or keeps those in place; gives how many tokens were revoked.
 *
 * Records in place that continue the backup's are kept: what was revoked since stays revoked. Without any in place the
 * backup's are taken. Where neither continues the other, where those in place are damaged, or where this machine has
 * seen more than is left, every token is revoked: nobody knows any more which of them should be. Each outcome is one
 * write.
 *
 * @throws {ConflictError} if another program wrote them meanwhile.
 * @throws {VaultError} IO, DURABILITY, LOCKED, UNSAFE
 */
export function restoreTokens(transaction: Transaction, backup: Buffer | undefined, target: TokenRestore): number {
  const snapshot = transaction.read('tokens')
  const place: Place = { transaction, target, expected: snapshot?.revision }
  const inPlace = snapshot && openTokenBytes(snapshot.bytes, target)
  const old = backup && openTokenBytes(backup, target)
  if (backup !== undefined && old === undefined) {
    target.warn('the token records in the backup are damaged and were not put back')
  }
  if (inPlace !== undefined && snapshot !== undefined) {
    const isOlder = old !== undefined && !continues(snapshot.bytes, old, target)
    if (backup !== undefined && isOlder && continues(backup, inPlace, target)) {
      return layRecords(backup, old, { ...place, isDoubtful: false })
    }
    return keepRecords(inPlace, { ...place, isDoubtful: isOlder })
  }
  if (old !== undefined && backup !== undefined) {
    return layRecords(backup, old, { ...place, isDoubtful: snapshot !== undefined })
  }
  if (snapshot !== undefined) target.warn(`the token records "${target.store.locate('tokens')}" are damaged`)
  else resetMark(target)
  return 0
}

/**
 * Opens token records that lie in memory and compares them with a mark, by default what this machine has seen; undefined
 * when they are damaged or of another vault.
 */
export function openTokenBytes(
  bytes: Buffer,
  { store, keys }: Pick<TokenRestore, 'store' | 'keys'>,
  readMark: HighWaterMarks['read'] = (id) => store.marks.read(id),
): TokenRecords | undefined {
  const memory: Store = {
    ...store,
    open: () => readerOfBytes(bytes),
    isAt: () => true,
    marks: { read: readMark, raise: () => false },
  }
  try {
    return TokenRecords.open(memory, keys, { acceptRestore: true })
  } catch (error) {
    if (error instanceof VaultError && (error.code === 'DAMAGED' || error.code === 'INPUT')) return undefined
    throw error
  }
}

interface Place {
  readonly transaction: Transaction
  readonly target: TokenRestore
  readonly expected: Revision | undefined
}

interface Doubt extends Place {
  readonly isDoubtful: boolean
}

/** Whether records go on from others: they then cover the mark that the others would leave. */
function continues(bytes: Buffer, others: TokenRecords, target: TokenRestore): boolean {
  const tokens = markOf(others)
  const records = openTokenBytes(bytes, target, () => (tokens === undefined ? undefined : { tokens }))
  const isSameStore = records?.storeId?.equals(others.storeId ?? Buffer.alloc(0)) === true
  return isSameStore && !records.isBehind
}

function markOf({ end }: TokenRecords): TokensMark | undefined {
  if (end === undefined || end.seq === 1) return undefined
  return { seq: end.seq - 1, mac: end.previousMac.toString('base64url') }
}

function keepRecords(records: TokenRecords, { transaction, target, expected, isDoubtful }: Doubt): number {
  if (!isDoubtful && !records.isBehind) return 0
  const { lines, revoked } = sealRevocations(records, target.nowMs)
  if (expected !== undefined && records.end !== undefined && revoked > 0) {
    transaction.append('tokens', lines, { expected, at: records.end.size })
  }
  if (records.isBehind) resetMark(target)
  return revoked
}

function layRecords(bytes: Buffer, records: TokenRecords, place: Doubt): number {
  const { transaction, target, expected, isDoubtful } = place
  const isStale = isDoubtful || records.isBehind
  const { lines, revoked } = isStale ? sealRevocations(records, target.nowMs) : { lines: Buffer.alloc(0), revoked: 0 }
  const laid = isStale ? Buffer.concat([bytes.subarray(0, records.end?.size), lines]) : bytes
  transaction.replace('tokens', laid, {
    expected,
    verify: (read) => {
      if (!read.equals(laid)) throw new VaultError('IO', 'the disk gave back other bytes than were written')
    },
  })
  if (isStale) resetMark(target)
  return revoked
}

/** Makes what lies there now, or that nothing does, the furthest that this machine knows. */
function resetMark({ store, keys }: TokenRestore): void {
  const records = TokenRecords.open(store, keys, { acceptRestore: true })
  if (records.isBehind) records.resetMark()
  records.close()
}

function sealRevocations(records: TokenRecords, atMs: number): { readonly lines: Buffer; readonly revoked: number } {
  const { end, tokensKey } = records
  const alive = records.all().filter((record) => record.revokedMs === undefined)
  if (end === undefined || tokensKey === undefined) return { lines: Buffer.alloc(0), revoked: 0 }
  const entries = alive.map(({ id }) => ({ type: 'revoke', id, atMs }) as const)
  return { lines: sealRecords(entries, tokensKey.reveal(), end), revoked: alive.length }
}
