/** Tells line and column of offsets in a stream of bytes that is not kept. */

const LINE_FEED = 0x0a

/** A place as editors name it: both numbers count from 1, the column in bytes. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Remembers where lines begin, as far back as hits can begin. */
export class LineCounter {
  readonly #windowBytes: number
  #length = 0
  /** Offsets at which the remembered lines begin, ascending; at least one. */
  #starts: number[] = [0]
  /** The number of the first remembered line. */
  #firstLine = 1

  /** Places can be asked for up to `windowBytes` before the last chunk: the longest form of what is looked for. */
  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes
  }

  /** Takes the next bytes. */
  add(chunk: Buffer): void {
    this.#forget(this.#length - this.#windowBytes)
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) {
      this.#starts.push(this.#length + at + 1)
    }
    this.#length += chunk.length
  }

  /** Tells the place of an offset within the window. */
  placeOf(offset: number): Place {
    let [low, high] = [0, this.#starts.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#starts[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return { line: this.#firstLine + low, column: offset - (this.#starts[low] as number) + 1 }
  }

  #forget(before: number): void {
    let known = 0
    while (known + 1 < this.#starts.length && (this.#starts[known + 1] as number) <= before) known += 1
    if (known === 0) return
    this.#starts = this.#starts.slice(known)
    this.#firstLine += known
  }
}
