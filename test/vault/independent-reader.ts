/**
 * A second reader of native vaults, written from docs/file-format.md with nothing but node:crypto: what it reads is what
 * the document says, not what src/ happens to do. It shares no code with src/ on purpose.
 *
 * @module
 */

import { createDecipheriv, createHash, createHmac, hkdfSync, scryptSync } from 'node:crypto'

export interface ReadVersion {
  readonly ver: number
  readonly stage: string
  readonly value: Buffer
  readonly created: string
  readonly since: string | undefined
  readonly until: string | undefined
  readonly handle?: string
  readonly revoke?: string
  readonly revokeFailed?: string
}

/** A rotation of the journal, as it stands there. */
export interface ReadRotation {
  readonly name: string
  readonly ver: number
  readonly stage: string
  readonly id: string
  readonly owner?: object
  readonly unknown?: boolean
}

export interface ReadVault {
  readonly id: Buffer
  readonly gen: number
  readonly count: number
  readonly tokensKey: Buffer
  /** The data keys before this one, oldest first. */
  readonly past: readonly Buffer[]
  readonly log: { readonly seq: number; readonly head: string; readonly pending: readonly object[] }
  readonly journal: readonly ReadRotation[]
  readonly entries: ReadonlyMap<
    string,
    { readonly note: string | undefined; readonly policy?: object; readonly versions: readonly ReadVersion[] }
  >
}

/** The members of a header that the reader uses. */
interface Header {
  readonly vault_id: string
  readonly gen: number
  readonly keys: readonly Slot[]
  readonly dek: { readonly id: string; readonly commit: string; readonly count: number; readonly past?: string }
  readonly tokens_key: string
  readonly journal: readonly ReadRotation[]
  readonly log: ReadVault['log']
}

interface Slot {
  readonly kid: string
  readonly type: string
  readonly kdf?: {
    readonly n?: number
    readonly r?: number
    readonly p?: number
    readonly salt?: string
    readonly recipient?: string
    readonly file?: string
  }
  readonly wrap: string
}

/** What opens a vault; for a recipient of age, something that decrypts an age file, such as the program `age`. */
export type Key =
  | { readonly raw: Buffer }
  | { readonly passphrase: string }
  | { readonly recipient: string; readonly age: (file: Buffer) => Buffer }

type StoredVersion = Omit<ReadVersion, 'value' | 'revokeFailed'> & {
  readonly n: string
  readonly c: string
  readonly revoke_failed?: string
}

/** Reads a whole vault; throws where anything is not as the document says. */
export function readNativeVault(file: Buffer, key: Key): ReadVault {
  const lines = splitLines(file)
  if (lines.shift() !== '["mcpvault/1",') throw new Error('first line')
  const last = lines.pop() ?? ''
  const mac = /^"([A-Za-z0-9_-]{43})"\]$/.exec(last)?.[1] ?? fail('last line')
  const [headerLine = '', ...entryLines] = lines.map((line) => (line.endsWith(',') ? line.slice(0, -1) : fail('comma')))
  const header = JSON.parse(headerLine) as Header
  const id = decode(header.vault_id)
  const dek = unwrap(header, key)
  const derive = (purpose: string): Buffer => hkdf(dek, id, `mcpvault/1/${purpose}`)
  if (encode(derive('commit')) !== header.dek.commit) throw new Error('commit')
  const covered = file.subarray(0, file.length - `${mac}"]\n`.length)
  if (encode(createHmac('sha256', derive('mac')).update(covered).digest()) !== mac) throw new Error('mac')
  const sealContext = prefixed('mcpvault/1/seal', id, 'tokens_key', header.dek.id)
  const entries = new Map(
    entryLines.map((line) => {
      const [name, entry] = JSON.parse(line) as [string, { note?: string; policy?: object; versions: StoredVersion[] }]
      const versions = entry.versions.map((version): ReadVersion => {
        const aad = prefixed('mcpvault/1/entry', id, name, String(version.ver), header.dek.id)
        const value = decrypt(derive('enc'), Buffer.concat([decode(version.n), decode(version.c)]), aad)
        const { ver, stage, created, since, until, handle, revoke, revoke_failed: revokeFailed } = version
        const rest = { ...(handle ? { handle } : {}), ...(revoke ? { revoke } : {}) }
        return { ver, stage, value, created, since, until, ...rest, ...(revokeFailed ? { revokeFailed } : {}) }
      })
      return [name, { note: entry.note, ...(entry.policy ? { policy: entry.policy } : {}), versions }] as const
    }),
  )
  return {
    id,
    gen: header.gen,
    count: header.dek.count,
    tokensKey: decrypt(derive('seal'), decode(header.tokens_key), sealContext),
    past: readPast(header, derive('seal')),
    log: header.log,
    journal: header.journal,
    entries,
  }
}

