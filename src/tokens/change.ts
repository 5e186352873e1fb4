import { mintMacaroon } from '../crypto/macaroon.js'
import { DAY_SECONDS } from '../duration.js'
import { VaultError } from '../errors.js'
import { ConflictError, type Store, type Transaction } from '../storage/store.js'
import type { ArgumentRule } from './argument-rules.js'
import { CALLS_NONCE_BYTES, type Caveat, encodeCaveat, type Method } from './caveats.js'
import { compactRecords } from './compact.js'
import type { ToolDigest } from './digest.js'
import type { Rate } from './rate.js'
import { LONGEST_FILE, type TokenKeys } from './record-chain.js'
import {
  encodeHeader,
  headerDigest,
  isTokenId,
  type RecordEntry,
  sealRecords,
  STORE_ID_BYTES,
  type TokenRecord,
} from './record-line.js'
import { TokenRecords } from './records.js'
import {
  beforeCaveat,
  callsCaveat,
  checkRuleTools,
  decodeToken,
  deriveRootKey,
  digestCaveat,
  encodeToken,
  methodsCaveat,
  rulesCaveat,
  TOKEN_ID_BYTES,
  TOKEN_PREFIX,
  toolsCaveat,
} from './token.js'

/** How long a token lives unless told, in seconds. */
export const DEFAULT_TTL_SECONDS = 3600
/** The longest life of a token, in seconds. */
export const MAX_TTL_SECONDS = 30 * DAY_SECONDS

/** All that a change to the token records needs of the world. */
export interface TokenAccess {
  readonly store: Store
  readonly keys: TokenKeys
  /** The records that a running process follows anyway; a command reads its own and closes them. */
  readonly records?: TokenRecords | undefined
  /** Goes on from an old copy of the records, by revoking every token in it. */
  readonly acceptRestore: boolean
  /** Milliseconds since the epoch. */
  now(): number
  randomBytes(length: number): Buffer
  warn(message: string): void
}

/** What a new token may do. */
export interface TokenOptions {
  /** Exact names, or `*` alone. */
  readonly tools: readonly string[]
  /** `tools` alone unless told. */
  readonly methods?: readonly Method[] | undefined
  readonly ttlSeconds?: number | undefined
  /** A name for people, unique among live tokens. */
  readonly label?: string | undefined
  /** What the arguments of calls must keep to; each is about one of the tools. */
  readonly rules?: readonly ArgumentRule[] | undefined
  /** How many calls are accepted; unlimited unless told. */
  readonly calls?: number | undefined
  /** How many calls each process accepts in a span; unlimited unless told. */
  readonly rate?: Rate | undefined
  /** What the definitions of tools must be; as they come unless told. */
  readonly digests?: readonly ToolDigest[] | undefined
}

/** Which tokens to revoke: each by its id, its label or its own text; or every one. */
export type TokenSelection = { readonly names: readonly string[] } | { readonly all: true }

const ATTEMPTS = 20
const MOST_BYTES = 40 * 1024 * 1024
const LABEL = /^[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,63}$/

/**
 * Makes a token and records that it exists. The token is not kept anywhere.
 *
 * @throws {VaultError} INPUT if a tool, method, life or label cannot be one, EXISTS if a live token has the label,
 * DAMAGED, RESTORED, NO_KEY, LOCKED, IO, UNSAFE; DURABILITY if the record is not confirmed.
 */
export async function createToken(
  access: TokenAccess,
  options: TokenOptions,
): Promise<{ readonly token: string; readonly record: TokenRecord }> {
  const atMs = access.now()
  const caveats = createCaveats(access, options, atMs)
  const { label } = options
  checkLabel(label)
  return changeRecords(access, 'token create', (records) => {
    checkLabelIsFree(label, records.live(atMs))
    const identifier = drawIdentifier(access, records)
    const id = identifier.toString('hex')
    return {
      entries: [{ type: 'create', id, atMs, label, caveats }],
      // The tokens key of a first record is known only once its file has been laid out.
      finish: (tokensKey) => {
        const rootKey = deriveRootKey(tokensKey, identifier)
        const token = encodeToken(mintMacaroon(rootKey, identifier, caveats.map(encodeCaveat)))
        return { token, record: { id, label, caveats, createdMs: atMs, revokedMs: undefined } }
      },
    }
  })
}

/**
 * Revokes tokens and everything narrowed from them; gives those that were not revoked before.
 *
 * A request that arrives after this has returned is refused by every process on the machine. Revoking twice is no error.
 *
 * @throws {VaultError} NOT_FOUND if one is unknown: then none is revoked. INPUT if a token's text is no token, and
 * DAMAGED, RESTORED, NO_KEY, LOCKED, IO, UNSAFE; DURABILITY if the revocation is not confirmed.
 */
