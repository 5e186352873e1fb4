/**
 * The lines of `mcp_tokens.jsonl`: a header, then one record a line, chained by a keyed digest.
 *
 * Layout: `{"mcpvault_tokens":1,"store_id":"…"}`, then
 * `{"seq":N,"type":"create"|"revoke"|"reserve","id":"…","at":"…Z",…,"mac":"…"}`. The mac is HMAC-SHA-256 under the tokens
 * key over the previous line's mac (the header's SHA-256 for the first record) and this line's bytes before `,"mac":"`,
 * so that no line can be changed, moved, added or taken out of the middle. In a file that was compacted a `base` comes
 * first, which has the number and the mac of the last record that was dropped.
 *
 * @module
 */

import { decodeBase64url } from '../crypto/encoding.js'
import { equalBytes, hmacSha256, sha256 } from '../crypto/kdf.js'
import { formatUtc, parseTimestamp } from '../timestamp.js'
import { type Caveat, caveatFromJson, caveatToJson, isCallLimit } from './caveats.js'

/** Length of a store id, in bytes. */
export const STORE_ID_BYTES = 16

const MAC_START = ',"mac":"'
const MAC_TEXT_LENGTH = 43
const MAC_END = '"}'
const TAIL_LENGTH = MAC_START.length + MAC_TEXT_LENGTH + MAC_END.length
const DIGEST_BYTES = 32
const TOKEN_ID = /^[0-9a-f]{32}$/

/** What the records know of a token; never the token itself. */
export interface TokenRecord {
  /** 32 hex digits. */
  readonly id: string
  readonly label: string | undefined
  /** The caveats that the token was created with; who holds it may have appended more. */
  readonly caveats: readonly Caveat[]
  /** Milliseconds since the epoch, as {@link revokedMs}. */
  readonly createdMs: number
  readonly revokedMs: number | undefined
  /** How many calls were set aside of each budget, by the counter's key; grows while the records are followed. */
  readonly reserved?: ReadonlyMap<string, number> | undefined
}

/** What one line says. */
export type RecordEntry =
  | {
      readonly type: 'create'
      readonly id: string
      readonly atMs: number
      readonly label: string | undefined
      readonly caveats: readonly Caveat[]
    }
  | { readonly type: 'revoke'; readonly id: string; readonly atMs: number }
  /** Calls that are set aside, by the counter's key: spent, or forfeited by a crash. */
  | {
      readonly type: 'reserve'
      readonly id: string
      readonly atMs: number
      readonly calls: readonly (readonly [counter: string, calls: number])[]
    }

/** What the first line of compacted records says. */
export interface Base {
  /** Of the last record that was there before. */
  readonly seq: number
  readonly head: Buffer
  /** How many lines follow that the compaction wrote: with fewer the file is not whole. */
  readonly lines: number
  readonly atMs: number
}

/** Where a line stands in the chain. */
export interface ChainLink {
  /** 1 for the first record. */
  readonly seq: number
  /** The mac of the record before, or {@link headerDigest}. */
  readonly previousMac: Buffer
}

/** Tells whether a text has the shape of a token's id. */
export function isTokenId(text: string): boolean {
  return TOKEN_ID.test(text)
}

/** Prints the header line, without its newline. */
export function encodeHeader(storeId: Buffer): Buffer {
  return Buffer.from(JSON.stringify({ mcpvault_tokens: 1, store_id: storeId.toString('base64url') }), 'utf8')
}

/** Reads the header line; gives the store id, or undefined unless encoding again gives the same bytes. */
export function parseHeader(line: Buffer): Buffer | undefined {
  const value = parseObject(line.toString('utf8'))
  const storeId = decodeBase64url(value?.store_id)
  const isCanonical = storeId?.length === STORE_ID_BYTES && encodeHeader(storeId).equals(line)
  return isCanonical ? storeId : undefined
}

/** Gives what the first line behind the header is chained to. */
export function headerDigest(header: Buffer): Buffer {
  return sha256(header)
}

/** A line, without its newline, and the mac that the next one is chained to. */
export interface SealedLine {
  readonly line: Buffer
  readonly mac: Buffer
}

/** Prints a record. */
export function sealRecord(entry: RecordEntry, tokensKey: Buffer, link: ChainLink): SealedLine {
  const { type, id, atMs } = entry
  return seal({ seq: link.seq, type, id, at: formatUtc(atMs), ...ownMembers(entry) }, tokensKey, link.previousMac)
}

