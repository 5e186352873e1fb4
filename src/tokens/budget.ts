/**
 * Budgets of calls, which survive every crash without being overspent.
 *
 * A process sets calls aside by a durable `reserve` record before it accepts any, so that a crash forfeits what it had
 * set aside and never gives it out twice. The counters are in the token records; what a process has set aside and not
 * spent is known to it alone.
 */

import type { Secret } from '../secret.js'
import { changeRecords, type TokenAccess } from './change.js'
import { authenticate, type Counter, createdCounters } from './genuine.js'
import type { TokenRecord } from './record-line.js'
import { decodeToken } from './token.js'
import { type Allowance, MAX_COUNTERS, type TokenLookup } from './verify.js'

/** How many calls a long-running process sets aside at once. */
export const CALLS_AHEAD = 16

// The last calls of a budget are set aside one by one, so that a crash forfeits few of them.
const FEW_CALLS = 32
const MOST_HELD = 10_000

/** A token's id and budgets; what `verifyToken` allows is one. */
export type Spending = Pick<Allowance, 'id' | 'counters'>

/**
 * Sets calls aside, durably: from each budget up to `ahead` calls, and one when less than 32 are left.
 *
 * Gives how many by the counter's key, which the caller may spend and nobody else will; nothing if any of the budgets
 * is used up, the token was revoked meanwhile, or it has too many budgets. What is not spent is forfeited.
 *
 * @throws {VaultError} LOCKED, DAMAGED, RESTORED, INPUT, IO, UNSAFE; DURABILITY if the record is not confirmed: then
 * nothing may be spent either.
 */
export async function reserveCalls(
  access: TokenAccess,
  { id, counters }: Spending,
  ahead: number,
): Promise<ReadonlyMap<string, number>> {
  const atMs = access.now()
  return changeRecords(access, 'token spend', (records) => {
    const granted = grantCalls(records.find(id), counters, ahead)
    const entries = granted.size === 0 ? [] : [{ type: 'reserve', id, atMs, calls: [...granted] } as const]
    return { entries, finish: () => granted }
  })
}

/**
 * Spends calls in one process, from what it has set aside.
 *
 * A command that spends one call sets one aside; a process that runs for long sets {@link CALLS_AHEAD} aside, so that
 * most calls cost no write.
 */
export class BudgetKeeper {
  readonly #access: TokenAccess
  readonly #ahead: number
  /** Never zero. What is dropped here is forfeited. */
  readonly #held = new Map<string, number>()
  #queue: Promise<unknown> = Promise.resolve()

  constructor(access: TokenAccess, options: { readonly ahead: number }) {
    this.#access = access
    this.#ahead = options.ahead
  }

  /** How many calls this process has set aside and not spent, by the counter's key. */
  held(counter: string): number {
    return this.#held.get(counter) ?? 0
  }

  /**
   * Spends one call from each of a token's budgets, or none; a token without budgets spends nothing. To be called after
   * `verifyToken` has allowed the call and before the call is made.
   *
   * @returns Whether the call may be made.
   * @throws {VaultError} as {@link reserveCalls}: the call may not be made.
   */
  async spend({ id, counters }: Spending): Promise<boolean> {
    if (this.#take(counters)) return true
    // One after the other: who waits may find that the one before has set aside enough.
    const spent = this.#queue.then(() => this.#reserveAndTake({ id, counters }))
    this.#queue = spent.catch(() => {})
    return spent
  }

  async #reserveAndTake({ id, counters }: Spending): Promise<boolean> {
    if (this.#take(counters)) return true
    const missing = counters.filter(({ key }) => this.held(key) === 0)
    const granted = await reserveCalls(this.#access, { id, counters: missing }, this.#ahead)
    for (const [key, calls] of granted) this.#hold(key, this.held(key) + calls)
    // What was there before may have been spent while this waited.
    return granted.size > 0 && (this.#take(counters) || this.#reserveAndTake({ id, counters }))
  }

  #take(counters: readonly Counter[]): boolean {
    if (!counters.every(({ key }) => this.held(key) > 0)) return false
    for (const { key } of counters) this.#hold(key, this.held(key) - 1)
    return true
  }

  #hold(key: string, calls: number): void {
    if (calls > 0) this.#held.set(key, calls)
    else this.#held.delete(key)
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= MOST_HELD) return
      if (oldest !== key) this.#held.delete(oldest)
    }
  }
}

/** How many calls a token has left, by the smallest of its budgets; undefined if it has none or is not genuine. */
export function callsLeft(text: string, records: TokenLookup): number | undefined {
  const macaroon = decodeToken(text)
  const record = macaroon && records.find(macaroon.identifier.toString('hex'))
  if (macaroon === undefined || record === undefined || records.tokensKey === undefined) return undefined
  const token = authenticate(macaroon, records.tokensKey)
  return 'reason' in token ? undefined : leastLeft(token.counters, record)
}

/** How many calls are left to a token as it was created; undefined if it has no budget. */
export function createdCallsLeft(record: TokenRecord, tokensKey: Secret | undefined): number | undefined {
  return tokensKey && leastLeft(createdCounters(record, tokensKey), record)
}

function leastLeft(counters: readonly Counter[], record: TokenRecord): number | undefined {
  const left = counters.map((counter) => leftOf(counter, record))
  return left.length === 0 ? undefined : Math.max(0, Math.min(...left))
}

/** Counts calls that any process has set aside as spent. */
function leftOf({ key, limit }: Counter, { reserved }: TokenRecord): number {
  return limit - (reserved?.get(key) ?? 0)
}

function grantCalls(
  record: TokenRecord | undefined,
  counters: readonly Counter[],
  ahead: number,
): ReadonlyMap<string, number> {
  const granted = new Map<string, number>()
  if (record === undefined || record.revokedMs !== undefined) return granted
  const fresh = counters.filter(({ key }) => record.reserved?.has(key) !== true).length
  if (fresh > 0 && (record.reserved?.size ?? 0) + fresh > MAX_COUNTERS) return granted
  for (const counter of counters) {
    const left = leftOf(counter, record)
    if (left < 1) return new Map()
    granted.set(counter.key, left < FEW_CALLS ? 1 : Math.max(1, Math.min(ahead, left)))
  }
  return granted
}
