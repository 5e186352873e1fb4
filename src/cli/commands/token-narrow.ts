import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import type { ArgumentRule } from '../../tokens/argument-rules.js'
import { CALLS_NONCE_BYTES, formatBefore, type Method } from '../../tokens/caveats.js'
import { describeToken, narrowToken } from '../../tokens/token.js'
import type { Rate } from '../../tokens/rate.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { countOf, createPrinter } from '../printer.js'
import { NO_TOKEN_ARGUMENT, readToken, TOKEN_FILE_FLAG } from '../read-token.js'
import { ARG_FLAG, CALLS_FLAG, METHODS_FLAG, RATE_FLAG, TOOLS_FLAG, TTL_FLAG } from '../token-flags.js'

/** Options of `token narrow`. */
export interface TokenNarrowOptions extends GlobalOptions {
  readonly tools?: readonly string[]
  readonly methods?: readonly Method[]
  readonly ttlSeconds?: number
  readonly calls?: number
  readonly rules: readonly ArgumentRule[]
  readonly rate?: Rate
  readonly tokenFile?: string
}

const TOKEN_NARROW: CommandShape<TokenNarrowOptions> = {
  name: 'token narrow',
  flags: [TOOLS_FLAG, TTL_FLAG, CALLS_FLAG, ARG_FLAG, RATE_FLAG, METHODS_FLAG, TOKEN_FILE_FLAG],
  refuseExtra: NO_TOKEN_ARGUMENT,
  refuseFlags: { '--token': NO_TOKEN_ARGUMENT },
  examples: [
    [
      'hand a sub-agent less than you have, for ten minutes',
      'MCPVAULT_TOKEN=$TOKEN mcpvault token narrow --tools web_search --ttl 10m',
    ],
  ],
}

/** Registers `token narrow`. */
export function addTokenNarrowCommand(parent: Command, context: Context, run = runTokenNarrow): void {
  addCommand(parent, TOKEN_NARROW, (options) => run(options, context))
}

/** Makes a weaker token from a token, without vault, key or network, and prints it alone on stdout. */
export async function runTokenNarrow(options: TokenNarrowOptions, context: Context): Promise<void> {
  const token = await readToken(options, context)
  if (token === undefined) throw missingToken()
  const { tools, methods, ttlSeconds, rules, rate } = options
  const limit = options.calls
  const calls = limit === undefined ? undefined : { limit, nonce: context.randomBytes(CALLS_NONCE_BYTES) }
  if (ttlSeconds === 0) throw new VaultError('USAGE', 'cannot narrow the token to no time at all')
  const beforeEpochMs = ttlSeconds === undefined ? undefined : context.now() + ttlSeconds * 1000
  const narrowed = narrowToken(token, { tools, methods, beforeEpochMs, rules, calls, rate })
  const { id, scope } = describeToken(narrowed)
  const before = scope.beforeMs === undefined ? null : formatBefore(scope.beforeMs)
  if (!options.json) context.stdout.write(`${narrowed}\n`)
  createPrinter(context, options).done(
    `narrowed token ${id} to ${scope.tools.join(', ')} until ${before ?? 'its end'}${limit === undefined ? '' : `, at most ${countOf(limit, 'call')}`}; revoking ${id} ends both`,
    {
      token: narrowed,
      id,
      methods: scope.methods,
      tools: scope.tools,
      before,
    },
  )
}

/** Builds the error for a command that was given no token. */
export function missingToken(): VaultError {
  return new VaultError('USAGE', 'no token was given', {
    hints: ['set MCPVAULT_TOKEN, or give --token-file FILE ("-" for stdin)'],
  })
}
