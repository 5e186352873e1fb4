/**
 * Mutated files for every parser: bytes are flipped, cut, doubled, moved and replaced by what parsers stumble over, from
 * a seed, so that what was found can be found again.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { VaultError } from '../../src/errors.js'
import { readerOfBytes } from '../../src/log/bytes-reader.js'
import { readBackward, readForward, readTail } from '../../src/log/read.js'
import { verifyLog } from '../../src/log/verify.js'
import type { Mark, Reader, Store } from '../../src/storage/store.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { decodeToken, describeToken } from '../../src/tokens/token.js'
import type { VaultKey } from '../../src/vault/key.js'
import { parseVault } from '../../src/vault/open.js'
import { parseTutorial } from '../../src/vault/tutorial-format.js'
import type { Vault } from '../../src/vault/vault.js'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { chainRecords } from '../log/log-support.js'
import { nativeKeys, openAccess } from '../tokens/tokens-support.js'
import { rawKey, sealed, VaultWorld } from '../vault/vault-support.js'
import { readFileSync } from 'node:fs'

/** A parser, whole files that it reads, and what it makes of other bytes. */
export interface Subject {
  readonly name: string
  /** How many of a million mutations are its share. */
  readonly share: number
  readonly seeds: readonly Buffer[]
  /**
   * Gives a word for what came of it: a {@link VaultError}'s code, or what was read. Throws when the bytes were taken for
   * something that they are not.
   */
  parse(bytes: Buffer): string
}

/** A generator of numbers that a seed fixes (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const WORDS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    '\n',
    '\r\n',
    ']\n',
    '\n]\n',
    ',\n',
    '{"',
    '"]\n',
    '\0',
    ' ',
    '\t',
    '[]',
    '{}',
  ],
  ...[
    'null',
    'true',
    '-1',
    '0',
    '1e999',
    '9007199254740993',
    '99999999999999999999',
    '0.1',
    'NaN',
    '__proto__',
    'constructor',
  ],
  ...['\\ud800', '\\u0000', '\ufeff', '\u202e', '"stage":"current"', '"ver":1', '"gen":0', '"seq":0', '"type":"raw"'],
  ...['2026-02-30T00:00:00.000Z', '9999-12-31T23:59:59.999Z', 'mcpvault/2', 'gAAAAA', 'mcpv_', ':', '::', '=', '=='],
].map((word) => Buffer.from(word))
const RAW_WORDS = [
  Buffer.from([0xff]),
  Buffer.from([0xc0, 0x80]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.alloc(64),
  Buffer.alloc(300, '['),
]

/** Changes a file in one to four ways. */
export function mutate(seeds: readonly Buffer[], random: () => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  let bytes: Buffer = Buffer.from(pick(seeds))
  for (let changes = 1 + Math.floor(random() ** 2 * 4); changes > 0; changes--) {
    const at = Math.floor(random() * (bytes.length + 1))
    const end = Math.min(bytes.length, at + Math.floor(random() ** 3 * 200))
    bytes = change(bytes, { at, end, way: Math.floor(random() * 9), pick, random, seeds })
  }
  return bytes
}

interface Change {
  readonly at: number
  readonly end: number
  readonly way: number
  readonly pick: <T>(list: readonly T[]) => T
  readonly random: () => number
  readonly seeds: readonly Buffer[]
}

function change(bytes: Buffer, { at, end, way, pick, random, seeds }: Change): Buffer {
  const [before, between, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)]
  switch (way) {
    case 0:
    case 1: {
      const flipped = Buffer.from(bytes)
      if (at < bytes.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8))
      return flipped
    }
    case 2:
      return before
    case 3:
      return Buffer.concat([before, after])
    case 4:
      return Buffer.concat([before, between, between, after])
    case 5:
      return Buffer.concat([
        before,
        pick(random() < 0.8 ? WORDS : RAW_WORDS),
        random() < 0.5 ? bytes.subarray(at) : after,
      ])
    case 6: {
      const other = pick(seeds)
      const from = Math.floor(random() * other.length)
      return Buffer.concat([before, other.subarray(from, from + Math.floor(random() * 300)), after])
    }
    case 7:
      return swapLines(bytes, random)
    default:
      return changeNumber(bytes, at, random)
  }
}