/** Prints records one behind the other, each with its newline. */
export function sealRecords(entries: readonly RecordEntry[], tokensKey: Buffer, link: ChainLink): Buffer {
  let { seq, previousMac } = link
  const lines = entries.map((entry) => {
    const { line, mac } = sealRecord(entry, tokensKey, { seq, previousMac })
    seq += 1
    previousMac = mac
    return Buffer.concat([line, Buffer.from('\n')])
  })
  return Buffer.concat(lines)
}

/** Verifies and reads a record; undefined when anything about it, its mac or its place is wrong. */
export function openRecord(
  line: Buffer,
  tokensKey: Buffer,
  link: ChainLink,
): { entry: RecordEntry; mac: Buffer } | undefined {
  const opened = open(line, tokensKey, link.previousMac)
  const entry = opened && readEntry(opened.value, link.seq)
  return opened && entry && { entry, mac: opened.mac }
}

/** Prints the base that stands behind the header of compacted records; it is chained to {@link headerDigest}. */
export function sealBase({ seq, head, lines, atMs }: Base, tokensKey: Buffer, previousMac: Buffer): SealedLine {
  const members = { seq, type: 'base', at: formatUtc(atMs), head: head.toString('base64url'), lines }
  return seal(members, tokensKey, previousMac)
}

/** Verifies and reads a base; undefined when it is none or not the one behind this header. */
export function openBase(
  line: Buffer,
  tokensKey: Buffer,
  previousMac: Buffer,
): { base: Base; mac: Buffer } | undefined {
  const opened = open(line, tokensKey, previousMac)
  const { seq, type, at, head, lines } = opened?.value ?? {}
  const atMs = parseTimestamp(at)?.epochMs
  const bytes = decodeBase64url(head)
  if (opened === undefined || type !== 'base' || atMs === undefined || bytes?.length !== DIGEST_BYTES) return undefined
  if (!isCount(seq) || seq === 0 || !isCount(lines)) return undefined
  return { base: { seq, head: bytes, lines, atMs }, mac: opened.mac }
}

function seal(members: object, tokensKey: Buffer, previousMac: Buffer): SealedLine {
  const body = Buffer.from(JSON.stringify(members).slice(0, -1), 'utf8')
  const mac = hmacSha256(tokensKey, previousMac, body)
  return { line: Buffer.concat([body, Buffer.from(MAC_START + mac.toString('base64url') + MAC_END)]), mac }
}

function open(
  line: Buffer,
  tokensKey: Buffer,
  previousMac: Buffer,
): { value: Readonly<Record<string, unknown>>; mac: Buffer } | undefined {
  const body = line.subarray(0, -TAIL_LENGTH)
  const tail = line.toString('latin1', body.length)
  if (body.length === 0 || !tail.startsWith(MAC_START) || !tail.endsWith(MAC_END)) return undefined
  const mac = decodeBase64url(tail.slice(MAC_START.length, -MAC_END.length))
  if (mac === undefined || !equalBytes(mac, hmacSha256(tokensKey, previousMac, body))) return undefined
  const value = parseObject(`${body.toString('utf8')}}`)
  return value && { value, mac }
}

function ownMembers(entry: RecordEntry): object {
  switch (entry.type) {
    case 'create':
      return { ...(entry.label === undefined ? {} : { label: entry.label }), caveats: entry.caveats.map(caveatToJson) }
    case 'revoke':
      return {}
    case 'reserve':
      return { calls: entry.calls }
  }
}

function readEntry(value: Readonly<Record<string, unknown>>, seq: number): RecordEntry | undefined {
  const { type, id, at } = value
  const atMs = parseTimestamp(at)?.epochMs
  if (value.seq !== seq || typeof id !== 'string' || !isTokenId(id) || atMs === undefined) return undefined
  if (type === 'revoke') return { type, id, atMs }
  if (type === 'reserve') return isCalls(value.calls) ? { type, id, atMs, calls: value.calls } : undefined
  const { label, caveats } = value
  if (type !== 'create' || !Array.isArray(caveats)) return undefined
  if (label !== undefined && typeof label !== 'string') return undefined
  const known = caveats.map(caveatFromJson)
  return known.every((caveat) => caveat !== undefined) ? { type, id, atMs, label, caveats: known } : undefined
}

function isCalls(value: unknown): value is readonly (readonly [counter: string, calls: number])[] {
  return Array.isArray(value) && value.length > 0 && value.every(isCallsOfCounter)
}

function isCallsOfCounter(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [counter, calls] = value as readonly unknown[]
  return decodeBase64url(counter)?.length === DIGEST_BYTES && typeof calls === 'number' && isCallLimit(calls)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
