import type { Reader } from '../storage/store.js'
import { damagedAt } from './damage.js'
import { type Element, MAX_RECORD_BYTES } from './element.js'

/** How a log is scanned. */
export interface ScanOptions {
  readonly blockBytes: number
  /** Where to stop, in bytes, behind a record that more may follow: the array must not be closed before it. */
  readonly end?: number
}

type Place = 'opening' | 'first' | 'element' | 'inside' | 'next' | 'closed'

const BOM = Buffer.from('\uFEFF')
const [TAB, LINE_FEED, RETURN, SPACE] = [0x09, 0x0a, 0x0d, 0x20]
const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c]
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Finds the records of a JSON array in any layout, front to back, holding one block and one record at a time.
 *
 * Only the array itself is checked here, its brackets, commas and white space; each record's text is left to
 * `readElement`.
 *
 * @throws {VaultError} DAMAGED if the bytes are not an array of objects.
 */
export function* scanArray(reader: Reader, { blockBytes, end }: ScanOptions): Generator<Element> {
  const stop = end ?? reader.size
  const outline = new ObjectOutline()
  let place: Place = 'opening'
  let parts: Buffer[] = []
  let start = 0
  for (let position = bomLength(reader); position < stop; ) {
    const block = reader.read(position, Math.min(blockBytes, stop - position))
    if (block.length === 0) break
    for (let index = 0; index < block.length; ) {
      if (place === 'inside') {
        const after = outline.advance(block, index)
        parts.push(block.subarray(index, after))
        if (position + after - start > MAX_RECORD_BYTES) throw damagedAt(start, 'a record of over 1 MiB')
        index = after
        if (!outline.isComplete) continue
        yield { start, bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts) }
        place = 'next'
        continue
      }
      place = step(place, block[index] ?? 0, position + index)
      if (place === 'inside') {
        start = position + index
        parts = []
        outline.reset()
      } else index++
    }
    position += block.length
  }
  if (place === (end === undefined ? 'closed' : 'next')) return
  throw place === 'inside' ? damagedAt(start, 'a record without an end') : damagedAt(stop, 'no end of the array')
}

/** Measures the object that `bytes` begin with; undefined when they do not hold all of it. */
export function objectLength(bytes: Buffer): number | undefined {
  if (bytes[0] !== OPEN_OBJECT) return undefined
  const outline = new ObjectOutline()
  const length = outline.advance(bytes, 0)
  return outline.isComplete ? length : undefined
}

function bomLength(reader: Reader): number {
  return reader.read(0, BOM.length).equals(BOM) ? BOM.length : 0
}

/** Goes from one place between records to the next over one byte. */
function step(place: Place, byte: number, position: number): Place {
  if (byte === SPACE || byte === LINE_FEED || byte === RETURN || byte === TAB) return place
  if (place === 'opening' && byte === OPEN_ARRAY) return 'first'
  if ((place === 'first' || place === 'element') && byte === OPEN_OBJECT) return 'inside'
  if ((place === 'first' || place === 'next') && byte === CLOSE_ARRAY) return 'closed'
  if (place === 'next' && byte === COMMA) return 'element'
  throw damagedAt(position, place === 'opening' ? 'no JSON array' : 'no record where one is expected')
}

/** Follows brackets and strings to the end of one object, across block borders. */
class ObjectOutline {
  #depth = 0
  #isInString = false
  #isEscaped = false

  reset(): void {
    this.#depth = 0
    this.#isInString = false
    this.#isEscaped = false
  }

  get isComplete(): boolean {
    return this.#depth === 0
  }

  /** Reads on from `index` and gives the index behind the object, or behind the block when the object goes on. */
  advance(block: Buffer, from: number): number {
    for (let index = from; index < block.length; index++) {
      const byte = block[index]
      if (this.#isEscaped) this.#isEscaped = false
      else if (byte === BACKSLASH) this.#isEscaped = this.#isInString
      else if (byte === QUOTE) this.#isInString = !this.#isInString
      else if (this.#isInString) continue
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++
      else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && --this.#depth === 0) return index + 1
    }
    return block.length
  }
}
