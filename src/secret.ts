/**
 * A value that does not print. Every `reveal` and `use` is a place that a reviewer can grep for.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'

const MASK = '[secret]'
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** Holds secret bytes; printing, inspecting, concatenating or serialising it gives `[secret]`. */
export class Secret {
  readonly #bytes: Buffer

  /** Takes ownership of `bytes`: they are not copied, and `wipe` zeroes them in place. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** Copies a text into a secret, as UTF-8. The text itself stays in memory until it is collected. */
  static fromText(text: string): Secret {
    return new Secret(Buffer.from(text, 'utf8'))
  }

  /** Gives the bytes themselves, not a copy. */
  reveal(): Buffer {
    return this.#bytes
  }

  /** Gives the value as text, or undefined when it is not valid UTF-8. */
  revealText(): string | undefined {
    return isUtf8(this.#bytes) ? this.#bytes.toString('utf8') : undefined
  }

  /** Hands the bytes to `read` and zeroes them when it has returned or thrown. */
  use<T>(read: (bytes: Buffer) => T): T {
    try {
      return read(this.#bytes)
    } finally {
      this.wipe()
    }
  }

  /** Zeroes the bytes; the secret is then a run of NULs. */
  wipe(): void {
    this.#bytes.fill(0)
  }

  toString(): string {
    return MASK
  }

  toJSON(): string {
    return MASK
  }

  [INSPECT](): string {
    return MASK
  }
}
