/**
 * Finds the forms of many secrets in a stream of bytes, in one pass, wherever its chunks are cut.
 *
 * A table of 65,536 bits over the first bytes of all forms lets most of the stream pass at a glance; where it does not,
 * the forms that begin so are compared byte by byte. A form that reaches over the end of a chunk is remembered with the
 * number of bytes that fitted so far, so no byte is looked at twice and the chunks themselves need not be kept.
 *
 * @module
 */

import type { Secret } from '../secret.js'
import { redactionForms } from './forms.js'

/** Where a form of a secret stands in a stream: offsets in bytes from its beginning, the end exclusive. */
export interface Hit {
  /** Which of the secrets, by its place in the list that the forms were made of. */
  readonly secret: number
  readonly start: number
  readonly end: number
}

interface Form {
  readonly bytes: Buffer
  readonly secret: number
}

/** Forms with their first bytes as the key that they are looked up by. */
interface FormGroup {
  /** How many bytes the key has: 4, or fewer in the group of what is shorter. */
  readonly keyBytes: number
  readonly byKey: ReadonlyMap<number, readonly Form[]>
  readonly filter: Uint8Array
  /** The beginnings of 1, 2, … bytes, short of a whole key. */
  readonly beginnings: readonly ReadonlySet<number>[]
}

const MOST_KEY_BYTES = 4
const FILTER_SIZE = 65_536

/**
 * The forms of some secrets, prepared for any number of streams. As secret as the secrets themselves: to be wiped with
 * them. Preparing takes far longer than using it: a server keeps it for as long as it may hold the values.
 */
export class SecretForms {
  /** The longest form, in bytes; 0 when there is nothing to look for. */
  readonly longest: number
  readonly #forms: readonly Form[]
  /** One for what has at least four bytes, one for what is shorter; either may be missing. */
  readonly groups: readonly FormGroup[]

