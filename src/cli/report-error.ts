/**
 * Prints what went wrong on stderr and gives the exit status.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { Context } from './context.js'
import { visible } from './visible.js'

/** Reports a failure: `mcpvault: error: …` and its hints, or one JSON object with `--json`; a stack with `--debug`. */
export function reportError(error: unknown, argv: readonly string[], context: Context): number {
  const known = error instanceof VaultError ? error : toInternal(error)
  const text = argv.includes('--json') ? formatJson(known) : formatLines(known)
  try {
    context.stderr.write(argv.includes('--debug') ? `${text}${formatStack(error)}` : text)
  } catch {
    // Nowhere is left to say it; the status still tells.
  }
  return known.exitCode
}

/** The message of an error that nobody expected may quote input, so it is left to `--debug`. */
function toInternal(error: unknown): VaultError {
  const name = error instanceof Error && /^[A-Za-z]{1,40}$/.test(error.name) ? error.name : 'unknown'
  return new VaultError('INTERNAL', `a bug in mcpvault: unexpected ${name}`, {
    hints: ['run the same command with --debug; what it prints may hold secrets'],
    cause: error,
  })
}

function formatLines(error: VaultError): string {
  const lines = [`error: ${error.message}`, ...error.hints.map((hint) => `hint: ${hint}`)]
  return lines.map((line) => `mcpvault: ${visible(line)}\n`).join('')
}

function formatJson({ code, message, hints }: VaultError): string {
  return `${JSON.stringify({ error: { code, message, hints } })}\n`
}

function formatStack(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const cause = error instanceof Error && error.cause !== undefined ? `caused by ${formatStack(error.cause)}` : ''
  return `${stack}\n${cause}`
}
