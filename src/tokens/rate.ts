/**
 * Rates of calls: what the caveat `rate` holds, and the token buckets that enforce it.
 *
 * A bucket lives in one process and is full when it starts, so a rate is a brake and no budget: what must not be overspent
 * is limited by `calls`.
 *
 * @module
 */

/** So many calls in a second, a minute or an hour. */
export interface Rate {
  /** 1 to 10^6. */
  readonly calls: number
  readonly per: 's' | 'm' | 'h'
}

/** A rate of a genuine token. */
export interface RateLimit {
  /** SHA-256 of the signature after the rate's caveat, in base64url: what is narrowed from a token shares its bucket. */
  readonly key: string
  readonly rate: Rate
}

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000 } as const
const MAX_RATE_CALLS = 1_000_000
const RATE = /^([1-9]\d{0,6})\/([smh])$/
const MOST_BUCKETS = 10_000

/** Reads `30/m`; undefined for everything that {@link formatRate} does not write. */
export function parseRate(text: string): Rate | undefined {
  const [, calls, per] = RATE.exec(text) ?? []
  if (calls === undefined || Number(calls) > MAX_RATE_CALLS) return undefined
  return { calls: Number(calls), per: per as Rate['per'] }
}

/** Prints a rate: `30/m`. */
export function formatRate({ calls, per }: Rate): string {
  return `${calls}/${per}`
}

interface Bucket {
  tokens: number
  atMs: number
}

/**
 * Token buckets by the rate's key. Each holds as many calls as its rate names and fills up evenly over the rate's span.
 *
 * The bucket that was used longest ago is dropped beyond 10,000: whoever uses a token keeps its buckets.
 */
export class RateKeeper {
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, Bucket>()

  /** @param nowMs A clock that never goes back, in milliseconds. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Takes one call from each bucket, or from none; gives whether the call may be made. */
  take(limits: readonly RateLimit[]): boolean {
    if (limits.length === 0) return true
    const atMs = this.#nowMs()
    const buckets = limits.map((limit) => this.#fill(limit, atMs))
    if (!buckets.every(({ tokens }) => tokens >= 1)) return false
    for (const bucket of buckets) bucket.tokens -= 1
    return true
  }

  /** How many seconds until {@link take} may give true, rounded up; 0 when it would now. */
  secondsUntilNext(limits: readonly RateLimit[]): number {
    const atMs = this.#nowMs()
    const waits = limits.map((limit) => {
      const missing = 1 - this.#fill(limit, atMs).tokens
      return missing <= 0 ? 0 : (missing * UNIT_MS[limit.rate.per]) / limit.rate.calls / 1000
    })
    return Math.ceil(Math.max(0, ...waits))
  }

  #fill({ key, rate }: RateLimit, atMs: number): Bucket {
    const bucket = this.#buckets.get(key) ?? { tokens: rate.calls, atMs }
    const gained = ((atMs - bucket.atMs) * rate.calls) / UNIT_MS[rate.per]
    bucket.tokens = Math.min(rate.calls, bucket.tokens + Math.max(0, gained))
    bucket.atMs = atMs
    // Set anew, so that the order of the map is that of use.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= MOST_BUCKETS) break
      this.#buckets.delete(oldest)
    }
    return bucket
  }
}
