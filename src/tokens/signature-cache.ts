import { hash } from 'node:crypto'
import type { Secret } from '../secret.js'
import type { GenuineToken } from './genuine.js'

/** How much a {@link SignatureCache} keeps. */
export interface CacheLimits {
  /** 10,000 unless told. */
  readonly entries?: number
  /** Characters of all the tokens together, which bounds the memory: 4 Mi unless told. */
  readonly characters?: number
}

const MOST_ENTRIES = 10_000
const MOST_CHARACTERS = 4 * 1024 * 1024
const LONGEST_TOKEN = 8192

/**
 * Remembers which tokens had a signature that fits, for a long-running process.
 *
 * Keyed by the token's digest, so that no token stays in memory. Nothing but the signature is taken from here: records,
 * expiry, budgets and caveats are looked at every time. Only genuine tokens are kept, the oldest is dropped first, and
 * all are dropped with another tokens key.
 */
export class SignatureCache {
  readonly #limits: Required<CacheLimits>
  readonly #tokens = new Map<string, { readonly token: GenuineToken; readonly characters: number }>()
  #characters = 0
  #key: Secret | undefined

  constructor({ entries = MOST_ENTRIES, characters = MOST_CHARACTERS }: CacheLimits = {}) {
    this.#limits = { entries, characters }
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#tokens.size
  }

  /**
   * Gives what a token's text was found to be under this key; undefined if it was not found genuine, or dropped.
   *
   * @param digest of the text, for whoever has made it before.
   */
  find(text: unknown, key: Secret | undefined, digest?: string): GenuineToken | undefined {
    if (key !== this.#key || key === undefined || !isCandidate(text)) return undefined
    return this.#tokens.get(digest ?? digestText(text))?.token
  }

  /** Remembers that a token's text is genuine under this key. */
  add(text: string, token: GenuineToken, key: Secret): void {
    if (key !== this.#key) this.#startOver(key)
    const name = digestText(text)
    if (this.#tokens.has(name)) return
    this.#tokens.set(name, { token, characters: text.length })
    this.#characters += text.length
    this.#dropOldest()
  }

  #startOver(key: Secret): void {
    this.#tokens.clear()
    this.#characters = 0
    this.#key = key
  }

  #dropOldest(): void {
    const { entries, characters } = this.#limits
    for (const [name, oldest] of this.#tokens) {
      if (this.#tokens.size <= entries && this.#characters <= characters) return
      this.#tokens.delete(name)
      this.#characters -= oldest.characters
    }
  }
}

function isCandidate(text: unknown): text is string {
  return typeof text === 'string' && text.length <= LONGEST_TOKEN
}

/** Gives what a token is remembered by: the SHA-256 of its text, in base64url. */
export function digestText(text: string): string {
  return hash('sha256', text, 'base64url')
}
