import { copyFileSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { ConflictError, type Store, type Transaction } from '../../src/storage/store.js'
import { BudgetKeeper, callsLeft } from '../../src/tokens/budget.js'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { encodeHeader, headerDigest, type RecordEntry, sealBase, sealRecords } from '../../src/tokens/record-line.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { temporaryDirectory } from '../support/directory.js'
import {
  expectCode,
  forgetMarks,
  HOUR,
  nativeKeys,
  NOW,
  openAccess,
  readLines,
  SEARCH,
  type TestAccess,
} from './tokens-support.js'

const TOOLS = { tools: ['web_search'] }
const DAY = 24 * HOUR
const STORE_ID = Buffer.alloc(16, 0x11)
const KEY = Buffer.alloc(32, 0x11)

function judge(access: TestAccess, token: string, nowMs = NOW): string {
  try {
    const records = TokenRecords.open(access.store, access.keys)
    const verdict = verifyToken(token, SEARCH, { records, nowMs })
    return verdict.allowed ? 'allowed' : verdict.reason
  } catch (error) {
    if (error instanceof VaultError) return error.code
    throw error
  }
}

/** Appends the records of tokens that ended an hour ago, as the owner of the key. */
function addEnded(access: TestAccess, count: number, id = 0): void {
  const end = TokenRecords.open(access.store, access.keys).end
  const entries = Array.from({ length: count }, (_, index): RecordEntry => {
    const caveats = [{ type: 'before', epochMs: NOW - HOUR }] as const
    return {
      type: 'create',
      id: `${id + index}`.padStart(32, '0'),
      atMs: NOW - 2 * HOUR,
      label: 'x'.repeat(40),
      caveats,
    }
  })
  if (end === undefined) throw new Error('there is no file')
  writeFileSync(access.recordsPath, sealRecords(entries, KEY, end), { flag: 'a' })
}

interface World {
  readonly directory: string
  readonly access: TestAccess
  readonly live: string
  readonly limited: string
  readonly revoked: string
}

/** A live token, one of whose ten calls three are spent, one that was just revoked, and 400 that have ended. */
async function grownRecords(): Promise<World> {
  const directory = temporaryDirectory()
  const access = openAccess(directory)
  const live = await createToken(access, { ...TOOLS, label: 'ci' })
  const limited = await createToken(access, { ...TOOLS, calls: 10 })
  const revoked = await createToken(access, { ...TOOLS, label: 'gone' })
  await revokeTokens(access, { names: ['gone'] })
  for (let spent = 0; spent < 3; spent++) await spend(access, limited.token)
  addEnded(access, 400)
  return { directory, access, live: live.token, limited: limited.token, revoked: revoked.token }
}

async function spend(access: TestAccess, token: string): Promise<boolean> {
  const records = TokenRecords.open(access.store, access.keys)
  const verdict = verifyToken(token, SEARCH, { records, nowMs: NOW })
  return verdict.allowed && (await new BudgetKeeper(access, { ahead: 1 }).spend(verdict))
}

function left(access: TestAccess, token: string): number | undefined {
  return callsLeft(token, TokenRecords.open(access.store, access.keys))
}

/** Adds conflicts or failures to the replacing of documents. */
function replacingStore(store: Store, replace: (transaction: Transaction) => Transaction['replace']): Store {
  const wrap = (transaction: Transaction): Transaction => ({
    read: (name) => transaction.read(name),
    open: (name) => transaction.open(name),
    append: (name, bytes, options) => transaction.append(name, bytes, options),
    discardPrevious: (name) => transaction.discardPrevious(name),
    replace: replace(transaction),
  })
  return { ...store, transaction: (command, body) => store.transaction(command, (tx) => body(wrap(tx))) }
}

describe('a compaction', () => {
  it('drops tokens that have ended once the file has grown, and changes what no token may', async () => {
    const { access, live, limited, revoked } = await grownRecords()
    const before = readLines(access.recordsPath)
    const fresh = await createToken(access, TOOLS)
    const lines = readLines(access.recordsPath)
    const types = lines.slice(1).map((line) => JSON.parse(line).type)
    expect(types).toEqual(['base', 'create', 'create', 'reserve', 'create', 'revoke', 'create'])
    expect([live, limited, revoked, fresh.token].map((token) => judge(access, token))).toEqual([
      'allowed',
      'allowed',
      'revoked',
      'allowed',
    ])
    expect(left(access, limited)).toBe(7)
    expect(access.warnings).toEqual([])
    // Numbers go on, and the last record that was there is named.
    const base = JSON.parse(lines[1] ?? '')
    expect(base).toMatchObject({ seq: before.length, lines: 6 })
    expect(JSON.parse(lines.at(-1) ?? '').seq).toBe(before.length + 6)
    expect(statSync(access.recordsPath).mode & 0o777).toBe(0o600)
  })

  it('keeps the first version of the caveats, the label, the date and the budget', async () => {
    const { access, limited } = await grownRecords()
    const before = TokenRecords.open(access.store, access.keys).live(NOW)
    await spend(access, limited)
    const after = TokenRecords.open(access.store, access.keys).live(NOW)
    expect(after.map(({ reserved: _, ...record }) => record)).toEqual(
      before.map(({ reserved: _, ...record }) => record),
    )
    expect(left(access, limited)).toBe(6)
    await expectCode('EXISTS', () => createToken(access, { ...TOOLS, label: 'ci' }))
    for (let spent = 0; spent < 6; spent++) expect(await spend(access, limited)).toBe(true)
    expect(await spend(access, limited)).toBe(false)
  })

  it('drops a revoked token after a day; it is refused as before', async () => {
    const { directory, revoked } = await grownRecords()
    const later = openAccess(directory, { now: () => NOW + DAY })
    await createToken(later, TOOLS)
    expect(judge(later, revoked, NOW + DAY)).toBe('unknown-id')
    expect(judge(later, revoked, NOW)).toBe('unknown-id')
    await expectCode('NOT_FOUND', () => revokeTokens(later, { names: ['gone'] }))
  })

  it('leaves a short file, and one of which most is worth keeping', async () => {
    const access = openAccess(temporaryDirectory())
    await createToken(access, TOOLS)
    addEnded(access, 100)
    await createToken(access, TOOLS)
    expect(readLines(access.recordsPath)).toHaveLength(1 + 102)
    const full = openAccess(temporaryDirectory())
    await createToken(full, TOOLS)
    addEnded(full, 400)
    const early = openAccess(join(full.recordsPath, '..'), { now: () => NOW - 2 * HOUR })
    await createToken(early, { ...TOOLS, ttlSeconds: 4 * 3600 })
    expect(readLines(full.recordsPath)).toHaveLength(1 + 402)
    await createToken(full, TOOLS)
    expect(readLines(full.recordsPath)).toHaveLength(1 + 1 + 3)
  })

  it('can be followed by running processes, budgets included', async () => {
    const { directory, access, live, limited } = await grownRecords()
    const running = TokenRecords.open(access.store, access.keys)
    const judgeRunning = (token: string): unknown => {
      running.refresh()
      const verdict = verifyToken(token, SEARCH, { records: running, nowMs: NOW })
      return verdict.allowed ? 'allowed' : verdict.reason
    }
    expect(judgeRunning(live)).toBe('allowed')
    await createToken(openAccess(directory), TOOLS)
    expect(judgeRunning(live)).toBe('allowed')
    for (let spent = 0; spent < 7; spent++) await spend(openAccess(directory), limited)
    expect(judgeRunning(limited)).toBe('calls')
    await revokeTokens(openAccess(directory), { names: ['ci'] })
    expect(judgeRunning(live)).toBe('revoked')
  })

  it('can be followed by another, and by the process that wrote it', async () => {
    const { access, live } = await grownRecords()
    await createToken(access, TOOLS)
    addEnded(access, 400, 1000)
    await createToken(access, TOOLS)
    expect(readLines(access.recordsPath)).toHaveLength(1 + 1 + 7)
    expect(judge(access, live)).toBe('allowed')
    const records = TokenRecords.open(access.store, access.keys)
    const own = { ...access, records }
    addEnded(access, 400, 2000)
    await createToken(own, TOOLS)
    await createToken(own, TOOLS)
    expect(readLines(access.recordsPath)).toHaveLength(1 + 1 + 9)
    expect(records.live(NOW)).toHaveLength(6)
  })

  it('that fails is told of and undoes nothing', async () => {
    const { directory, access, live } = await grownRecords()
    const before = readFileSync(access.recordsPath)
    const broken = openAccess(directory, {
      store: replacingStore(access.store, () => () => {
        throw new VaultError('IO', 'the disk is full')
      }),
    })
    const fresh = await createToken(broken, TOOLS)
    expect(broken.warnings).toEqual([expect.stringContaining('the disk is full')])
    const busy = openAccess(directory, {
      store: replacingStore(access.store, () => () => {
        throw new ConflictError('somebody wrote')
      }),
    })
    await createToken(busy, TOOLS)
    expect(busy.warnings).toEqual([])
    expect(readFileSync(access.recordsPath).subarray(0, before.length)).toEqual(before)
    for (const token of [live, fresh.token]) expect(judge(access, token)).toBe('allowed')
  })
})

describe('old copies around a compaction', () => {
  it('are refused: the file before it, a compacted one that is older, and none', async () => {
    const { access, live } = await grownRecords()
    const long = readFileSync(access.recordsPath)
    await createToken(access, TOOLS)
    const compacted = readFileSync(access.recordsPath)
    expect(judge(access, live)).toBe('allowed')
    const running = TokenRecords.open(access.store, access.keys)
    writeFileSync(access.recordsPath, long)
    expect(judge(access, live)).toBe('RESTORED')
    await expectCode('RESTORED', () => running.refresh())
    writeFileSync(access.recordsPath, compacted)
    await revokeTokens(access, { names: ['ci'] })
    writeFileSync(access.recordsPath, compacted)
    expect(judge(access, live)).toBe('RESTORED')
    forgetMarks(join(access.recordsPath, '..'))
    // The control: what refused it was the mark.
    expect(judge(access, live)).toBe('allowed')
  })

  it('are noticed by marks from before it, of this machine and of running processes', async () => {
    const { directory, access, live } = await grownRecords()
    const running = TokenRecords.open(access.store, access.keys)
    const mark = join(directory, 'state', `${STORE_ID.toString('base64url')}.json`)
    const before = readFileSync(mark)
    await createToken(access, TOOLS)
    // Killed before the mark could be raised: the base covers what the mark stands for.
    writeFileSync(mark, before)
    running.refresh()
    expect(judge(access, live)).toBe('allowed')
    expect(readFileSync(mark)).not.toEqual(before)
  })

  it('a base that leads on from other records than were seen is refused', async () => {
    const { access, live } = await grownRecords()
    judge(access, live)
    const end = TokenRecords.open(access.store, access.keys).end
    if (end === undefined) throw new Error('there is no file')
    const header = encodeHeader(STORE_ID)
    const write = (seq: number, head: Buffer): void => {
      const base = sealBase({ seq, head, lines: 0, atMs: NOW }, KEY, headerDigest(header))
      writeFileSync(access.recordsPath, Buffer.concat([header, Buffer.from('\n'), base.line, Buffer.from('\n')]))
    }
    write(end.seq - 1, Buffer.alloc(32))
    expect(judge(access, live)).toBe('RESTORED')
    write(end.seq - 2, end.previousMac)
    expect(judge(access, live)).toBe('RESTORED')
    // The control: the right one is taken, and knows no token.
    write(end.seq - 1, end.previousMac)
    expect(judge(access, live)).toBe('unknown-id')
  })
})

describe('bytes of compacted records', () => {
  let world: { access: TestAccess; live: string; revoked: string; bytes: Buffer }

  async function compacted(): Promise<typeof world> {
    const { access, live, revoked } = await grownRecords()
    await createToken(access, TOOLS)
    return { access, live, revoked, bytes: readFileSync(access.recordsPath) }
  }

  it('cut at any length never let a revoked token pass, also where nothing was seen before', async () => {
    world = await compacted()
    const { access, live, revoked, bytes } = world
    for (const hasMark of [true, false]) {
      const outcomes = new Set<string>()
      for (let length = 0; length < bytes.length; length++) {
        writeFileSync(access.recordsPath, bytes.subarray(0, length))
        if (!hasMark) forgetMarks(join(access.recordsPath, '..'))
        for (const token of [revoked, live]) outcomes.add(judge(access, token))
      }
      // The base counts its lines, so even a fresh machine sees that some are missing.
      expect(outcomes).toEqual(new Set(hasMark ? ['DAMAGED', 'RESTORED'] : ['DAMAGED', 'unknown-id']))
    }
  })

  it('with any byte flipped are refused', async () => {
    const { access, live, bytes } = await compacted()
    for (let at = 0; at < bytes.length - 1; at++) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x01
      writeFileSync(access.recordsPath, changed)
      expect(judge(access, live), `byte ${at}`).toBe('DAMAGED')
    }
    writeFileSync(access.recordsPath, bytes)
    expect(judge(access, live)).toBe('allowed')
  })

  it('take one base, behind the header', async () => {
    const { access, live } = await compacted()
    const [header = '', base = '', ...rest] = readLines(access.recordsPath)
    for (const lines of [
      [header, base, base, ...rest],
      [header, ...rest],
      [header, ...rest, base],
      [base, ...rest],
      [header, base, ...rest.slice(1)],
      [header, base, ...rest.slice(0, -1)],
    ]) {
      writeFileSync(access.recordsPath, lines.map((line) => `${line}\n`).join(''))
      expect(judge(access, live)).toBe('DAMAGED')
    }
  })
})

