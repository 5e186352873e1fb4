/**
 * One record of the rotation log: its members, their order, and the hash that chains it to the record before.
 *
 * The hash is SHA-256 over `JSON.stringify` of the record without `hash`, members in file order. It is therefore blind
 * to white space and to how characters are escaped: a program that reads the log and writes it in another layout keeps
 * every hash.
 *
 * @module
 */

import { sha256 } from '../crypto/kdf.js'
import { rawRecord } from './parse.js'

/** What happened; `created` and `rotated` are the tutorial's two. */
export type LogAction =
  | 'created'
  | 'rotated'
  | 'rolled-back'
  | 'aborted'
  | 'retired'
  | 'removed'
  | 'renamed'
  | 'imported'
  | 'leaked'
  | 'restored'
  | 'key-added'
  | 'key-removed'
  | 'key-rotated'

/**
 * A record as it stands in the file, members in file order. Records by other programs have the first three members at
 * most; a record in a tutorial log that is not a creation or rotation has `credential: null` and its name in `subject`,
 * because the tutorial takes a name's last record for its rotation.
 */
export interface LogRecord {
  readonly credential: string | null
  readonly rotated_at: string
  readonly action: LogAction
  readonly subject?: string
  /** The name before, of a credential that was `renamed`. */
  readonly from?: string
  readonly version?: number
  /** How many credentials a record stands for that names none (`imported`). */
  readonly count?: number
  /** 1 for the first; order is `seq`, never time. */
  readonly seq?: number
  /** 16 hex digits, unique; replay is idempotent by it. */
  readonly id?: string
  /** `user@host`. */
  readonly by?: string
  readonly reason?: string
  /** SHA-256 (hex) of the record before, 64 zeros for the first. */
  readonly prev?: string
  /** SHA-256 (hex) of `JSON.stringify` of this record without `hash`, members in file order. */
  readonly hash?: string
}

/** What the caller knows of a record before it is chained. */
export type LogFields = Pick<LogRecord, 'credential' | 'rotated_at' | 'action'> &
  Partial<Pick<LogRecord, 'subject' | 'from' | 'version' | 'count' | 'by' | 'reason'>>

/** A record's place in the chain. */
export interface LogPlace {
  readonly seq: number
  /** {@link hashRecord} of the record before in the file, {@link FIRST_PREV} for the first. */
  readonly prev: string
  /** 16 hex digits. */
  readonly id: string
}

/** A record of ours: it has its place in the chain and its own hash. */
export type SealedRecord = LogRecord & LogPlace & { readonly hash: string }

/** What the first record of a log names as the record before it. */
export const FIRST_PREV = '0'.repeat(64)

/** Computes the hash of a record as it stands in the file; its own `hash` member is left out. */
export function hashRecord(record: object): string {
  const { hash: _, ...hashed } = rawRecord(record) as { readonly hash?: unknown }
  return sha256(JSON.stringify(hashed)).toString('hex')
}

/** Chains a record: puts its members in order, the tutorial's three first, and adds the hash. */
export function sealRecord(fields: LogFields, { seq, prev, id }: LogPlace): SealedRecord {
  const record = {
    credential: fields.credential,
    rotated_at: fields.rotated_at,
    action: fields.action,
    ...(fields.subject === undefined ? {} : { subject: fields.subject }),
    ...(fields.from === undefined ? {} : { from: fields.from }),
    ...(fields.version === undefined ? {} : { version: fields.version }),
    ...(fields.count === undefined ? {} : { count: fields.count }),
    seq,
    id,
    ...(fields.by === undefined ? {} : { by: fields.by }),
    ...(fields.reason === undefined ? {} : { reason: fields.reason }),
    prev,
  }
  return { ...record, hash: hashRecord(record) }
}

/** Gives the name of the credential that a record is about; undefined when it names none. */
export function recordName(record: LogRecord): string | undefined {
  return record.credential ?? record.subject
}

/** Tells whether a record claims a place in the chain; the others were written by other programs. */
export function isChained(record: LogRecord): boolean {
  const raw = rawRecord(record)
  return ['seq', 'id', 'prev', 'hash'].some((member) => Object.hasOwn(raw, member))
}
