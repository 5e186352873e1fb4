/**
 * Takes secrets out of a stream of bytes while it passes.
 *
 * What it gives is what redacting the whole stream at once would give, wherever its chunks are cut. It holds back only
 * bytes that may be the beginning of a form: a prompt without a line end passes at once.
 *
 * @module
 */

import { REDACTED } from './forms.js'
import { type Hit, SecretFinder, type SecretForms } from './find.js'

const MARK = Buffer.from(REDACTED)

/** Redacts one stream. */
export class StreamRedactor {
  readonly #finder: SecretFinder
  readonly #held = new ByteQueue()
  readonly #found = new Set<number>()
  /** Offset behind the last byte that was given out or replaced. */
  #done = 0
  /** Offset behind the last replaced byte; -1 before the first. */
  #covered = -1

  constructor(forms: SecretForms) {
    this.#finder = new SecretFinder(forms)
  }

  /** Which secrets were found so far, by their place in the list that the forms were made of. */
  get found(): ReadonlySet<number> {
    return this.#found
  }

  /** How many bytes are held back: at most the longest form less one. */
  get heldBytes(): number {
    return this.#finder.length - this.#done
  }

  /** Takes the next bytes and gives what can be passed on; the answer may share memory with `chunk`. */
  write(chunk: Buffer): Buffer {
    const hits = this.#finder.feed(chunk)
    const { settledTo, length } = this.#finder
    if (hits.length === 0 && settledTo === length && this.#done === length - chunk.length) {
      this.#done = length
      return chunk
    }
    this.#held.push(chunk)
    return this.#take(hits, settledTo)
  }

  /** Says that the stream has ended and gives the rest. */
  end(): Buffer {
    return this.#take(this.#finder.end(), this.#finder.length)
  }

  #take(hits: readonly Hit[], settledTo: number): Buffer {
    const parts: Buffer[] = []
    for (const { secret, start, end } of hits) {
      this.#found.add(secret)
      // What begins inside of what was replaced, or right behind it, is covered by the same mark.
      if (start > this.#covered) {
        this.#passTo(start, parts)
        parts.push(MARK)
      }
      this.#covered = Math.max(this.#covered, end)
      this.#skipTo(end)
    }
    this.#passTo(settledTo, parts)
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
  }

  #passTo(offset: number, parts: Buffer[]): void {
    if (offset <= this.#done) return
    parts.push(this.#held.take(offset - this.#done))
    this.#done = offset
  }

  #skipTo(offset: number): void {
    if (offset <= this.#done) return
    this.#held.take(offset - this.#done).fill(0)
    this.#done = offset
  }
}

/** Redacts bytes that are there as a whole, and tells which secrets were in them. */
export function redactBytes(
  bytes: Buffer,
  forms: SecretForms,
): { readonly bytes: Buffer; readonly found: ReadonlySet<number> } {
  const redactor = new StreamRedactor(forms)
  const redacted = Buffer.concat([redactor.write(bytes), redactor.end()])
  return { bytes: redacted, found: redactor.found }
}

const FIRST_CAPACITY = 4096

/** Bytes that come in at one end and go out at the other; each is copied twice on average. */
class ByteQueue {
  #bytes = Buffer.alloc(0)
  #from = 0
  #to = 0

  push(chunk: Buffer): void {
    if (this.#bytes.length - this.#to < chunk.length) this.#makeRoom(chunk.length)
    chunk.copy(this.#bytes, this.#to)
    this.#to += chunk.length
  }

  /** Gives the next bytes, as a copy. */
  take(length: number): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(this.#from, this.#from + length))
    this.#bytes.fill(0, this.#from, this.#from + length)
    this.#from += length
    if (this.#from === this.#to) [this.#from, this.#to] = [0, 0]
    return taken
  }

  #makeRoom(length: number): void {
    const kept = this.#to - this.#from
    const capacity = Math.max(FIRST_CAPACITY, 2 * (kept + length))
    const roomier = capacity <= this.#bytes.length ? this.#bytes : Buffer.alloc(capacity)
    this.#bytes.copy(roomier, 0, this.#from, this.#to)
    if (roomier !== this.#bytes) this.#bytes.fill(0)
    this.#bytes = roomier
    ;[this.#from, this.#to] = [0, kept]
  }
}
