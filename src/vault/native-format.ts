/**
 * The native file format: `["mcpvault/1",\n` header `,\n` (entry `,\n`)* `"` mac `"]\n`, one element a line.
 *
 * The header and every entry are JSON in one canonical spelling: parsing rebuilds the value member by member and the
 * rebuilt spelling must be the one read, so that repeated or unknown members, white space and odd escapes are refused.
 * The MAC covers every byte up to and including the `"` that opens the last element. All binary members are base64url
 * without padding.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import { decodeBase64url } from '../crypto/encoding.js'
import { VaultError } from '../errors.js'
import type { LogRecord } from '../log/record.js'
import { parseTimestamp } from '../timestamp.js'
import { MAX_NAME_BYTES } from './name.js'
import { MAX_ENTRIES, MAX_VAULT_BYTES } from './vault.js'

/** First line of every native vault. */
export const NATIVE_MAGIC = '["mcpvault/1",\n'
const MAX_HEADER_BYTES = 64 * 1024
/** As `formatUtc` prints it; printing a time to compare it makes V8 look up the time zone, which a read never needs. */
const UTC_SPELLING = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
/** `"` + 43 characters + `"]\n` */
const TRAILER_BYTES = 47

/** scrypt's cost (RFC 7914): memory is 128 · n · r bytes. */
export interface PassphraseKdf {
  readonly name: 'scrypt'
  readonly n: number
  readonly r: number
  readonly p: number
  readonly salt: string
}

/** One way to open the vault: the data key, wrapped under a slot key. */
export interface KeySlot {
  readonly kid: string
  readonly type: 'raw' | 'passphrase'
  readonly kdf?: PassphraseKdf
  readonly wrap: string
}

/** The header line. Members are in file order. */
export interface NativeHeader {
  readonly vault_id: string
  readonly gen: number
  readonly keys: readonly KeySlot[]
  readonly dek: { readonly id: string; readonly commit: string; readonly count: number }
  readonly tokens_key: string
  readonly configs: readonly string[]
  readonly journal: readonly unknown[]
  readonly log: { readonly seq: number; readonly head: string; readonly pending: readonly LogRecord[] }
}

/** One version of a value: `n` is the nonce, `c` ciphertext ‖ tag. */
export interface NativeVersion {
  readonly ver: number
  readonly stage: 'current' | 'previous'
  readonly n: string
  readonly c: string
  readonly created: string
  readonly since?: string
  readonly until?: string
}

/** What stands behind a name. */
export interface NativeEntry {
  readonly versions: readonly NativeVersion[]
  readonly note?: string
}

/** A native file taken apart, not yet verified: nothing of it may be trusted before its MAC was checked. */
export interface NativeParts {
  readonly header: NativeHeader
  /** Entry lines, each with its `,\n`. */
  readonly entries: Buffer
  readonly macInput: Buffer
  readonly mac: Buffer
}

/** Builds the error for a file that cannot be what mcpvault wrote. */
export function damaged(what: string): VaultError {
  return new VaultError('DAMAGED', `the vault is damaged: ${what}`, {
    hints: ['the generation before may still be whole beside it, under the same name with .bak'],
  })
}

/**
 * Takes a native file apart; only the header is parsed.
 *
 * @throws {VaultError} DAMAGED
 */
export function splitNative(bytes: Buffer): NativeParts {
  const headerStart = NATIVE_MAGIC.length
  if (bytes.length < headerStart + TRAILER_BYTES || !bytes.subarray(0, headerStart).equals(Buffer.from(NATIVE_MAGIC))) {
    const format = /^\["(mcpvault\/\d{1,9})",/.exec(bytes.toString('latin1', 0, 64))?.[1]
    if (format !== undefined && format !== 'mcpvault/1') {
      throw new VaultError(
        'DAMAGED',
        `cannot read the vault: its format is ${format}, which this version does not know`,
        {
          hints: ['a newer mcpvault wrote it; update this one'],
        },
      )
    }
    throw damaged('its first line is not that of a format this version knows')
  }
  const headerEnd = bytes.indexOf(0x0a, headerStart)
  if (headerEnd < 0 || headerEnd - 1 - headerStart > MAX_HEADER_BYTES)
    throw damaged('its header line is cut or too long')
  const macStart = bytes.length - TRAILER_BYTES
  const trailer = /^"([A-Za-z0-9_-]{43})"\]\n$/.exec(bytes.toString('latin1', macStart))
  const mac = trailer && decodeBase64url(trailer[1] ?? '')
  if (!mac || headerEnd >= macStart || bytes[macStart - 1] !== 0x0a) throw damaged('its last line is cut or altered')
  if (bytes[headerEnd - 1] !== 0x2c) throw damaged('its header line is altered')
  return {
    header: parseHeader(bytes.subarray(headerStart, headerEnd - 1)),
    entries: bytes.subarray(headerEnd + 1, macStart),
    macInput: bytes.subarray(0, macStart + 1),
    mac,
  }
}