  /** Reads the secrets once; they may be wiped afterwards. An empty one is never found. */
  constructor(secrets: readonly Secret[]) {
    this.#forms = secrets.flatMap((value, secret) => redactionForms(value.reveal()).map((bytes) => ({ bytes, secret })))
    this.longest = this.#forms.reduce((longest, { bytes }) => Math.max(longest, bytes.length), 0)
    const isShort = ({ bytes }: Form): boolean => bytes.length < MOST_KEY_BYTES
    const parts = [this.#forms.filter((form) => !isShort(form)), this.#forms.filter(isShort)]
    this.groups = parts.filter((part) => part.length > 0).map(groupForms)
  }

  /** Zeroes the forms; what still searches with them finds nothing that makes sense. */
  wipe(): void {
    for (const { bytes } of this.#forms) bytes.fill(0)
  }
}

function groupForms(forms: readonly Form[]): FormGroup {
  const shortest = forms.reduce((least, { bytes }) => Math.min(least, bytes.length), MOST_KEY_BYTES)
  const byKey = new Map<number, Form[]>()
  const filter = new Uint8Array(FILTER_SIZE)
  const beginnings = Array.from({ length: shortest - 1 }, () => new Set<number>())
  for (const form of forms) {
    const key = keyOf(form.bytes, shortest)
    const same = byKey.get(key)
    if (same) same.push(form)
    else byKey.set(key, [form])
    filter[slotOf(key)] = 1
    for (const [index, known] of beginnings.entries()) known.add(keyOf(form.bytes, index + 1))
  }
  return { keyBytes: shortest, byKey, filter, beginnings }
}

function keyOf(bytes: Buffer, length: number): number {
  let key = 0
  for (let at = 0; at < length; at += 1) key = (key << 8) | (bytes[at] as number)
  return key
}

/** Multiplicative hashing (Knuth, TAOCP 3, 6.4): neighbouring keys must not crowd one part of the table. */
function slotOf(key: number): number {
  return Math.imul(key, 0x9e3779b1) >>> 16
}

function maskOf(length: number): number {
  return length === MOST_KEY_BYTES ? -1 : (1 << (8 * length)) - 1
}

/** A form of which the stream so far ends with the first `fitted` bytes. */
interface Begun {
  readonly form: Form
  readonly fitted: number
}

/** Searches one stream. */
export class SecretFinder {
  readonly #searches: readonly GroupSearch[]
  #length = 0
  #settledTo = 0
  /** Found, but something that begins earlier may still turn out to be a form. */
  #waiting: Hit[] = []
  readonly #endOf = new Map<number, number>()

  constructor(forms: SecretForms) {
    this.#searches = forms.groups.map((group) => new GroupSearch(group))
  }

  /** How many bytes were fed. */
  get length(): number {
    return this.#length
  }

  /** No hit that begins before this offset will come any more. */
  get settledTo(): number {
    return this.#settledTo
  }

  /**
   * Takes the next bytes and gives the hits that are settled, by their start; the bytes are not kept.
   *
   * Hits of one secret may overlap (`aXa` in `aXaXa`), but none lies within another.
   */
  feed(chunk: Buffer): readonly Hit[] {
    const report = (form: Form, end: number): void => {
      this.#waiting.push({ secret: form.secret, start: end - form.bytes.length, end })
    }
    this.#length += chunk.length
    this.#settledTo = this.#length
    for (const search of this.#searches) {
      const held = search.feed(chunk, report)
      this.#settledTo = Math.min(this.#settledTo, this.#length - held)
    }
    return this.#takeSettled()
  }

  /** Says that the stream has ended and gives the last hits. */
  end(): readonly Hit[] {
    this.#settledTo = this.#length
    return this.#takeSettled()
  }

  #takeSettled(): readonly Hit[] {
    if (this.#waiting.length === 0) return []
    const settled = this.#waiting.filter(({ start }) => start < this.#settledTo)
    this.#waiting = this.#waiting.filter(({ start }) => start >= this.#settledTo)
    settled.sort((a, b) => a.start - b.start || b.end - a.end)
    return settled.filter((hit) => {
      if (hit.end <= (this.#endOf.get(hit.secret) ?? 0)) return false
      this.#endOf.set(hit.secret, hit.end)
      return true
    })
  }
}

type Report = (form: Form, end: number) => void

/** The search of one stream for one group of forms. */
class GroupSearch {
  readonly #group: FormGroup
  /** The last four bytes, the last of them lowest. */
  #last = 0
  #length = 0
  #begun: Begun[] = []

  constructor(group: FormGroup) {
    this.#group = group
  }

  /** Gives how many of the last bytes may belong to a form that has not ended yet. */
  feed(chunk: Buffer, report: Report): number {
    this.#goOn(chunk, report)
    this.#scan(chunk, report)
    this.#length += chunk.length
    return this.#held()
  }

  #goOn(chunk: Buffer, report: Report): void {
    const begun = this.#begun
    this.#begun = []
    for (const { form, fitted } of begun) this.#compare(form, { fitted, chunk, at: 0, report })
  }

  #scan(chunk: Buffer, report: Report): void {
    const { keyBytes, filter } = this.#group
    const mask = maskOf(keyBytes)
    const firstWhole = keyBytes - 1 - this.#length
    let last = this.#last
    for (let at = 0; at < chunk.length; at += 1) {
      last = (last << 8) | (chunk[at] as number)
      if (filter[Math.imul(last & mask, 0x9e3779b1) >>> 16] === 0 || at < firstWhole) continue
      for (const form of this.#group.byKey.get(last & mask) ?? []) {
        this.#compare(form, { fitted: keyBytes, chunk, at: at + 1, report })
      }
    }
    this.#last = last
  }

  #compare(
    form: Form,
    from: { readonly fitted: number; readonly chunk: Buffer; readonly at: number; readonly report: Report },
  ): void {
    const { bytes } = form
    const { chunk, report } = from
    let { fitted, at } = from
    while (fitted < bytes.length && at < chunk.length && bytes[fitted] === chunk[at]) {
      fitted += 1
      at += 1
    }
    if (fitted === bytes.length) report(form, this.#length + at)
    else if (at === chunk.length) this.#begun.push({ form, fitted })
  }

  #held(): number {
    const { beginnings } = this.#group
    const longest = this.#begun.reduce((most, { fitted }) => Math.max(most, fitted), 0)
    // Whatever has begun fits a whole key, which is more than any beginning.
    if (longest > 0) return longest
    for (let length = Math.min(beginnings.length, this.#length); length > 0; length -= 1) {
      if (beginnings[length - 1]?.has(this.#last & maskOf(length))) return length
    }
    return 0
  }
}
