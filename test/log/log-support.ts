import { FIRST_PREV, hashRecord, type LogFields, type LogRecord, sealRecord } from '../../src/log/record.js'
import {
  type AppendOptions,
  ConflictError,
  type Reader,
  type ReplaceOptions,
  type Revision,
  type Transaction,
} from '../../src/storage/store.js'

/** A log in memory that counts what is read and written, and does what the store's transaction promises. */
export class MemoryLog {
  bytes: Buffer | undefined
  readBytes = 0
  reads = 0
  writes: { readonly at: number; readonly bytes: Buffer }[] = []
  replacements = 0
  #version = 0

  constructor(bytes?: Buffer | string) {
    this.bytes = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  }

  reader(): Reader {
    const { bytes } = this
    if (!bytes) throw new Error('there is no log')
    return {
      revision: this.#revision(),
      size: bytes.length,
      read: (position, length) => {
        const block = bytes.subarray(position, position + length)
        this.reads++
        this.readBytes += block.length
        return Buffer.from(block)
      },
      close: () => {},
    }
  }

  transaction(): Transaction {
    return {
      read: () => {
        throw new Error('the log is never read whole')
      },
      open: () => (this.bytes === undefined ? undefined : this.reader()),
      replace: (_, bytes, options) => this.#replace(bytes, options),
      append: (_, bytes, options) => this.#append(bytes, options),
      discardPrevious: () => {},
    }
  }

  #revision(): Revision {
    return { id: String(this.#version), size: this.bytes?.length ?? 0 }
  }

  #check(expected: Revision | undefined): void {
    const current = this.bytes === undefined ? undefined : this.#revision().id
    if (expected?.id !== current) throw new ConflictError('changed')
  }

  #replace(bytes: Buffer, { expected, verify }: ReplaceOptions): Revision {
    this.#check(expected)
    verify(Buffer.from(bytes))
    this.bytes = bytes
    this.replacements++
    this.#version++
    return this.#revision()
  }

  #append(bytes: Buffer, { expected, at }: AppendOptions): Revision {
    this.#check(expected)
    this.writes.push({ at, bytes })
    this.bytes = Buffer.concat([(this.bytes ?? Buffer.alloc(0)).subarray(0, at), bytes])
    this.#version++
    return this.#revision()
  }
}

/** Chains records onto each other, as a vault does. */
export function chainRecords(fields: readonly Partial<LogFields>[], before: readonly LogRecord[] = []): LogRecord[] {
  const last = before.at(-1)
  let prev = last ? hashRecord(last) : FIRST_PREV
  let seq = before.reduce((highest, record) => Math.max(highest, record.seq ?? 0), 0)
  return fields.map((field) => {
    const record = sealRecord(
      { credential: 'scavio_api_key', rotated_at: '2026-11-22T18:02:11.123Z', action: 'rotated', ...field },
      { seq: ++seq, prev, id: seq.toString(16).padStart(16, '0') },
    )
    prev = record.hash
    return record
  })
}

/** Makes `count` records, each of another credential. */
export function makeChain(count: number, before: readonly LogRecord[] = []): LogRecord[] {
  const fields = Array.from({ length: count }, (_, index) => ({ credential: `key_${before.length + index}` }))
  return chainRecords(fields, before)
}

/** A record as a tutorial program writes it. */
export function foreignRecord(credential = 'foreign'): LogRecord {
  return { credential, rotated_at: '2026-11-22T17:39:31.591076', action: 'rotated' }
}

/** Lays records out as mcpvault does. */
export function layLines(records: readonly object[]): Buffer {
  if (records.length === 0) return Buffer.from('[\n]\n')
  return Buffer.from(`[\n${records.map((record) => JSON.stringify(record)).join('\n,')}\n]\n`)
}