function readPast({ vault_id, dek }: Header, sealingKey: Buffer): readonly Buffer[] {
  if (dek.past === undefined) return []
  const context = prefixed('mcpvault/1/seal', decode(vault_id), 'past', dek.id)
  const keys = decrypt(sealingKey, decode(dek.past), context)
  return Array.from({ length: keys.length / 32 }, (_, at) => keys.subarray(at * 32, at * 32 + 32))
}

/** The key's id, as raw slots carry it. */
export function keyId(raw: Buffer): string {
  return createHash('sha256').update('mcpvault/kid').update(raw).digest('hex').slice(0, 16)
}

/** The MAC of everything up to and including the quotation mark that opens the last element; for tests that forge. */
export function macUnder(dek: Buffer, id: Buffer, covered: Buffer): string {
  return encode(
    createHmac('sha256', hkdf(dek, id, 'mcpvault/1/mac'))
      .update(covered)
      .digest(),
  )
}

/** Opens the data key, as the owner of a key can. */
export function openDataKey(file: Buffer, raw: Buffer): { readonly dek: Buffer; readonly id: Buffer } {
  const header = JSON.parse((splitLines(file)[1] ?? '').slice(0, -1)) as Header
  return { dek: unwrap(header, { raw }), id: decode(header.vault_id) }
}

function splitLines(file: Buffer): string[] {
  const lines = file.toString('utf8').split('\n')
  if (lines.pop() !== '') throw new Error('the file does not end with a line feed')
  return lines
}

function unwrap(header: Header, key: Key): Buffer {
  const slot = header.keys.find((one) => isFor(one, key)) ?? fail('slot')
  const id = decode(header.vault_id)
  const slotKey =
    'raw' in key ? key.raw : 'age' in key ? key.age(decode(slot.kdf?.file ?? '')) : stretch(key.passphrase, slot)
  const context = prefixed(id, slot.kid, slot.type, slot.kdf ? JSON.stringify(slot.kdf) : '', header.dek.id)
  return decrypt(hkdf(slotKey, id, `mcpvault/1/wrap/${slot.type}`), decode(slot.wrap), context)
}

function isFor({ type, kid, kdf }: Slot, key: Key): boolean {
  if ('raw' in key) return type === 'raw' && kid === keyId(key.raw)
  return 'age' in key ? kdf?.recipient === key.recipient : type === 'passphrase'
}

function stretch(passphrase: string, { kdf }: Slot): Buffer {
  const { n = fail('n'), r = fail('r'), p = fail('p'), salt = fail('salt') } = kdf ?? fail('kdf')
  return scryptSync(passphrase, decode(salt), 32, { N: n, r, p, maxmem: 2 ** 30 })
}

/** nonce(12) ‖ ciphertext ‖ tag(16) */
function decrypt(key: Buffer, sealed: Buffer, aad: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
}

function hkdf(key: Buffer, salt: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, 32))
}

function prefixed(...parts: readonly (Buffer | string)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(Buffer.byteLength(part))
      return [length, Buffer.from(part as string)]
    }),
  )
}

function decode(text: string): Buffer {
  return Buffer.from(text, 'base64url')
}

function encode(bytes: Buffer): string {
  return bytes.toString('base64url')
}

function fail(what: string): never {
  throw new Error(what)
}
