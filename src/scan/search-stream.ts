import { SecretFinder } from '../redact/find.js'
import { LineCounter, type Place } from '../redact/lines.js'
import type { Sought, SoughtValue } from './values.js'

/** Where a value was found. It never holds the value. */
export interface ScanHit extends Place {
  /** The file, or what stands for it. */
  readonly where: string
  readonly value: SoughtValue
}

/** Looks for values in one stream of bytes, chunk by chunk; nothing of them is kept. */
export class StreamSearch {
  readonly #finder: SecretFinder
  readonly #lines: LineCounter
  readonly #sought: Sought
  readonly #where: string

  constructor(sought: Sought, where: string) {
    this.#sought = sought
    this.#where = where
    this.#finder = new SecretFinder(sought.forms)
    this.#lines = new LineCounter(sought.forms.longest)
  }

  /** Takes the next bytes and gives what is certain by now. */
  feed(chunk: Buffer): readonly ScanHit[] {
    this.#lines.add(chunk)
    return this.#toHits(this.#finder.feed(chunk))
  }

  /** Gives what is left at the end of the stream. */
  end(): readonly ScanHit[] {
    return this.#toHits(this.#finder.end())
  }

  #toHits(hits: ReturnType<SecretFinder['feed']>): readonly ScanHit[] {
    return hits.flatMap(({ secret, start }) => {
      const value = this.#sought.values[secret]
      return value === undefined ? [] : [{ where: this.#where, value, ...this.#lines.placeOf(start) }]
    })
  }
}
