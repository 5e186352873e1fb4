/**
 * The lines of `mcp_tokens.jsonl`: a header, then one record a line, chained by a keyed digest.
 *
 * Layout: `{"mcpvault_tokens":1,"store_id":"…"}`, then `{"seq":N,"type":"create"|"revoke","id":"…","at":"…Z",…,"mac":"…"}`.
 * The mac is HMAC-SHA-256 under the tokens key over the previous line's mac (the header's SHA-256 for the first record)
 * and this line's bytes before `,"mac":"`, so that no line can be changed, moved, added or taken out of the middle.
 *
 * @module
 */

import { decodeBase64url } from '../crypto/encoding.js'
import { equalBytes, hmacSha256, sha256 } from '../crypto/kdf.js'
import { formatUtc, parseTimestamp } from '../timestamp.js'
import { type Caveat, caveatFromJson, caveatToJson } from './caveats.js'

/** Length of a store id, in bytes. */
export const STORE_ID_BYTES = 16

const MAC_START = ',"mac":"'
const MAC_TEXT_LENGTH = 43
const MAC_END = '"}'
const TAIL_LENGTH = MAC_START.length + MAC_TEXT_LENGTH + MAC_END.length
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

/** Gives what the first record is chained to. */
export function headerDigest(header: Buffer): Buffer {
  return sha256(header)
}

/** Prints a record, without its newline, and gives the mac that the next one is chained to. */
export function sealRecord(entry: RecordEntry, tokensKey: Buffer, link: ChainLink): { line: Buffer; mac: Buffer } {
  const { type, id, atMs } = entry
  const head = { seq: link.seq, type, id, at: formatUtc(atMs) }
  const text = JSON.stringify(entry.type === 'create' ? { ...head, ...createMembers(entry) } : head)
  const body = Buffer.from(text.slice(0, -1), 'utf8')
  const mac = hmacSha256(tokensKey, link.previousMac, body)
  return { line: Buffer.concat([body, Buffer.from(MAC_START + mac.toString('base64url') + MAC_END)]), mac }
}

/** Verifies and reads a record; undefined when anything about it, its mac or its place is wrong. */
export function openRecord(
  line: Buffer,
  tokensKey: Buffer,
  link: ChainLink,
): { entry: RecordEntry; mac: Buffer } | undefined {
  const body = line.subarray(0, -TAIL_LENGTH)
  const tail = line.toString('latin1', body.length)
  if (body.length === 0 || !tail.startsWith(MAC_START) || !tail.endsWith(MAC_END)) return undefined
  const mac = decodeBase64url(tail.slice(MAC_START.length, -MAC_END.length))
  if (mac === undefined || !equalBytes(mac, hmacSha256(tokensKey, link.previousMac, body))) return undefined
  const entry = readEntry(parseObject(`${body.toString('utf8')}}`), link.seq)
  return entry && { entry, mac }
}

function createMembers({ label, caveats }: RecordEntry & { type: 'create' }): object {
  return { ...(label === undefined ? {} : { label }), caveats: caveats.map(caveatToJson) }
}

function readEntry(value: Readonly<Record<string, unknown>> | undefined, seq: number): RecordEntry | undefined {
  const { type, id, at, label, caveats } = value ?? {}
  const atMs = parseTimestamp(at)?.epochMs
  if (value?.seq !== seq || typeof id !== 'string' || !isTokenId(id) || atMs === undefined) return undefined
  if (type === 'revoke') return { type, id, atMs }
  if (type !== 'create' || !Array.isArray(caveats)) return undefined
  if (label !== undefined && typeof label !== 'string') return undefined
  const known = caveats.map(caveatFromJson)
  return known.every((caveat) => caveat !== undefined) ? { type, id, atMs, label, caveats: known } : undefined
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