export async function revokeTokens(access: TokenAccess, selection: TokenSelection): Promise<readonly TokenRecord[]> {
  const atMs = access.now()
  return changeRecords(access, 'token revoke', (records) => {
    const chosen = 'all' in selection ? records.all() : selection.names.map((name) => resolve(name, records))
    const revoked = [...new Set(chosen)].filter((record) => record.revokedMs === undefined)
    return { entries: revoked.map(({ id }) => ({ type: 'revoke', id, atMs })), finish: () => revoked }
  })
}

/** What a change wants to write, and what it gives back; `finish` throws to call the write off. */
export interface Plan<T> {
  readonly entries: readonly RecordEntry[]
  finish(tokensKey: Buffer): T
}

/**
 * Changes the records: reads outside the lock and only what came since under it; starts again when a program wrote
 * without the lock.
 *
 * @throws {VaultError} as {@link revokeTokens}, and what `plan` throws.
 */
export async function changeRecords<T>(
  access: TokenAccess,
  command: string,
  plan: (records: TokenRecords) => Plan<T>,
): Promise<T> {
  const { store, keys, acceptRestore } = access
  const records = access.records ?? TokenRecords.open(store, keys, { acceptRestore })
  try {
    return await store.transaction(command, (transaction) => {
      for (let attempt = 1; ; attempt++) {
        try {
          records.refresh(transaction)
          const result = changeOnce(access, { records, transaction }, plan)
          compact(access, { records, transaction })
          return result
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
          if (attempt === ATTEMPTS) throw tooBusy(access)
        }
      }
    })
  } finally {
    if (access.records === undefined) records.close()
  }
}

/** A change under way. */
interface Target {
  readonly records: TokenRecords
  readonly transaction: Transaction
}

function changeOnce<T>(access: TokenAccess, target: Target, plan: (records: TokenRecords) => Plan<T>): T {
  const { records, transaction } = target
  if (records.isBehind) acceptRestore(access, target)
  const { entries, finish } = plan(records)
  if (records.end === undefined && entries.length > 0) return createFile(access, target, { entries, finish })
  const result = records.tokensKey === undefined ? finish(Buffer.alloc(0)) : finish(records.tokensKey.reveal())
  appendEntries(records, transaction, entries)
  return result
}

function createFile<T>(access: TokenAccess, { records, transaction }: Target, { entries, finish }: Plan<T>): T {
  const storeId = access.keys.tokenStoreId ?? access.randomBytes(STORE_ID_BYTES)
  const header = encodeHeader(storeId)
  const tokensKey = access.keys.tokensKey(storeId)
  try {
    const result = finish(tokensKey.reveal())
    const link = { seq: 1, previousMac: headerDigest(header) }
    const lines = sealRecords(entries, tokensKey.reveal(), link)
    const bytes = Buffer.concat([header, Buffer.from('\n'), lines])
    transaction.replace('tokens', bytes, { expected: undefined, verify: (read) => verifyCopy(read, bytes) })
    confirm(records, transaction)
    return result
  } finally {
    tokensKey.wipe()
  }
}

function appendEntries(records: TokenRecords, transaction: Transaction, entries: readonly RecordEntry[]): void {
  const { end, tokensKey } = records
  if (end === undefined || tokensKey === undefined || entries.length === 0) return
  const lines = sealRecords(entries, tokensKey.reveal(), end)
  checkRoom(entries, end.size + lines.length)
  transaction.append('tokens', lines, { expected: end.revision, at: end.size })
  confirm(records, transaction)
}

/**
 * Reads back what was written, verifies it, and moves the mark.
 *
 * @throws {VaultError} DURABILITY if it is not to be read: by now it may be there all the same.
 */
function confirm(records: TokenRecords, transaction: Transaction): void {
  try {
    records.refresh(transaction)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    throw new VaultError('DURABILITY', `the token records were written, but ${error.message}`, {
      cause: error,
      hints: ['mcpvault token list --all', ...error.hints],
    })
  }
}

/** Revocations find room for as long as the file can be read; everything else leaves it to them. */
function checkRoom(entries: readonly RecordEntry[], size: number): void {
  if (size <= (entries.every(({ type }) => type === 'revoke') ? LONGEST_FILE : MOST_BYTES)) return
  throw new VaultError('INPUT', 'cannot add to the token records: they would be too long', {
    hints: ['mcpvault token list', 'mcpvault token revoke ID'],
  })
}