describe('records that the first version of the format wrote', () => {
  const fixtures = new URL('../fixtures/tokens/', import.meta.url)
  let tokens: Record<'live' | 'narrowed' | 'revoked' | 'ended', string>

  beforeAll(() => {
    tokens = JSON.parse(readFileSync(new URL('first-version.json', fixtures), 'utf8'))
  })

  function place(): TestAccess {
    const directory = join(temporaryDirectory(), 'first')
    mkdirSync(directory)
    const access = openAccess(directory)
    copyFileSync(new URL('first-version.jsonl', fixtures), `${access.recordsPath}.copy`)
    renameSync(`${access.recordsPath}.copy`, access.recordsPath)
    return access
  }

  it('are read, go on, and are compacted', async () => {
    const access = place()
    const verdicts = (): string[] =>
      [tokens.live, tokens.narrowed, tokens.revoked, tokens.ended].map((token) => judge(access, token, NOW + HOUR / 2))
    expect(verdicts()).toEqual(['allowed', 'allowed', 'revoked', 'expired'])
    const fresh = await createToken(access, { ...TOOLS, calls: 2 })
    expect(await spend(access, fresh.token)).toBe(true)
    addEnded(access, 400)
    expect(await spend(access, fresh.token)).toBe(true)
    expect(readLines(access.recordsPath).length).toBeLessThan(10)
    const ended = judge(access, tokens.ended, NOW + HOUR / 2)
    expect([...verdicts().slice(0, 3), ended]).toEqual(['allowed', 'allowed', 'revoked', 'expired'])
    expect(nativeKeys().tokenStoreId).toEqual(STORE_ID)
  })
})
