/** Counters and durations for Prometheus (text format 0.0.4). */

const BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]

interface Histogram {
  readonly buckets: number[]
  sum: number
  count: number
}

/** Age of one credential, for the metrics. */
export interface CredentialAge {
  readonly name: string
  /** Undefined when it is not known. */
  readonly ageSeconds: number | undefined
  readonly isDue: boolean
}

/** Counts what the gateway does, from its start. */
export class Metrics {
  readonly #calls = new Map<string, number>()
  readonly #refusals = new Map<string, number>()
  readonly #leaks = new Map<string, number>()
  readonly #durations = new Map<string, Histogram>()

  /** Counts a request that was carried. */
  countCall(upstream: string, outcome: string, ms: number): void {
    increase(this.#calls, labels({ upstream, outcome }))
    const key = labels({ upstream })
    const histogram = this.#durations.get(key) ?? { buckets: BUCKETS_MS.map(() => 0), sum: 0, count: 0 }
    this.#durations.set(key, histogram)
    for (const [index, limit] of BUCKETS_MS.entries())
      if (ms <= limit) histogram.buckets[index] = (histogram.buckets[index] ?? 0) + 1
    histogram.sum += ms
    histogram.count += 1
  }

  /** Counts a request that was refused. */
  countRefusal(reason: string): void {
    increase(this.#refusals, labels({ reason }))
  }

  /** Counts an answer that held a credential. */
  countLeak(credential: string): void {
    increase(this.#leaks, labels({ credential }))
  }

  /** Prints everything. */
  format(credentials: readonly CredentialAge[]): string {
    const ages = credentials.filter(({ ageSeconds }) => ageSeconds !== undefined)
    return [
      family('mcpvault_calls_total', 'counter', 'Requests carried to upstreams.', this.#calls),
      family('mcpvault_refusals_total', 'counter', 'Requests refused, by reason.', this.#refusals),
      family('mcpvault_leaks_total', 'counter', 'Answers that held a credential.', this.#leaks),
      family(
        'mcpvault_credential_age_seconds',
        'gauge',
        'Age of the value of each credential.',
        ages.map(({ name, ageSeconds }) => [labels({ credential: name }), ageSeconds ?? 0]),
      ),
      family(
        'mcpvault_credential_due',
        'gauge',
        'Whether a credential is due for rotation.',
        credentials.map(({ name, isDue }) => [labels({ credential: name }), isDue ? 1 : 0]),
      ),
      this.#formatDurations(),
    ].join('')
  }

  #formatDurations(): string {
    const name = 'mcpvault_call_duration_seconds'
    const lines = [`# HELP ${name} Time from the first byte sent to the last received.`, `# TYPE ${name} histogram`]
    for (const [key, { buckets, sum, count }] of this.#durations) {
      const inner = key.slice(1, -1)
      for (const [index, limit] of BUCKETS_MS.entries()) {
        lines.push(`${name}_bucket{${inner},le="${limit / 1000}"} ${buckets[index]}`)
      }
      lines.push(
        `${name}_bucket{${inner},le="+Inf"} ${count}`,
        `${name}_sum${key} ${sum / 1000}`,
        `${name}_count${key} ${count}`,
      )
    }
    return `${lines.join('\n')}\n`
  }
}

function increase(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function labels(pairs: Readonly<Record<string, string>>): string {
  const inner = Object.entries(pairs).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeLabel)}"`)
  return `{${inner.join(',')}}`
}

function escapeLabel(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`
}

function family(name: string, type: string, help: string, samples: Iterable<readonly [string, number]>): string {
  const lines = [...samples].map(([key, value]) => `${name}${key} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}
