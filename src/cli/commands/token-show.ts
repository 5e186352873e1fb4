import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { caveatToJson, formatBefore } from '../../tokens/caveats.js'
import { TokenRecords } from '../../tokens/records.js'
import { formatRule } from '../../tokens/argument-rules.js'
import { formatRate } from '../../tokens/rate.js'
import { callsLeft } from '../../tokens/budget.js'
import { describeToken } from '../../tokens/token.js'
import { verifyGenuine } from '../../tokens/verify.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { NO_TOKEN_ARGUMENT, readToken, TOKEN_FILE_FLAG } from '../read-token.js'
import { missingToken } from './token-narrow.js'

/** Options of `token show`. */
export interface TokenShowOptions extends GlobalOptions {
  readonly tokenFile?: string
}

const TOKEN_SHOW: CommandShape<TokenShowOptions> = {
  name: 'token show',
  flags: [TOKEN_FILE_FLAG],
  refuseExtra: NO_TOKEN_ARGUMENT,
  refuseFlags: { '--token': NO_TOKEN_ARGUMENT },
  examples: [['what may this token do, and until when?', 'MCPVAULT_TOKEN=$TOKEN mcpvault token show']],
}

/** Registers `token show`. */
export function addTokenShowCommand(parent: Command, context: Context, run = runTokenShow): void {
  addCommand(parent, TOKEN_SHOW, (options) => run(options, context))
}

/** Decodes a token; says whether it is genuine when a key is there. */
export async function runTokenShow(options: TokenShowOptions, context: Context): Promise<void> {
  const token = await readToken(options, context)
  if (token === undefined) throw missingToken()
  const { id, caveats, scope, hasUnknown } = describeToken(token)
  const { state, left } = await judge(token, options, context)
  const before = scope.beforeMs === undefined ? null : formatBefore(scope.beforeMs)
  const isExpired = scope.beforeMs !== undefined && context.now() >= scope.beforeMs
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json({
      id,
      methods: scope.methods,
      tools: scope.tools,
      before,
      expired: isExpired,
      caveats: caveats.map((caveat) => (caveat === undefined ? null : caveatToJson(caveat))),
      unknown_caveats: hasUnknown,
      state,
      verified: state !== 'not verified',
      ...(left === undefined ? {} : { calls_left: left }),
    })
    return
  }
  await printer.table({
    headers: ['field', 'value'],
    rows: [
      ['id', id],
      ['methods', scope.methods.join(',')],
      ['tools', scope.tools.join(',')],
      ['before', before ?? '-'],
      ...scope.rules.map((rule): [string, string] => ['argument', formatRule(rule)]),
      ...(scope.mostCalls === undefined ? [] : [['calls', describeCalls(scope.mostCalls, left)] as const]),
      ...scope.rates.map((rate): [string, string] => ['rate', formatRate(rate)]),
      ...scope.digests.map(([tool, digest]): [string, string] => ['pinned', `${tool} ${digest}`]),
      ['state', isExpired && state !== 'revoked' ? `${state}, expired` : state],
      ...(hasUnknown
        ? [['warning', 'a caveat is unknown to this version, so the token is always refused'] as const]
        : []),
    ],
    empty: '',
  })
}

type TokenState = 'genuine' | 'revoked' | 'not genuine' | 'not verified'

/** Whether the token is one of this vault's; "not verified" where there is no vault or no key to ask. */
async function judge(
  token: string,
  options: TokenShowOptions,
  context: Context,
): Promise<{ readonly state: TokenState; readonly left?: number | undefined }> {
  try {
    const { vault, access } = await openForReading(options, context, 'if-there')
    if (access.key === undefined) return { state: 'not verified' }
    const records = TokenRecords.open(access.store, vault)
    return { state: verifyGenuine(token, records), left: callsLeft(token, records) }
  } catch (error) {
    const isMissing = error instanceof VaultError && error.code === 'NOT_FOUND' && options.vault === undefined
    if (isMissing) return { state: 'not verified' }
    throw error
  }
}

/** How many calls are left is in the vault's records. */
function describeCalls(most: number, left: number | undefined): string {
  return left === undefined ? `at most ${most}` : `${left} left of at most ${most}`
}