function swapLines(bytes: Buffer, random: () => number): Buffer {
  const lines = bytes.toString('latin1').split('\n')
  const [a, b] = [Math.floor(random() * lines.length), Math.floor(random() * lines.length)]
  const [first = '', second = ''] = [lines[a], lines[b]]
  lines[a] = second
  lines[b] = first
  return Buffer.from(lines.join('\n'), 'latin1')
}

function changeNumber(bytes: Buffer, from: number, random: () => number): Buffer {
  const text = bytes.toString('latin1')
  const match = /\d+/g
  match.lastIndex = from
  const found = match.exec(text)
  if (!found) return bytes
  const number = [String(Number(found[0]) + 1), '0', '-1', '1e9', '18446744073709551616'][Math.floor(random() * 5)]
  return Buffer.from(text.slice(0, found.index) + number + text.slice(found.index + found[0].length), 'latin1')
}

/** Names what a parser did; anything but a {@link VaultError} goes on its way. */
function outcomeOf(parse: () => string): string {
  try {
    return parse()
  } catch (error) {
    if (error instanceof VaultError && error.code !== 'INTERNAL') return error.code
    throw error
  }
}

const NOW_MS = Date.UTC(2026, 10, 22, 12)

/** Makes whole files with the program's own writers, and says how each is read. */
export async function makeSubjects(): Promise<readonly Subject[]> {
  const [native, tutorial, tokens] = [await nativeSubject(), tutorialSubject(), await tokenSubjects()]
  return [native, ...tutorial, logSubject(), ...tokens]
}

async function nativeSubject(): Promise<Subject> {
  const world = await VaultWorld.create()
  await world.put('a', 'old a')
  await world.put('b', 'value b', 'a note')
  await world.rotate('a', 'value a')
  const values: Readonly<Record<string, string>> = { a: 'value a', b: 'value b' }
  const whole = world.read()
  const parse = (bytes: Buffer): string =>
    outcomeOf(() => {
      const vault = parseVault(bytes, world.key)
      if (vault.format !== 'native') return expectSomething(vault, bytes)
      if (!bytes.equals(whole)) throw new Error('a changed vault was opened')
      for (const name of vault.names()) expectValue(vault, name, values)
      return 'opened'
    })
  return { name: 'native vault', share: 0.2, seeds: [whole], parse }
}

function tutorialSubject(): readonly Subject[] {
  const key = rawKey()
  const values: Readonly<Record<string, string>> = { a: 'value a', 'with space': 'another', ключ: 'third' }
  const seeds = [2, 0].map((indent) => {
    const entries = Object.entries(values).map(([name, value], index) => [
      name,
      sealed(key, index === 1 ? 'aes-256-gcm' : 'fernet', value),
    ])
    return Buffer.from(JSON.stringify(Object.fromEntries(entries), null, indent))
  })
  const known = new Set(Object.values(values))
  const parse = (bytes: Buffer): string =>
    outcomeOf(() => {
      if (parseTutorial(bytes).members.size === 0 && !/^\W*$/.test(bytes.toString('utf8')))
        throw new Error('taken for empty')
      const vault = parseVault(bytes, key)
      return expectSomething(vault, bytes, known, key)
    })
  return [{ name: 'tutorial vault', share: 0.2, seeds, parse }]
}

/** Bytes that were opened as a tutorial vault: whatever they still hold must be genuine. */
function expectSomething(vault: Vault, bytes: Buffer, known: ReadonlySet<string> = new Set(), _key?: VaultKey): string {
  const names = vault.names()
  if (names.length === 0 && bytes.length > 64) throw new Error('a file was taken for an empty vault')
  for (const name of names) {
    const found = outcomeOf(() => vault.load(name, { nowMs: NOW_MS }).reveal().toString('utf8'))
    if (!known.has(found) && !['DAMAGED', 'WRONG_KEY'].includes(found))
      throw new Error('it gave a value that nobody stored')
  }
  return 'opened'
}

function expectValue(vault: Vault, name: string, values: Readonly<Record<string, string>>): void {
  const found = vault.load(name, { nowMs: NOW_MS }).reveal().toString('utf8')
  if (found !== values[name]) throw new Error('it gave a value that nobody stored')
}

