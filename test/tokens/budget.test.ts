import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Store } from '../../src/storage/store.js'
import { BudgetKeeper, CALLS_AHEAD, callsLeft, createdCallsLeft, reserveCalls } from '../../src/tokens/budget.js'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { narrowToken } from '../../src/tokens/token.js'
import { type Allowance, verifyToken } from '../../src/tokens/verify.js'
import { temporaryDirectory } from '../support/directory.js'
import { expectCode, forgetMarks, NOW, openAccess, readLines, SEARCH, type TestAccess } from './tokens-support.js'

/** A directory with one token that may call a number of times. */
async function budgetOf(calls: number): Promise<{ directory: string; access: TestAccess; token: string; id: string }> {
  const directory = temporaryDirectory()
  const access = openAccess(directory)
  const { token, record } = await createToken(access, { tools: ['web_search'], calls })
  return { directory, access, token, id: record.id }
}

function openRecords(access: TestAccess): TokenRecords {
  return TokenRecords.open(access.store, access.keys)
}

function allowed(access: TestAccess, token: string): Allowance {
  const verdict = verifyToken(token, SEARCH, { records: openRecords(access), nowMs: NOW })
  if (!verdict.allowed) throw new Error(`refused: ${verdict.reason}`)
  return verdict
}

function left(access: TestAccess, token: string): number | undefined {
  return callsLeft(token, openRecords(access))
}

function narrowedTo(token: string, limit: number): string {
  return narrowToken(token, { calls: { limit, nonce: randomBytes(8) } })
}

/** Spends until it is refused; gives how often it was not. */
async function drain(keeper: BudgetKeeper, allowance: Allowance): Promise<number> {
  let count = 0
  while (await keeper.spend(allowance)) count++
  return count
}

describe('a budget of calls', () => {
  it.each([1, 10, 31, 32, 33, 100])(
    'of %i is spent to the last call and no further, by a command at a time',
    async (calls) => {
      const { access, token } = await budgetOf(calls)
      const allowance = allowed(access, token)
      for (let spent = 0; spent < calls; spent++) {
        expect(left(access, token)).toBe(calls - spent)
        expect(await new BudgetKeeper(access, { ahead: 1 }).spend(allowance)).toBe(true)
      }
      expect(left(access, token)).toBe(0)
      expect(await new BudgetKeeper(access, { ahead: 1 }).spend(allowance)).toBe(false)
      expect(() => allowed(access, token)).toThrow('refused: calls')
      expect(readLines(access.recordsPath)).toHaveLength(2 + calls)
    },
  )

  it.each([1, 10, 31, 32, 33, 100])(
    'of %i is spent to the last call and no further, by one long-running process',
    async (calls) => {
      const { access, token } = await budgetOf(calls)
      const allowance = allowed(access, token)
      const records = openRecords(access)
      const keeper = new BudgetKeeper({ ...access, records }, { ahead: CALLS_AHEAD })
      expect(await drain(keeper, allowance)).toBe(calls)
      // Sixteen at a time while 32 are left, then one by one.
      const ahead = calls < 32 ? 0 : Math.floor((calls - 32) / 16) + 1
      expect(readLines(access.recordsPath)).toHaveLength(2 + ahead + (calls - 16 * ahead))
      expect(verifyToken(token, SEARCH, { records, nowMs: NOW, held: keeper })).toMatchObject({ reason: 'calls' })
    },
  )

  it('is shared by several processes, which together accept exactly what it allows', async () => {
    const { directory, access, token } = await budgetOf(100)
    const allowance = allowed(access, token)
    const keepers = [16, 1, 16, 5, 1].map((ahead) => new BudgetKeeper(openAccess(directory), { ahead }))
    const counts = await Promise.all(keepers.map((keeper) => drain(keeper, allowance)))
    expect(counts.reduce((sum, count) => sum + count)).toBe(100)
  })

  it('is not overspent by a hundred calls at once in one process', async () => {
    const { access, token } = await budgetOf(40)
    const allowance = allowed(access, token)
    const keeper = new BudgetKeeper(access, { ahead: CALLS_AHEAD })
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => keeper.spend(allowance)))
    expect(outcomes.filter(Boolean)).toHaveLength(40)
    expect(keeper.held(allowance.counters[0]?.key ?? '')).toBe(0)
  })

  it('counts for everything narrowed from it, and smaller budgets within it for themselves', async () => {
    const { access, token } = await budgetOf(10)
    const [few, many, plain] = [
      narrowedTo(token, 3),
      narrowedTo(token, 50),
      narrowToken(token, { beforeEpochMs: NOW + 5000 }),
    ]
    const keeper = new BudgetKeeper(access, { ahead: 1 })
    expect(await drain(keeper, allowed(access, few))).toBe(3)
    expect([token, few, many, plain].map((text) => left(access, text))).toEqual([7, 0, 7, 7])
    expect(await keeper.spend(allowed(access, plain))).toBe(true)
    expect(await drain(keeper, allowed(access, many))).toBe(6)
    expect([token, few, many, plain].map((text) => left(access, text))).toEqual([0, 0, 0, 0])
    // Two narrowings to the same number are two budgets.
    const other = await budgetOf(10)
    await new BudgetKeeper(other.access, { ahead: 1 }).spend(allowed(other.access, narrowedTo(other.token, 1)))
    expect(left(other.access, narrowedTo(other.token, 1))).toBe(1)
  })

  it("spends from all of a token's budgets or from none", async () => {
    const { access, token } = await budgetOf(10)
    const few = narrowedTo(token, 1)
    const allowance = allowed(access, few)
    expect(await new BudgetKeeper(access, { ahead: 1 }).spend(allowance)).toBe(true)
    const before = readFileSync(access.recordsPath)
    expect(await new BudgetKeeper(access, { ahead: 1 }).spend(allowance)).toBe(false)
    expect(readFileSync(access.recordsPath)).toEqual(before)
    expect(left(access, token)).toBe(9)
  })

  it('forfeits what a process that ended had set aside, and no more', async () => {
    const { access, token } = await budgetOf(100)
    await new BudgetKeeper(access, { ahead: CALLS_AHEAD }).spend(allowed(access, token))
    expect(left(access, token)).toBe(84)
    expect(await drain(new BudgetKeeper(access, { ahead: 1 }), allowed(access, token))).toBe(84)
  })

  it('spends nothing for a token without one, and writes nothing', async () => {
    const access = openAccess(temporaryDirectory())
    const { token, record } = await createToken(access, { tools: ['web_search'] })
    expect(await new BudgetKeeper(access, { ahead: 16 }).spend(allowed(access, token))).toBe(true)
    expect(readLines(access.recordsPath)).toHaveLength(2)
    expect(left(access, token)).toBeUndefined()
    expect(createdCallsLeft(record, openRecords(access).tokensKey)).toBeUndefined()
  })

  it('is known by the record of the token that was created', async () => {
    const { access, token, id } = await budgetOf(10)
    await new BudgetKeeper(access, { ahead: 1 }).spend(allowed(access, narrowedTo(token, 5)))
    const records = openRecords(access)
    const record = records.find(id)
    expect(record && createdCallsLeft(record, records.tokensKey)).toBe(9)
    expect(callsLeft(`${token}A`, records)).toBeUndefined()
  })

  it('has a thousand counters for a token id at most', async () => {
    const { access, id } = await budgetOf(5000)
    const counter = (index: number) => ({ key: Buffer.alloc(32, index).toString('base64url'), limit: 5 })
    const keys = Array.from({ length: 1000 }, (_, index) => {
      const key = Buffer.alloc(32)
      key.writeUInt32BE(index)
      return { key: key.toString('base64url'), limit: 5 }
    })
    expect((await reserveCalls(access, { id, counters: keys }, 1)).size).toBe(1000)
    expect((await reserveCalls(access, { id, counters: [counter(255)] }, 1)).size).toBe(0)
    expect((await reserveCalls(access, { id, counters: keys.slice(5, 6) }, 1)).size).toBe(1)
    const other = await createToken(access, { tools: ['a'] })
    expect((await reserveCalls(access, { id: other.record.id, counters: [counter(255)] }, 1)).size).toBe(1)
  })
})