/** Shortens a file that has grown. What was changed is written by now, so a failure here must not undo that. */
function compact(access: TokenAccess, { records, transaction }: Target): void {
  const { end, tokensKey, storeId } = records
  if (end === undefined || tokensKey === undefined || storeId === undefined) return
  const source = { records: records.all(), end, nowMs: access.now() }
  const bytes = compactRecords(source, { storeId, tokensKey: tokensKey.reveal() })
  if (bytes === undefined) return
  try {
    transaction.replace('tokens', bytes, { expected: end.revision, verify: (read) => verifyCopy(read, bytes) })
    records.refresh(transaction)
  } catch (error) {
    if (error instanceof ConflictError) return
    if (!(error instanceof VaultError)) throw error
    access.warn(`the token records were not compacted: ${error.message}`)
  }
}

/** Ends an old copy: whatever was revoked in the newer one is revoked here too, because everything is. */
function acceptRestore(access: TokenAccess, { records, transaction }: Target): void {
  const atMs = access.now()
  const alive = records.all().filter((record) => record.revokedMs === undefined)
  appendEntries(
    records,
    transaction,
    alive.map(({ id }) => ({ type: 'revoke', id, atMs })),
  )
  records.resetMark()
  access.warn('older token records were accepted: every token in them was revoked')
}

function verifyCopy(read: Buffer, bytes: Buffer): void {
  if (!read.equals(bytes)) throw new VaultError('IO', 'the disk gave back other bytes than were written')
}

function createCaveats(access: TokenAccess, options: TokenOptions, nowMs: number): readonly Caveat[] {
  const ttlSeconds = options.ttlSeconds ?? DEFAULT_TTL_SECONDS
  if (!(ttlSeconds >= 1 && ttlSeconds <= MAX_TTL_SECONDS)) {
    throw new VaultError('INPUT', 'cannot create a token: it must live for at least a second and at most 30 days', {
      hints: ['mcpvault token create --tools web_search --ttl 30d'],
    })
  }
  const { tools, methods = ['tools'], rules = [], calls, rate, digests = [] } = options
  checkRuleTools(rules, tools, 'create a')
  return [
    methodsCaveat(methods),
    toolsCaveat(tools),
    beforeCaveat(nowMs + ttlSeconds * 1000),
    ...(rules.length === 0 ? [] : [rulesCaveat(rules)]),
    ...(calls === undefined ? [] : [callsCaveat({ limit: calls, nonce: access.randomBytes(CALLS_NONCE_BYTES) })]),
    ...(rate === undefined ? [] : [{ type: 'rate', rate } as const]),
    ...(digests.length === 0 ? [] : [digestCaveat(digests)]),
  ]
}

function checkLabel(label: string | undefined): void {
  if (label === undefined || (LABEL.test(label) && !isTokenId(label) && !label.startsWith(TOKEN_PREFIX))) return
  throw new VaultError('INPUT', 'cannot create a token with that label', {
    hints: ['labels are up to 64 letters, digits and _ . : / @ -, start with a letter, digit or _, and are no id'],
  })
}

function checkLabelIsFree(label: string | undefined, live: readonly TokenRecord[]): void {
  if (label === undefined || !live.some((record) => record.label === label)) return
  throw new VaultError('EXISTS', `cannot create a token "${label}": a live one has that label`, {
    hints: [`mcpvault token revoke ${label}`],
  })
}

function drawIdentifier(access: TokenAccess, records: TokenRecords): Buffer {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const identifier = access.randomBytes(TOKEN_ID_BYTES)
    if (records.find(identifier.toString('hex')) === undefined) return identifier
  }
  throw new Error('cannot create a token: the source of randomness repeats itself')
}

/** A label means the latest token that has it, revoked or not, so that revoking twice is no error. */
function resolve(name: string, records: TokenRecords): TokenRecord {
  const id = name.startsWith(TOKEN_PREFIX) ? idOfToken(name) : name
  const found = records.find(id) ?? records.all().findLast((record) => record.label === name)
  if (found !== undefined) return found
  const what = id === name ? `"${name}"` : 'that token'
  throw new VaultError('NOT_FOUND', `cannot revoke ${what}: there is no record of it`, {
    hints: ['mcpvault token list --all'],
  })
}

function idOfToken(text: string): string {
  const macaroon = decodeToken(text)
  if (macaroon) return macaroon.identifier.toString('hex')
  throw new VaultError('INPUT', 'cannot revoke the token: that is no mcpvault token', {
    hints: ['mcpvault token list', 'mcpvault token revoke ID'],
  })
}

function tooBusy(access: TokenAccess): VaultError {
  const path = access.store.locate('tokens')
  return new VaultError('LOCKED', `cannot change "${path}": another program keeps writing it`)
}
