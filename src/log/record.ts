/**
 * One record of the rotation log: its members, their order, and the hash that chains it to the record before.
 *
 * @module
 */

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
