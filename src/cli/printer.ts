/**
 * What a command prints: data on stdout, everything else on stderr; a table for a person, tab-separated lines in a pipe,
 * one JSON value with `--json`.
 *
 * The packages that draw tables and colour are loaded only when a terminal is there to see them.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { Context, Output } from './context.js'
import type { GlobalOptions } from './flags.js'
import { visible, visibleJson } from './visible.js'

/** A tone of a cell; a terminal shows it as a colour. */
export type Tone = 'good' | 'warn' | 'bad' | 'faint' | 'strong'

/** One field: text, or text for a pipe beside what a person rather reads (a timestamp beside "3d ago"). */
export type Cell = string | { readonly plain: string; readonly shown?: string; readonly tone?: Tone }

/** Rows under headers. */
export interface Table {
  readonly headers: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  /** The sentence that stands on a terminal's stderr when there is no row. */
  readonly empty: string
}

/** Prints for one run of a command. */
export interface Printer {
  /** What a change was made for, such as a new token, on stdout. @throws {VaultError} DURABILITY if it cannot be printed */
  result(text: string): void
  /**
   * One success line in the past tense on stderr, lost without harm; with `--json` the value on stdout instead.
   *
   * @throws {VaultError} DURABILITY if the value cannot be printed
   */
  done(sentence: string, value: unknown): void
  /** One JSON value and a newline on stdout. */
  json(value: unknown): void
  /** A line on stderr, also with `--quiet`; one JSON object with `--json`. */
  warn(sentence: string): void
  /** Rows on stdout. Not for `--json`: the caller gives those rows to `json` with names. */
  table(table: Table): Promise<void>
}

/** Makes the printer of a command from its flags. */
export function createPrinter(context: Context, options: Pick<GlobalOptions, 'json' | 'quiet' | 'color'>): Printer {
  const json = (value: unknown): void => context.stdout.write(`${visibleJson(value)}\n`)
  return {
    json,
    result(text) {
      afterCommit(() => context.stdout.write(text))
    },
    done(sentence, value) {
      if (options.json) afterCommit(() => json(value))
      else if (!options.quiet) ignoreFailure(() => context.stderr.write(`${visible(sentence)}\n`))
    },
    warn(sentence) {
      if (options.json) holdWarning(context, sentence)
      else context.stderr.write(`mcpvault: warning: ${visible(sentence)}\n`)
    },
    async table(table) {
      if (!context.stdout.isTerminal) context.stdout.write(formatTabs(table))
      else if (table.rows.length === 0) context.stderr.write(`${visible(table.empty)}\n`)
      else {
        const { drawTable } = await import('./output.js')
        context.stdout.write(drawTable(table, colorLevel(context.stdout, context.env, options.color)))
      }
    },
  }
}

const held = new WeakMap<Context, string[]>()

/** With `--json` a failure is one object on stderr, so that warnings wait until it is known whether there is one. */
function holdWarning(context: Context, sentence: string): void {
  held.set(context, [...(held.get(context) ?? []), sentence])
}

/** Gives the warnings that wait, and forgets them. */
export function takeWarnings(context: Context): readonly string[] {
  const warnings = held.get(context) ?? []
  held.delete(context)
  return warnings
}

/** Prints the warnings that wait, each as a JSON line on stderr: the command has succeeded. */
export function printWarnings(context: Context): void {
  for (const message of takeWarnings(context)) {
    ignoreFailure(() => context.stderr.write(`${visibleJson({ warning: { message } })}\n`))
  }
}

/** The change stands: a failure to say so must not read as "nothing changed", or a script makes it twice. */
function afterCommit(print: () => void): void {
  try {
    print()
  } catch (error) {
    const why = error instanceof VaultError ? error.message : 'the system refused'
    throw new VaultError('DURABILITY', 'the change was made, but its result could not be printed', { hints: [why] })
  }
}

function ignoreFailure(print: () => void): void {
  try {
    print()
  } catch {
    // The exit status tells the same.
  }
}

/**
 * Decides the colours of one stream: 0 for none, 1 to 3 as chalk counts them. `--no-color` and a non-empty NO_COLOR win
 * over FORCE_COLOR, which wins over TERM=dumb and over what the stream is.
 */
export function colorLevel(output: Output, env: Context['env'], isWanted: boolean): 0 | 1 | 2 | 3 {
  if (!isWanted || env.NO_COLOR) return 0
  const forced = env.FORCE_COLOR
  if (forced !== undefined && forced !== '') {
    if (forced === '0' || forced === 'false') return 0
    return forced === '2' ? 2 : forced === '3' ? 3 : 1
  }
  return output.isTerminal && env.TERM !== 'dumb' ? 1 : 0
}

function formatTabs({ rows }: Table): string {
  return rows.map((row) => `${row.map(plainText).join('\t')}\n`).join('')
}

function plainText(cell: Cell): string {
  return visible(typeof cell === 'string' ? cell : cell.plain)
}

/** Prints a number of things: `1 credential`, `2 credentials`. */
export function countOf(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`
}
