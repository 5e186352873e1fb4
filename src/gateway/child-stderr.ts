/** A child's stderr on its way into the gateway's log: redacted, cut into lines, and no more of it than a log can bear. */

import { StringDecoder } from 'node:string_decoder'
import type { SecretForms } from '../redact/find.js'
import { StreamRedactor } from '../redact/stream.js'

/** Lines that are written in a row, and how many more each second. */
const BURST_LINES = 100
const LINES_PER_SECOND = 20
/** Of a line, in characters. */
const MAX_LINE_LENGTH = 2000
/** Bytes that are read each second: searching them for credentials takes time that others need. */
const BYTES_PER_SECOND = 4 * 1024 * 1024

/** What is done with what was read. */
export interface StderrOptions {
  readonly forms: SecretForms
  /** Writes a line. */
  readonly writeLine: (line: string) => void
  /** Told how many lines were left out since the last that was written. */
  readonly onLeftOut: (lines: number) => void
  /** Told once of each value that was found, by its place in the forms. */
  readonly onFound: (secret: number) => void
  /** Slows the child down. */
  readonly pause: (ms: number) => void
  readonly monotonicMs: () => number
}

/** Reads one child's stderr. */
export class ChildStderr {
  readonly #options: StderrOptions
  readonly #redactor: StreamRedactor
  readonly #decoder = new StringDecoder('utf8')
  #line = ''
  #room = BURST_LINES
  #bytes = 0
  #sinceMs: number
  #leftOut = 0
  #told = 0

  constructor(options: StderrOptions) {
    this.#options = options
    this.#redactor = new StreamRedactor(options.forms)
    this.#sinceMs = options.monotonicMs()
  }

  push(chunk: Buffer): void {
    this.#tick()
    this.#bytes += chunk.length
    if (this.#bytes > BYTES_PER_SECOND)
      this.#options.pause(Math.max(50, 1000 - (this.#options.monotonicMs() - this.#sinceMs)))
    this.#take(this.#decoder.write(this.#redactor.write(chunk)))
    this.#tellFound()
  }

  /** Writes what is left. */
  end(): void {
    this.#take(this.#decoder.end(this.#redactor.end()))
    this.#tellFound()
    if (this.#line !== '') this.#write(this.#line)
    this.#line = ''
    this.#tellLeftOut()
  }

  #tellFound(): void {
    const found = [...this.#redactor.found]
    for (const secret of found.slice(this.#told)) this.#options.onFound(secret)
    this.#told = found.length
  }

  #tick(): void {
    const seconds = (this.#options.monotonicMs() - this.#sinceMs) / 1000
    if (seconds < 1) return
    this.#sinceMs = this.#options.monotonicMs()
    this.#bytes = 0
    this.#room = Math.min(BURST_LINES, this.#room + Math.floor(seconds * LINES_PER_SECOND))
  }

  #take(text: string): void {
    const lines = text.split('\n')
    const last = lines.pop() ?? ''
    for (const line of lines) {
      this.#write(this.#line + line)
      this.#line = ''
    }
    // The rest of a line that is too long is dropped when it ends.
    if (this.#line.length <= MAX_LINE_LENGTH) this.#line += last
  }

  #write(line: string): void {
    if (this.#room < 1) {
      this.#leftOut += 1
      return
    }
    this.#room -= 1
    this.#tellLeftOut()
    const text = line.replace(/\r$/, '')
    this.#options.writeLine(text.length > MAX_LINE_LENGTH ? `${text.slice(0, MAX_LINE_LENGTH)}…` : text)
  }

  #tellLeftOut(): void {
    if (this.#leftOut > 0) this.#options.onLeftOut(this.#leftOut)
    this.#leftOut = 0
  }
}
