/**
 * The audit log, `mcp_audit.jsonl`: one JSON line before anything is decrypted for a request or for a program that is
 * started, one with its result.
 *
 * Lines are handed to the kernel before the call goes on, not synced one by one: a killed process loses none, a power cut
 * the last ones. Arguments and results are never written.
 */

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { VaultError } from '../errors.js'
import { formatUtc } from '../timestamp.js'
import type { RequestId } from './rpc.js'
import type { CredentialUse } from './upstream.js'

/** What is known of a request before it is made. */
export interface AuditIntent {
  /** The token's id. */
  readonly token: string
  readonly upstream: string
  /** The upstream's host, or its command. */
  readonly place: string
  readonly method: string
  readonly tool?: string | undefined
  readonly credentials: readonly CredentialUse[]
  readonly request?: RequestId | undefined
  readonly trace?: string | undefined
}

/** How a request ended. */
export interface AuditResult {
  readonly outcome: 'ok' | 'error' | 'failed' | 'cancelled'
  readonly status?: number | undefined
  /** Why it failed, in closed words. */
  readonly reason?: string | undefined
  readonly ms: number
}

/** A request that was refused. */
export interface AuditRefusal {
  readonly token?: string | undefined
  readonly upstream?: string | undefined
  readonly method?: string | undefined
  readonly tool?: string | undefined
  readonly reason: string
  readonly trace?: string | undefined
}

/** A program that is about to be started with credentials in its environment. */
export type AuditStart = Pick<AuditIntent, 'upstream' | 'place' | 'credentials'>

/** A request whose credential was refused. */
export type AuditRetry = Pick<AuditIntent, 'upstream' | 'credentials' | 'request'>

/** Where the log is, and the clock. */
export interface AuditOptions {
  readonly path: string
  now(): number
  randomBytes(length: number): Buffer
}

const LONGEST_MEMBER = 256
const LINE_FEED = 0x0a

/** Appends to the audit log. Several processes may. */
export class AuditLog {
  readonly #options: AuditOptions
  readonly #run: string
  #fd: number | undefined
  #calls = 0
  #isTorn = false

  constructor(options: AuditOptions) {
    this.#options = options
    this.#run = options.randomBytes(6).toString('hex')
  }

  /**
   * Records that a request is about to be made; gives the id that its result is recorded under.
   *
   * @throws {VaultError} IO, UNSAFE if it cannot be written: then nothing may be decrypted.
   */
  intent(intent: AuditIntent): string {
    return this.#begin('call', intent)
  }

  /**
   * Records that a program is about to be started; gives the id that its end is recorded under, as a result.
   *
   * @throws {VaultError} IO, UNSAFE if it cannot be written: then nothing may be decrypted, and nothing started.
   */
  start(start: AuditStart): string {
    return this.#begin('start', start)
  }

  /**
   * Records that a request is about to be made once more, with other versions than were meant.
   *
   * @throws {VaultError} IO, UNSAFE if it cannot be written: then it may not be made.
   */
  retry(retry: AuditRetry): void {
    this.#write('retry', retry)
  }

  /** Records how a request or a program ended. @throws {VaultError} IO, UNSAFE */
  result(id: string, result: AuditResult): void {
    this.#write('result', { id, ...result })
  }

  /** Records that a request was refused. @throws {VaultError} IO, UNSAFE */
  refusal(refusal: AuditRefusal): void {
    this.#write('refused', refusal)
  }

  /** Records that an upstream gave a credential back. @throws {VaultError} IO, UNSAFE */
  leak(upstream: string, use: CredentialUse): void {
    this.#write('leak', { upstream, credentials: [use] })
  }

  /** Opens the log, to find out early that it cannot be. @throws {VaultError} IO, UNSAFE */
  prepare(): void {
    try {
      this.#fd ??= this.#open()
    } catch (error) {
      if (error instanceof VaultError) throw error
      throw new VaultError('IO', this.#failure('the system refused'), { cause: error })
    }
  }

  /** Opens the file anew at the next line, for whoever has renamed it away. */
  reopen(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #begin(event: string, members: object): string {
    this.#calls += 1
    const id = `${this.#run}-${this.#calls}`
    this.#write(event, { id, ...members })
    return id
  }

  #write(event: string, members: object): void {
    const record = { at: formatUtc(this.#options.now()), event, ...members }
    const line = `${this.#isTorn ? '\n' : ''}${print(record)}\n`
    try {
      this.#fd ??= this.#open()
      const bytes = Buffer.from(line)
      const written = writeSync(this.#fd, bytes)
      this.#isTorn = written < bytes.length && bytes[written - 1] !== LINE_FEED
      if (written < bytes.length) throw new VaultError('IO', this.#failure('the disk is full'))
    } catch (error) {
      if (error instanceof VaultError) throw error
      throw new VaultError('IO', this.#failure('the system refused'), { cause: error })
    }
  }

  #open(): number {
    const { path } = this.#options
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
    const fd = openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    const stats = fstatSync(fd)
    if (!stats.isFile() || (stats.mode & 0o022) !== 0) {
      closeSync(fd)
      const reason = stats.isFile() ? 'other users can write it' : 'it is no regular file'
      throw new VaultError('UNSAFE', this.#failure(reason), { hints: [`chmod 600 "${path}"`] })
    }
    return fd
  }

  #failure(reason: string): string {
    return `cannot write the audit log "${this.#options.path}": ${reason}`
  }

  /** Tells whether the log can be opened now. */
  isWritable(): boolean {
    try {
      this.prepare()
      return true
    } catch {
      return false
    }
  }
}

/** Short as a whole is short in its members. Printing through a function takes several times as long as without. */
function print(record: object): string {
  const text = JSON.stringify(record)
  return text.length <= LONGEST_MEMBER || !hasLong(record) ? text : JSON.stringify(record, shorten)
}

function hasLong(value: unknown): boolean {
  if (typeof value === 'string') return value.length > LONGEST_MEMBER
  return typeof value === 'object' && value !== null && Object.values(value).some(hasLong)
}

/** Clients choose names and ids, and the log is not theirs to fill. */
function shorten(_name: string, value: unknown): unknown {
  return typeof value === 'string' && value.length > LONGEST_MEMBER ? `${value.slice(0, LONGEST_MEMBER)}…` : value
}
