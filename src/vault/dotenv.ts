import { VaultError } from '../errors.js'

/** One assignment of a .env file. */
export interface EnvEntry {
  readonly name: string
  readonly text: string
  /** From 1. */
  readonly line: number
}

/** One assignment as it stands in the text. */
export interface EnvAssignment extends EnvEntry {
  /** Where the value stands, its quotes included, in UTF-16 units. */
  readonly start: number
  readonly end: number
  /** Why programs would disagree about the value; undefined when they agree. */
  readonly problem: string | undefined
}

const BYTE_ORDER_MARK = '\uFEFF'
const BLANK = /[ \t]*(?:#[^\n]*)?\r?(?:\n|$)/y
const ASSIGNMENT = /[ \t]*(?:export[ \t]+)?([A-Za-z0-9_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/y
const LINE = /[^\n]*(?:\n|$)/y
const REST = /(?:[ \t]+#[^\n]*|[ \t]*)\r?(?:\n|$)/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', $: '$', '`': '`' }

/**
 * Reads a .env file, in the grammar of docs/file-format.md:
 *
 * `[export] NAME = VALUE`, one a line; blank lines and lines that begin with `#`. A value in double quotes may span lines
 * and knows `\n \r \t \" \\ \$` and a backslash before a backtick; in single quotes or backticks it is taken literally
 * and may span lines, and `'\''` is a quote, as in a shell. Without quotes it ends at the line's end or at white space
 * and `#`, and white space around it is dropped. Nothing is expanded.
 *
 * @throws {VaultError} INPUT with the line if that is not what stands there, a name stands there twice, or programs
 * disagree about a value (`#` within a word); never with a piece of the text.
 */
export function parseDotenv(text: string): readonly EnvEntry[] {
  const entries = new Map<string, EnvEntry>()
  for (const entry of scanDotenv(text)) {
    if (entry.problem !== undefined) throw atLine(entry.line, entry.problem)
    const before = entries.get(entry.name)
    if (before !== undefined) {
      // Not even the name: what looks like one may be a piece of base64.
      throw atLine(entry.line, `its name stands in line ${before.line} already`)
    }
    entries.set(entry.name, entry)
  }
  return [...entries.values()]
}

/**
 * Walks the assignments of a .env file, repeated names and disputable values too, for whoever edits one of them.
 *
 * @throws {VaultError} INPUT with the line where something else stands, or a quote is not closed.
 */
export function* scanDotenv(text: string): Generator<EnvAssignment> {
  const scanner = new EnvScanner(text)
  for (let entry = scanner.next(); entry !== undefined; entry = scanner.next()) yield entry
}

class EnvScanner {
  readonly #text: string
  #at: number
  #line = 1

  constructor(text: string) {
    this.#text = text
    this.#at = text.startsWith(BYTE_ORDER_MARK) ? 1 : 0
  }

  /** Gives the next assignment; undefined at the end. */
  next(): EnvAssignment | undefined {
    while (this.#at < this.#text.length && this.#take(BLANK));
    if (this.#at >= this.#text.length) return undefined
    const line = this.#line
    const head = this.#take(ASSIGNMENT)
    if (head === undefined) throw atLine(line, 'expected NAME=VALUE or a comment')
    const name = head[1] ?? ''
    return { name, line, ...this.#value(line) }
  }

  #value(line: number): Omit<EnvAssignment, 'name' | 'line'> {
    const start = this.#at
    const quote = this.#text[start] ?? ''
    if (!'"\'`'.includes(quote) || quote === '') return this.#bare()
    this.#move(start + 1)
    const text = quote === '"' ? this.#doubleQuoted(line) : this.#literal(quote, line)
    const end = this.#at
    if (this.#take(REST) === undefined) throw atLine(this.#line, 'something stands behind the closing quote')
    return { text, start, end, problem: undefined }
  }

  /** Some programs cut a word at its `#` and others do not, so nobody can tell which was meant. */
  #bare(): Omit<EnvAssignment, 'name' | 'line'> {
    const start = this.#at
    // The white space before a comment was taken with the `=`.
    const lead = /[ \t]/.test(this.#text[start - 1] ?? '') ? ' ' : ''
    const body = `${lead}${this.#take(LINE)?.[0] ?? ''}`
    const comment = body.search(/[ \t]#/)
    const text = (comment < 0 ? body : body.slice(0, comment)).replace(/^[ \t]+|[ \t\r\n]+$/g, '')
    const problem = text.includes('#')
      ? 'programs disagree about a # inside of a value: put the value in single quotes'
      : undefined
    return { text, start, end: start + text.length, problem }
  }

  #literal(quote: string, line: number): string {
    let value = ''
    for (;;) {
      value += this.#until(this.#text.indexOf(quote, this.#at), line)
      if (quote !== "'" || !this.#text.startsWith("\\''", this.#at)) return value
      value += "'"
      this.#move(this.#at + 3)
    }
  }

  /** A line end of Windows within the quotes is read as a line feed, as dotenv has it. */
  #doubleQuoted(line: number): string {
    let end = this.#at
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1
    const raw = this.#until(end < this.#text.length ? end : -1, line)
    return raw.replace(/\r\n?/g, '\n').replace(/\\([\s\S])/g, (whole, letter: string) => ESCAPES[letter] ?? whole)
  }

  /** Takes everything up to a closing quote, and the quote. */
  #until(end: number, line: number): string {
    if (end < 0) throw atLine(line, 'the quote that is opened there is not closed')
    const taken = this.#text.slice(this.#at, end)
    this.#move(end + 1)
    return taken
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#move(pattern.lastIndex)
    return match
  }

  #move(to: number): void {
    const passed = this.#text.slice(this.#at, to)
    for (let feed = passed.indexOf('\n'); feed >= 0; feed = passed.indexOf('\n', feed + 1)) this.#line += 1
    this.#at = to
  }
}

function atLine(line: number, why: string): VaultError {
  return new VaultError('INPUT', `cannot read line ${line}: ${why}`)
}