describe('reservations', () => {
  it('are refused once the token was revoked, whatever was set aside', async () => {
    const { access, token, id } = await budgetOf(100)
    const allowance = allowed(access, token)
    const records = openRecords(access)
    const keeper = new BudgetKeeper({ ...access, records }, { ahead: 16 })
    expect(await keeper.spend(allowance)).toBe(true)
    await revokeTokens(access, { names: [id] })
    records.refresh()
    expect(verifyToken(token, SEARCH, { records, nowMs: NOW, held: keeper })).toMatchObject({ reason: 'revoked' })
    expect((await reserveCalls(access, allowance, 16)).size).toBe(0)
    expect((await reserveCalls(access, { ...allowance, id: '00'.repeat(16) }, 16)).size).toBe(0)
  })

  it('grant nothing where the record is not confirmed or cannot be written', async () => {
    const { directory, access, token } = await budgetOf(100)
    const allowance = allowed(access, token)
    const failing: Store = {
      ...access.store,
      transaction: (command, body) =>
        access.store.transaction(command, (transaction) =>
          body({
            read: (name) => transaction.read(name),
            open: (name) => transaction.open(name),
            replace: (name, bytes, options) => transaction.replace(name, bytes, options),
            discardPrevious: (name) => transaction.discardPrevious(name),
            append: () => {
              throw new Error('the disk is gone')
            },
          }),
        ),
    }
    const keeper = new BudgetKeeper({ ...access, store: failing }, { ahead: 16 })
    await expect(keeper.spend(allowance)).rejects.toThrow('the disk is gone')
    expect(keeper.held(allowance.counters[0]?.key ?? '')).toBe(0)
    // The keeper goes on where the disk does.
    const good = new BudgetKeeper(openAccess(directory), { ahead: 16 })
    expect(await good.spend(allowance)).toBe(true)
  })

  it('are seen to be missing from an older copy', async () => {
    const { access, token } = await budgetOf(10)
    const older = readFileSync(access.recordsPath)
    await new BudgetKeeper(access, { ahead: 1 }).spend(allowed(access, token))
    const newer = readFileSync(access.recordsPath)
    writeFileSync(access.recordsPath, older)
    await expectCode('RESTORED', () => allowed(access, token))
    await expectCode('RESTORED', () => reserveCalls(access, { id: '00'.repeat(16), counters: [] }, 1))
    writeFileSync(access.recordsPath, newer)
    expect(left(access, token)).toBe(9)
  })

  it('(control) without the mark an older copy would give calls back', async () => {
    const { directory, access, token } = await budgetOf(10)
    const older = readFileSync(access.recordsPath)
    await new BudgetKeeper(access, { ahead: 1 }).spend(allowed(access, token))
    writeFileSync(access.recordsPath, older)
    forgetMarks(directory)
    expect(left(access, token)).toBe(10)
  })
})
