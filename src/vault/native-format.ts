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

import { decodeBase64url } from '../crypto/encoding.js'
import { VaultError } from '../errors.js'
import type { LogRecord } from '../log/record.js'
import { damaged, isBinary, isCount, isHash, isObject, parseCanonical } from './canonical.js'
import { type JournalEntry, rebuildJournal } from './native-journal.js'
import { MAX_VAULT_BYTES } from './vault.js'

/** First line of every native vault. */
export const NATIVE_MAGIC = '["mcpvault/1",\n'
const MAX_HEADER_BYTES = 64 * 1024
/** How many gateway configurations are approved at once; the oldest goes. */
export const MAX_CONFIGS = 16
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

/** The way from an age identity to a slot key: the slot key as an age file for one X25519 recipient. */
export interface AgeKdf {
  readonly name: 'age'
  readonly recipient: string
  readonly file: string
}

/** One way to open the vault: the data key, wrapped under a slot key. Members are in file order. */
export interface KeySlot {
  readonly kid: string
  readonly type: 'raw' | 'passphrase' | 'age'
  /** Set when the raw key lies in the keychain of an operating system, under `kid`. */
  readonly keychain?: true
  /** Whose it is, for people. */
  readonly label?: string
  readonly kdf?: PassphraseKdf | AgeKdf
  readonly wrap: string
}

/** The data key, as the header names it. */
export interface DataKeyHeader {
  readonly id: string
  readonly commit: string
  readonly count: number
  /** The data keys before it, sealed; missing for the first. */
  readonly past?: string
}

/** The header line. Members are in file order. */
export interface NativeHeader {
  readonly vault_id: string
  readonly gen: number
  readonly keys: readonly KeySlot[]
  readonly dek: DataKeyHeader
  readonly tokens_key: string
  readonly configs: readonly string[]
  readonly journal: readonly JournalEntry[]
  readonly log: { readonly seq: number; readonly head: string; readonly pending: readonly LogRecord[] }
}

/** A native file taken apart, not yet verified: nothing of it may be trusted before its MAC was checked. */
export interface NativeParts {
  readonly header: NativeHeader
  /** Entry lines, each with its `,\n`. */
  readonly entries: Buffer
  readonly macInput: Buffer
  readonly mac: Buffer
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

function rebuildHeader(value: unknown): NativeHeader | undefined {
  if (!isObject(value) || !isObject(value.dek) || !isObject(value.log)) return undefined
  const { vault_id, gen, keys, tokens_key, configs, log } = value
  const journal = rebuildJournal(value.journal)
  const slots = Array.isArray(keys) ? keys.map(rebuildSlot) : []
  const dek = rebuildDataKey(value.dek)
  const isValid =
    isBinary(vault_id, 16) &&
    isCount(gen) &&
    slots.length > 0 &&
    slots.every((slot) => slot !== undefined) &&
    dek !== undefined &&
    isBinary(tokens_key) &&
    Array.isArray(configs) &&
    configs.every(isHash) &&
    journal !== undefined &&
    isCount(log.seq) &&
    isHash(log.head) &&
    Array.isArray(log.pending) &&
    log.pending.every(isObject)
  if (!isValid) return undefined
  return {
    vault_id,
    gen,
    keys: slots as readonly KeySlot[],
    dek,
    tokens_key,
    configs: configs as readonly string[],
    journal,
    log: { seq: log.seq as number, head: log.head as string, pending: log.pending as unknown as readonly LogRecord[] },
  }
}

function rebuildDataKey({ id, commit, count, past }: Record<string, unknown>): DataKeyHeader | undefined {
  if (typeof id !== 'string' || !isBinary(commit, 32) || !isCount(count)) return undefined
  if (past === undefined) return { id, commit, count }
  return isBinary(past) ? { id, commit, count, past } : undefined
}

/** The longest label of a slot, in characters. */
export const MAX_LABEL = 64
const LABEL = /^[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,63}$/

/** Tells whether a text can be the label of a slot. */
export function isLabel(text: string): boolean {
  return LABEL.test(text)
}

function rebuildSlot(value: unknown): KeySlot | undefined {
  if (!isObject(value)) return undefined
  const { kid, type, keychain, label, wrap } = value
  if (typeof kid !== 'string' || !/^[0-9a-f]{16}$/.test(kid) || !isBinary(wrap, 60)) return undefined
  if (type !== 'raw' && type !== 'passphrase' && type !== 'age') return undefined
  if (keychain !== undefined && (keychain !== true || type !== 'raw')) return undefined
  if (label !== undefined && (typeof label !== 'string' || !isLabel(label))) return undefined
  const kdf = rebuildKdf(type, value.kdf)
  if ((kdf === undefined) !== (type === 'raw')) return undefined
  return makeSlot({ kid, type, keychain, label, kdf }, wrap)
}

/** Puts a slot's members in file order. */
export function makeSlot(
  { kid, type, keychain, label, kdf }: { readonly [Key in keyof Omit<KeySlot, 'wrap'>]: KeySlot[Key] | undefined },
  wrap: string,
): KeySlot {
  return {
    kid: kid as string,
    type: type as KeySlot['type'],
    ...(keychain === undefined ? {} : { keychain }),
    ...(label === undefined ? {} : { label }),
    ...(kdf === undefined ? {} : { kdf }),
    wrap,
  }
}

/** An age file for one recipient that holds 32 bytes takes 232; room is left for what may be added to the format. */
const MAX_AGE_FILE = 1024

function rebuildKdf(type: KeySlot['type'], kdf: unknown): KeySlot['kdf'] {
  if (type === 'raw' || !isObject(kdf)) return undefined
  if (type === 'passphrase') {
    const { name, n, r, p, salt } = kdf
    if (name !== 'scrypt' || !isCount(n) || !isCount(r) || !isCount(p) || !isBinary(salt, 16)) return undefined
    return { name, n, r, p, salt }
  }
  const { name, recipient, file } = kdf
  if (name !== 'age' || typeof recipient !== 'string' || !isAgeRecipient(recipient)) return undefined
  return isBinary(file) && file.length <= MAX_AGE_FILE ? { name, recipient, file } : undefined
}

/** Tells whether a text has the shape of an age recipient for X25519; its checksum is not looked at. */
export function isAgeRecipient(text: string): boolean {
  return /^age1[02-9ac-hj-np-z]{58}$/.test(text)
}