/**
 * Puts a file together; `sealMac` gets every byte that the MAC covers.
 *
 * @throws {VaultError} INPUT if the header would be over 64 KiB or the file over 64 MiB: nobody could read it again.
 */
export function joinNative(
  header: NativeHeader,
  entryLines: readonly Buffer[],
  sealMac: (input: Buffer) => Buffer,
): Buffer {
  const headerText = JSON.stringify(header)
  if (Buffer.byteLength(headerText) > MAX_HEADER_BYTES) {
    throw new VaultError('INPUT', 'cannot write the vault: its header would be over 64 KiB')
  }
  const input = Buffer.concat([Buffer.from(`${NATIVE_MAGIC}${headerText},\n`), ...entryLines, Buffer.from('"')])
  const bytes = Buffer.concat([input, Buffer.from(`${sealMac(input).toString('base64url')}"]\n`)])
  checkFileSize(bytes)
  return bytes
}

/** Refuses to write a vault that is too large to be read again. @throws {VaultError} INPUT */
export function checkFileSize(bytes: Buffer): void {
  if (bytes.length <= MAX_VAULT_BYTES) return
  throw new VaultError('INPUT', 'cannot write the vault: it would be over 64 MiB, its limit')
}

function parseHeader(line: Buffer): NativeHeader {
  const value = parseCanonical(line, rebuildHeader)
  if (value === undefined)
    throw damaged('its header is not in the form that this version writes; a newer mcpvault may have written it')
  return value
}

