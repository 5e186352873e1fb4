import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { SEARCH_DIGEST, SEARCH_TOOL } from '../../search/definition.js'
import { parseArguments } from '../../tokens/parse-arguments.js'
import { TokenRecords } from '../../tokens/records.js'
import type { Arguments } from '../../tokens/argument-rules.js'
import { type Verdict, verifyToken } from '../../tokens/verify.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { TOKEN_CHECK, type TokenCheckOptions } from '../hot-commands.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { readText, readToken } from '../read-token.js'
import { visible } from '../visible.js'

const MAX_ARGUMENTS_BYTES = 1024 * 1024

/** Registers `token check`. */
export function addTokenCheckCommand(parent: Command, context: Context, run = runTokenCheck): void {
  addCommand(parent, TOKEN_CHECK, (options) => run(options, context))
}

/** Says whether a token may call a tool. Gives 0 for yes and 1 for no; spends nothing. */
export async function runTokenCheck(options: TokenCheckOptions, context: Context): Promise<number> {
  const { tool } = options
  if (tool === undefined) {
    throw new VaultError('USAGE', 'cannot check a token without the tool that is to be called', {
      hints: ['mcpvault token check --tool web_search'],
    })
  }
  const token = await readToken(options, context)
  const args = await readArguments(options, context)
  const { vault, access } = await openForReading(options, context, 'needed')
  const records = TokenRecords.open(access.store, vault)
  const request = { method: 'tools', tool, args, digest: tool === SEARCH_TOOL ? SEARCH_DIGEST : undefined } as const
  const verdict = verifyToken(token, request, { records, nowMs: context.now() })
  await printVerdict(verdict, { ...options, tool }, context)
  return verdict.allowed ? 0 : 1
}

async function printVerdict(
  verdict: Verdict,
  options: TokenCheckOptions & { readonly tool: string },
  context: Context,
): Promise<void> {
  const { json, quiet, explain, tool } = options
  // Loaded for whoever asks: `token check` is waited for.
  const explanation = explain ? (await import('../../tokens/explain.js')).explainVerdict(verdict) : undefined
  const printer = createPrinter(context, options)
  if (json) {
    const answer = { allowed: verdict.allowed, id: verdict.allowed ? verdict.id : null, tool }
    printer.json(explanation === undefined ? answer : { ...answer, ...explanation.members })
  } else if (!quiet) {
    context.stderr.write(verdict.allowed ? `token ${verdict.id} may call ${tool}\n` : 'Unauthorized or expired token\n')
    if (explanation !== undefined && !verdict.allowed) context.stderr.write(`${visible(explanation.sentence)}\n`)
  }
}

/** Reads the arguments of the call. @throws {VaultError} INPUT if they are no JSON object, USAGE, NOT_FOUND */
async function readArguments(options: TokenCheckOptions, context: Context): Promise<Arguments | undefined> {
  const { args: file, tokenFile } = options
  if (file === undefined) return undefined
  if (file === '-' && tokenFile === '-') {
    throw new VaultError('USAGE', 'cannot read both the token and the arguments from stdin', {
      hints: ['put the token into MCPVAULT_TOKEN'],
    })
  }
  const text = await readText(file, context, { what: 'file of arguments', maxBytes: MAX_ARGUMENTS_BYTES })
  return parseArguments(text)
}
