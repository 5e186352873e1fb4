/**
 * High-water marks: the furthest state of each vault that this machine has seen, one small file a vault in the state
 * directory, so that an old copy of a vault put back in its place is noticed.
 *
 * A mark is `{"mark":{…},"sha256":"<of the mark's JSON>"}` and a line feed; any other byte makes it DAMAGED.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { VaultError } from '../errors.js'
import { ensurePrivateDirectory } from './create-file.js'
import { isDenied } from './io-error.js'
import { tryLock } from './lock.js'
import { readFileChecked, type StorageHost } from './read-file.js'
import { replaceFile } from './replace-file.js'
import { ConflictError, type HighWaterMarks, type Mark, type Snapshot } from './store.js'
import { guiseBeside, sweepTempFiles } from './temp-file.js'
import { shellWord } from '../shell-word.js'

/** What marks need of the world. */
export interface HighWaterOptions {
  /** Where the marks lie; created when the first is written. */
  readonly directory: string
  readonly host: StorageHost
  readonly randomBytes: (length: number) => Buffer
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Told once when the mark is there and may not be read. */
  readonly warn: (text: string) => void
}

const LARGEST_MARK = 4096
const WHAT = 'high-water mark'

/** Opens the marks in a directory, which need not exist. */
export function openHighWaterMarks(options: HighWaterOptions): HighWaterMarks {
  let isWarned = false
  const warn = (text: string): void => {
    if (!isWarned) options.warn(text)
    isWarned = true
  }
  return {
    read: (id) => {
      const path = markPath(options.directory, id)
      const snapshot = readIfAllowed(path, { ...options, warn })
      return snapshot && parseMark(path, snapshot.bytes)
    },
    raise: (id, merge) => {
      try {
        return raiseMark(markPath(options.directory, id), merge, options)
      } catch (error) {
        const isOutOfReach =
          error instanceof VaultError && ['IO', 'DURABILITY', 'LOCKED', 'UNSAFE'].includes(error.code)
        if (isOutOfReach || error instanceof ConflictError) return false
        throw error
      }
    },
  }
}

function markPath(directory: string, id: string): string {
  // The id comes out of a vault that anybody may have written, and becomes a file name here.
  if (!/^[A-Za-z0-9_-]{1,86}$/.test(id)) throw new VaultError('DAMAGED', 'cannot look up a vault: its id is malformed')
  return join(directory, `${id}.json`)
}

/** A state directory that cannot be read is like one on a fresh machine. */
function readIfAllowed(path: string, options: HighWaterOptions): Snapshot | undefined {
  try {
    return readMarkFile(path, options)
  } catch (error) {
    if (!(error instanceof VaultError && error.code === 'IO')) throw error
    if (isDenied(error.cause)) {
      const advice = error.hints.map((hint) => `; ${hint}`).join('')
      options.warn(`${error.message}, so an older copy of the vault would not be noticed${advice}`)
    }
    return undefined
  }
}

function readMarkFile(path: string, { host }: HighWaterOptions): Snapshot | undefined {
  try {
    return readFileChecked(path, { what: WHAT, maxBytes: LARGEST_MARK, host })
  } catch (error) {
    if (error instanceof VaultError && error.code === 'INPUT') throw damagedMark(path, error)
    throw error
  }
}

/** `rm -ri` also removes what is no file. */
function damagedMark(path: string, cause?: unknown): VaultError {
  const command = cause === undefined ? 'rm -i' : 'rm -ri'
  return new VaultError('DAMAGED', `cannot read the ${WHAT} "${path}": it is damaged`, {
    hints: [`if you trust the vault as it is, start afresh: ${command} ${shellWord(path)}`],
    cause,
  })
}

function raiseMark(
  path: string,
  merge: (stored: Mark | undefined) => Mark | undefined,
  options: HighWaterOptions,
): boolean {
  const read = () => readMarkFile(path, options)
  const change = (snapshot: Snapshot | undefined): Buffer | undefined => {
    const merged = merge(snapshot && parseMark(path, snapshot.bytes))
    const bytes = merged && formatMark(merged)
    return bytes && snapshot?.bytes.equals(bytes) ? undefined : bytes
  }
  // Most commands find the mark where it belongs; taking the lock would cost `load` a third of its time. A lock that
  // lies there may be one that a killed process left: then this is who clears it away.
  const isThere = change(read()) === undefined
  if (isThere && !existsSync(`${path}.lock`)) return true
  ensurePrivateDirectory(options.directory)
  const guise = guiseBeside(options.directory, options.host)
  const lock = tryLock(`${path}.lock`, { ...options, command: 'mark', guise })
  if (!lock) return isThere
  try {
    sweepTempFiles([path, `${path}.lock`])
    const snapshot = read()
    const bytes = change(snapshot)
    if (!bytes) return true
    replaceFile(path, bytes, {
      what: WHAT,
      expected: snapshot?.revision,
      verify: (written) => void parseMark(path, written),
      fence: () => lock.assertHeld(),
      randomBytes: options.randomBytes,
      newGuise: guise,
    })
    return true
  } finally {
    lock.release()
  }
}

function formatMark(mark: Mark): Buffer {
  const { vault, tokens, place } = mark
  const ordered = {
    ...(vault && { vault: orderVault(vault) }),
    ...(tokens && { tokens: { seq: tokens.seq, mac: tokens.mac } }),
    ...(place && { place: { vault: place.vault } }),
  }
  const sha256 = createHash('sha256').update(JSON.stringify(ordered)).digest('hex')
  return Buffer.from(`${JSON.stringify({ mark: ordered, sha256 })}\n`, 'utf8')
}

function orderVault({ gen, mac, commit, past = [], isUnconfirmed }: NonNullable<Mark['vault']>): object {
  return { gen, mac, commit, ...(past.length > 0 && { past }), ...(isUnconfirmed && { isUnconfirmed }) }
}

function parseMark(path: string, bytes: Buffer): Mark {
  try {
    const { mark } = JSON.parse(bytes.toString('utf8')) as { readonly mark: Mark }
    // Written anew and compared, so that any other byte, even one that JSON does not mind, is noticed.
    if (isMark(mark) && formatMark(mark).equals(bytes)) return mark
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error
  }
  throw damagedMark(path)
}

function isMark(value: Mark): boolean {
  const { vault, tokens, place } = value
  const isVault = vault === undefined || isVaultMark(vault)
  const isTokens = tokens === undefined || (isCount(tokens.seq) && isText(tokens.mac))
  return isVault && isTokens && (place === undefined || isText(place.vault))
}

function isVaultMark({ gen, mac, commit, past, isUnconfirmed }: NonNullable<Mark['vault']>): boolean {
  const isPast = past === undefined || (Array.isArray(past) && past.every(isText))
  return isCount(gen) && isText(mac) && isText(commit) && isPast && (isUnconfirmed ?? true) === true
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0
}