/** Parses JSON and rebuilds it; undefined unless the rebuilt value has exactly the spelling that was read. */
function parseCanonical<T>(line: Buffer, rebuild: (value: unknown) => T | undefined): T | undefined {
  if (!isUtf8(line)) return undefined
  const text = line.toString('utf8')
  try {
    const value = rebuild(JSON.parse(text))
    return value !== undefined && JSON.stringify(value) === text ? value : undefined
  } catch (error) {
    // A RangeError is what printing throws of a value that is nested too deeply.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}

function rebuildHeader(value: unknown): NativeHeader | undefined {
  if (!isObject(value) || !isObject(value.dek) || !isObject(value.log)) return undefined
  const { vault_id, gen, keys, dek, tokens_key, configs, journal, log } = value
  const slots = Array.isArray(keys) ? keys.map(rebuildSlot) : []
  const isValid =
    isBinary(vault_id, 16) &&
    isCount(gen) &&
    slots.length > 0 &&
    slots.every((slot) => slot !== undefined) &&
    typeof dek.id === 'string' &&
    isBinary(dek.commit, 32) &&
    isCount(dek.count) &&
    isBinary(tokens_key) &&
    Array.isArray(configs) &&
    configs.every(isHash) &&
    Array.isArray(journal) &&
    isCount(log.seq) &&
    isHash(log.head) &&
    Array.isArray(log.pending) &&
    log.pending.every(isObject)
  if (!isValid) return undefined
  return {
    vault_id,
    gen,
    keys: slots as readonly KeySlot[],
    dek: { id: dek.id as string, commit: dek.commit as string, count: dek.count as number },
    tokens_key,
    configs: configs as readonly string[],
    journal,
    log: { seq: log.seq as number, head: log.head as string, pending: log.pending as unknown as readonly LogRecord[] },
  }
}

function rebuildSlot(value: unknown): KeySlot | undefined {
  if (!isObject(value)) return undefined
  const { kid, type, kdf, wrap } = value
  if (typeof kid !== 'string' || !/^[0-9a-f]{16}$/.test(kid) || !isBinary(wrap, 60)) return undefined
  if (type === 'raw') return { kid, type, wrap }
  if (type !== 'passphrase' || !isObject(kdf) || kdf.name !== 'scrypt' || !isBinary(kdf.salt, 16)) return undefined
  if (!isCount(kdf.n) || !isCount(kdf.r) || !isCount(kdf.p)) return undefined
  return { kid, type, kdf: { name: 'scrypt', n: kdf.n, r: kdf.r, p: kdf.p, salt: kdf.salt }, wrap }
}

function rebuildEntry(value: unknown): readonly [string, NativeEntry] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined
  const [name, entry] = value as readonly unknown[]
  if (typeof name !== 'string' || !isNativeName(name) || !isObject(entry)) return undefined
  if (!Array.isArray(entry.versions) || entry.versions.length === 0) return undefined
  const versions = entry.versions.map(rebuildVersion)
  if (!versions.every((version) => version !== undefined)) return undefined
  if (versions.filter((version) => version.stage === 'current').length !== 1) return undefined
  const { note } = entry
  if (note !== undefined && typeof note !== 'string') return undefined
  return [name, note === undefined ? { versions } : { versions, note }]
}

/**
 * Tells whether the native format can hold a name. Half of a surrogate pair has no UTF-8, so two such names would be
 * sealed and sorted as one.
 */
export function isNativeName(name: string): boolean {
  return name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES
}

function rebuildVersion(value: unknown): NativeVersion | undefined {
  if (!isObject(value)) return undefined
  const { ver, stage, n, c, created, since, until } = value
  if (!isCount(ver) || ver === 0 || (stage !== 'current' && stage !== 'previous')) return undefined
  if (!isBinary(n, 12) || !isBinary(c) || !isTime(created)) return undefined
  if ((since !== undefined && !isTime(since)) || (until !== undefined && !isTime(until))) return undefined
  return {
    ver,
    stage,
    n,
    c,
    created,
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  }
}

/** Writes an entry as its line, with `,\n`. */
export function formatEntry(name: string, entry: NativeEntry): Buffer {
  return Buffer.from(`${JSON.stringify([name, entry])},\n`)
}

/**
 * Parses one entry line, with its `,\n`.
 *
 * @throws {VaultError} DAMAGED
 */
export function parseEntry(line: Buffer): readonly [string, NativeEntry] {
  const isComplete = line.length > 2 && line[line.length - 2] === 0x2c && line[line.length - 1] === 0x0a
  const entry = isComplete ? parseCanonical(line.subarray(0, -2), rebuildEntry) : undefined
  if (entry === undefined)
    throw damaged('an entry is not in the form that this version writes; a newer mcpvault may have written it')
  return entry
}

/** Finds the line of one name without parsing the others; a line break cannot stand inside a JSON string. */
export function findEntryLine(entries: Buffer, name: string): Buffer | undefined {
  const needle = Buffer.from(`${JSON.stringify([name]).slice(0, -1)},`)
  for (let at = entries.indexOf(needle); at >= 0; at = entries.indexOf(needle, at + 1)) {
    if (at === 0 || entries[at - 1] === 0x0a) return entries.subarray(at, entries.indexOf(0x0a, at) + 1)
  }
  return undefined
}

/**
 * Cuts the entries into lines and names, checking order and number.
 *
 * @throws {VaultError} DAMAGED
 */
export function splitEntries(entries: Buffer): Map<string, Buffer> {
  const lines = new Map<string, Buffer>()
  let before: Buffer | undefined
  for (let start = 0; start < entries.length; ) {
    const end = entries.indexOf(0x0a, start) + 1
    if (end === 0) throw damaged('its last entry is cut')
    const line = entries.subarray(start, end)
    const name = entryName(line)
    const nameBytes = Buffer.from(name)
    if (before !== undefined && Buffer.compare(before, nameBytes) >= 0) throw damaged('its entries are out of order')
    if (lines.size >= MAX_ENTRIES) throw damaged('it has more than 100,000 entries')
    lines.set(name, line)
    before = nameBytes
    start = end
  }
  return lines
}

/** Reads the name at the start of an entry line: the JSON string between `[` and the first `"` that is not escaped. */
function entryName(line: Buffer): string {
  let end = 2
  while (end < line.length && line[end] !== 0x22) end += line[end] === 0x5c ? 2 : 1
  const name = line[0] === 0x5b && line[1] === 0x22 ? parseCanonical(line.subarray(1, end + 1), asName) : undefined
  if (name === undefined) throw damaged('an entry has no readable name')
  return name
}

function asName(value: unknown): string | undefined {
  return typeof value === 'string' && isNativeName(value) ? value : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

function isBinary(value: unknown, length?: number): value is string {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : undefined
  return bytes !== undefined && (length === undefined || bytes.length === length)
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && UTC_SPELLING.test(value) && parseTimestamp(value) !== undefined
}