function logSubject(): Subject {
  const records = chainRecords(
    Array.from({ length: 5 }, (_, index) => ({ credential: `key_${index}`, reason: 'because "so"' })),
  )
  const lines = `[\n${records.map((record) => JSON.stringify(record)).join('\n,')}\n]\n`
  const foreign = JSON.stringify(
    records.map(({ credential, rotated_at, action }) => ({ credential, rotated_at, action })),
    null,
    2,
  )
  const parse = (bytes: Buffer): string =>
    outcomeOf(() => {
      const reader = readerOfBytes(bytes)
      const forward = [...readForward(reader)]
      const backward = outcomeOf(() => [...readBackward(reader)].length.toString())
      if (backward !== String(forward.length))
        throw new Error(`forward ${forward.length} records, backward ${backward}`)
      readTail(reader)
      verifyLog(reader)
      return forward.length === 0 ? 'empty' : 'read'
    })
  return { name: 'rotation log', share: 0.25, seeds: [Buffer.from(lines), Buffer.from(foreign)], parse }
}

async function tokenSubjects(): Promise<readonly Subject[]> {
  const world = new VaultWorld()
  const access = openAccess(world.directory)
  const { token, record } = await createToken(access, { tools: ['web_search'], label: 'first' })
  await createToken(access, { tools: ['web_search', 'github/get_issue'], methods: ['tools', 'prompts'] })
  await revokeTokens(access, { names: [record.id] })
  const whole = readFileSync(access.recordsPath)
  const revokedId = record.id
  const parseRecords = (bytes: Buffer): string =>
    outcomeOf(() => {
      const records = TokenRecords.open(memoryStore(bytes, whole), nativeKeys())
      if (records.find(revokedId)?.revokedMs === undefined) throw new Error('a revoked token is alive again')
      return 'read'
    })
  const parseToken = (bytes: Buffer): string =>
    outcomeOf(() => {
      const text = bytes.toString('latin1')
      if (decodeToken(text) === undefined) return 'no token'
      describeToken(text)
      return 'decoded'
    })
  const random = Buffer.from(`mcpv_${randomBytes(120).toString('base64url')}`)
  return [
    { name: 'token records', share: 0.15, seeds: [whole], parse: parseRecords },
    { name: 'token', share: 0.2, seeds: [Buffer.from(token), random], parse: parseToken },
  ]
}

/** A store with token records alone, on a machine that has seen the whole ones. */
function memoryStore(bytes: Buffer, whole: Buffer): Store {
  const lines = whole.toString('utf8').trimEnd().split('\n')
  const mac = /"mac":"([^"]+)"/.exec(lines.at(-1) ?? '')?.[1] ?? ''
  const mark: Mark = { tokens: { seq: lines.length - 1, mac } }
  const refuse = (): never => {
    throw new Error('nothing may be written')
  }
  const open = (): Reader => readerOfBytes(bytes)
  return {
    locate: (name) => name,
    read: refuse,
    open,
    isAt: () => true,
    transaction: refuse,
    marks: { read: () => mark, raise: () => true },
  }
}

/** What a run found. */
export interface MutationReport {
  readonly count: number
  /** How often each outcome was seen, by subject. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** What crashed or was taken for something else, each with the seed that makes it again. */
  readonly failures: readonly string[]
}

/** Feeds mutated files to every parser, `count` in all. */
export async function runMutations(count: number, seed: number): Promise<MutationReport> {
  const outcomes: Record<string, Record<string, number>> = {}
  const failures: string[] = []
  let done = 0
  for (const subject of await makeSubjects()) {
    const seen: Record<string, number> = {}
    outcomes[subject.name] = seen
    for (let n = 0; n < count * subject.share; n++, done++) {
      const bytes = mutate(subject.seeds, seededRandom(seed + done))
      try {
        const outcome = subject.parse(bytes)
        seen[outcome] = (seen[outcome] ?? 0) + 1
      } catch (error) {
        if (failures.length < 20)
          failures.push(
            `${subject.name}, seed ${seed + done}: ${error instanceof Error ? error.stack : error}\n${JSON.stringify(bytes.toString('latin1')).slice(0, 3000)}`,
          )
      }
    }
  }
  return { count: done, outcomes, failures }
}
