/**
 * Prints what went wrong on stderr and gives the exit status.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { Context } from './context.js'
import { colorLevel, takeWarnings } from './printer.js'
import { visible, visibleJson } from './visible.js'

/** The exit status of a bug. */
const INTERNAL_STATUS = 70

/** Reports a failure. Never throws: the status still tells when nowhere is left to say it. */
export async function reportFailure(error: unknown, argv: readonly string[], context: Context): Promise<number> {
  try {
    return await reportError(error, argv, context)
  } catch {
    return error instanceof VaultError ? error.exitCode : INTERNAL_STATUS
  }
}

/** Reports a failure: `mcpvault: error: …` and its hints, or one JSON object with `--json`; a stack with `--debug`. */
async function reportError(error: unknown, argv: readonly string[], context: Context): Promise<number> {
  const known = error instanceof VaultError ? error : toInternal(error)
  const stack = hasFlag(argv, '--debug') ? formatStack(error) : ''
  const text = hasFlag(argv, '--json')
    ? formatJson(known, stack, takeWarnings(context))
    : `${await formatLines(known, argv, context)}${stack}`
  context.stderr.write(text)
  return known.exitCode
}

/** Behind `--` stand words, whatever they look like. */
export function hasFlag(argv: readonly string[], flag: string): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes(flag)
}

/** The message of an error that nobody expected may quote input, so it is left to `--debug`. */
function toInternal(error: unknown): VaultError {
  const name = error instanceof Error && /^[A-Za-z]{1,40}$/.test(error.name) ? error.name : 'unknown'
  return new VaultError('INTERNAL', `a bug in mcpvault: unexpected ${name}`, {
    hints: ['run the same command with --debug; what it prints may hold secrets'],
    cause: error,
  })
}

async function formatLines(error: VaultError, argv: readonly string[], context: Context): Promise<string> {
  const level = colorLevel(context.stderr, context.env, !hasFlag(argv, '--no-color'))
  const prefix = level === 0 ? 'error:' : (await import('./output.js')).paint('error:', 'bad', level)
  const hints = error.hints.map((hint) => `mcpvault: hint: ${visible(hint)}\n`)
  return `mcpvault: ${prefix} ${visible(error.message)}\n${hints.join('')}`
}

function formatJson({ code, message, hints }: VaultError, stack: string, warnings: readonly string[]): string {
  return `${visibleJson({ error: { code, message, hints, ...(warnings.length === 0 ? {} : { warnings }), ...(stack === '' ? {} : { stack }) } })}\n`
}

function formatStack(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const cause = error instanceof Error && error.cause !== undefined ? `caused by ${formatStack(error.cause)}` : ''
  return `${stack}\n${cause}`
}
