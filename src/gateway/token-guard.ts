import { VaultError } from '../errors.js'
import { BudgetKeeper, CALLS_AHEAD } from '../tokens/budget.js'
import type { Method } from '../tokens/caveats.js'
import { RateKeeper } from '../tokens/rate.js'
import { TokenRecords } from '../tokens/records.js'
import { digestText, SignatureCache } from '../tokens/signature-cache.js'
import {
  type Allowance,
  type Circumstances,
  type Denial,
  inspectToken,
  type TokenRequest,
  type TokenStatus,
  verifyToken,
} from '../tokens/verify.js'
import type { CredentialLoader } from './credentials.js'

/** What a token is asked to allow: a feature of MCP, any live token where it is undefined, and perhaps a call. */
export interface TokenDemand {
  readonly feature: Method | undefined
  readonly call?: Extract<TokenRequest, { method: 'tools' }> | undefined
}

/** The token of one request, hashed once however often it is judged; to be dropped with the request. */
export class PresentedToken {
  readonly text: string | undefined
  #digest: string | undefined

  constructor(text: string | undefined) {
    this.text = text
  }

  /** What the token is remembered by. */
  get digest(): string | undefined {
    this.#digest ??= this.text && digestText(this.text)
    return this.#digest
  }
}

/** A token that allows what was asked. */
export interface Admission {
  readonly allowed: true
  readonly status: TokenStatus
  /** What a call has to be spent from; undefined where nothing is called. */
  readonly allowance: Allowance | undefined
}

/** Judges the tokens of requests; every request sees what any process has written to the records before. */
export class TokenGuard {
  readonly #loader: CredentialLoader
  readonly #cache = new SignatureCache()
  readonly #rates: RateKeeper
  #followed: { readonly records: TokenRecords; readonly keeper: BudgetKeeper } | undefined

  /** @param monotonicMs A clock that never goes back, for rates. */
  constructor(loader: CredentialLoader, monotonicMs: () => number) {
    this.#loader = loader
    this.#rates = new RateKeeper(monotonicMs)
  }

  /**
   * Judges a token; spends nothing. Records that are damaged or an old copy refuse everything.
   *
   * @throws {VaultError} IO, UNSAFE, INPUT, NO_KEY, WRONG_KEY if the records or the vault cannot be read.
   */
  judge(token: PresentedToken, demand: TokenDemand): Admission | Denial {
    try {
      this.#follow().records.refresh()
    } catch (error) {
      if (isDamage(error)) return { allowed: false, reason: 'damaged-records' }
      throw error
    }
    return this.judgeAsSeen(token, demand)
  }

  /**
   * Judges a token by the records as they were when they were looked at last: for a request that has had them looked at
   * since it came, and will again before anything is sent.
   *
   * @throws {VaultError} as `judge`
   */
  judgeAsSeen(token: PresentedToken, { feature, call }: TokenDemand): Admission | Denial {
    try {
      const { records, keeper } = this.#follow()
      const textDigest = token.digest
      const circumstances = { records, nowMs: this.#loader.nowMs, cache: this.#cache, held: keeper, textDigest }
      return judge(token.text, { feature, call }, circumstances)
    } catch (error) {
      if (isDamage(error)) return { allowed: false, reason: 'damaged-records' }
      throw error
    }
  }

  /** Takes a call from an allowed token's rates; gives false if it comes too soon after others. */
  takeRate({ rates }: Allowance): boolean {
    return this.#rates.take(rates)
  }

  /**
   * Spends one call of an allowed token's budgets; gives false if none is left by now.
   *
   * @throws {VaultError} LOCKED, IO, DURABILITY, UNSAFE if it cannot be recorded: then the call must not be made.
   */
  async spend(allowance: Allowance): Promise<boolean> {
    if (allowance.counters.length === 0) return true
    try {
      return await this.#follow().keeper.spend(allowance)
    } catch (error) {
      if (isDamage(error)) return false
      throw error
    }
  }

  /** Wipes the tokens key. */
  close(): void {
    this.#followed?.records.close()
    this.#followed = undefined
  }

  #follow(): { readonly records: TokenRecords; readonly keeper: BudgetKeeper } {
    if (this.#followed !== undefined) return this.#followed
    const access = this.#loader.tokenAccess()
    const records = TokenRecords.open(access.store, access.keys)
    const keeper = new BudgetKeeper({ ...access, records }, { ahead: CALLS_AHEAD })
    this.#followed = { records, keeper }
    return this.#followed
  }
}

function judge(
  token: string | undefined,
  { feature, call }: TokenDemand,
  circumstances: Circumstances,
): Admission | Denial {
  const status = inspectToken(token, circumstances)
  if ('allowed' in status) return status
  if (feature !== undefined && !status.scope.methods.includes(feature)) return { allowed: false, reason: 'method' }
  const allowance = call && verifyToken(token, call, circumstances)
  return allowance?.allowed === false ? allowance : { allowed: true, status, allowance }
}

function isDamage(error: unknown): boolean {
  return error instanceof VaultError && (error.code === 'DAMAGED' || error.code === 'RESTORED')
}
