import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import type { ArgumentRule } from '../../tokens/argument-rules.js'
import { type Caveat, caveatToJson, formatBefore, intersectCaveats, type Method } from '../../tokens/caveats.js'
import { createToken, DEFAULT_TTL_SECONDS } from '../../tokens/change.js'
import type { Rate } from '../../tokens/rate.js'
import { ANY_TOOL } from '../../tokens/tool-name.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG } from '../gateway-config.js'
import { openForReading } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { canAsk } from '../read-value.js'
import { pinTools } from '../pin-tools.js'
import { tokenAccess } from '../token-access.js'
import { ARG_FLAG, CALLS_FLAG, METHODS_FLAG, RATE_FLAG, TOOLS_FLAG, TTL_FLAG } from '../token-flags.js'

/** Options of `token create`. */
export interface TokenCreateOptions extends GlobalOptions {
  readonly tools?: readonly string[]
  readonly methods?: readonly Method[]
  readonly ttlSeconds?: number
  readonly label?: string
  readonly calls?: number
  readonly rules: readonly ArgumentRule[]
  readonly rate?: Rate
  readonly pin: boolean
  /** With `pin`: where its servers are named. */
  readonly config?: string
}

const TOKEN_CREATE: CommandShape<TokenCreateOptions> = {
  name: 'token create',
  flags: [
    TOOLS_FLAG,
    { ...TTL_FLAG, help: 'how long it lives, at most 30d (1h)' },
    { key: 'label', long: '--label', value: 'NAME', help: 'a name to revoke it by' },
    CALLS_FLAG,
    ARG_FLAG,
    RATE_FLAG,
    METHODS_FLAG,
    { key: 'pin', long: '--pin', help: 'void the token for a tool whose definition changes from what it is now' },
    { ...CONFIG_FLAG, help: 'with --pin: the gateway configuration (mcpvault.json beside the vault)' },
  ],
  examples: [
    ['half an hour of one tool, in a script', 'TOKEN=$(mcpvault token create --tools web_search --ttl 30m)'],
    ['a token with a name to revoke it by', 'mcpvault token create --tools web_search,github/get_issue --label ci'],
    [
      'a hundred calls, with few results each',
      "mcpvault token create --tools web_search --calls 100 --arg 'web_search:num_results<=5'",
    ],
  ],
}

/** Registers `token create`. */
export function addTokenCreateCommand(parent: Command, context: Context, run = runTokenCreate): void {
  addCommand(parent, TOKEN_CREATE, (options) => run(options, context))
}

/** Makes a token and prints it alone on stdout. */
export async function runTokenCreate(options: TokenCreateOptions, context: Context): Promise<void> {
  const { methods, ttlSeconds, label, calls, rules, rate, config, pin } = options
  if (config !== undefined && !pin) {
    throw new VaultError('USAGE', 'cannot use --config: only --pin asks servers, and none is pinned')
  }
  if (options.tools === undefined && !canAsk(options, context)) {
    throw new VaultError('USAGE', 'cannot create a token without saying what it may call', {
      hints: ['mcpvault token create --tools web_search'],
    })
  }
  const opened = await openForReading(options, context, 'needed')
  const tools = options.tools ?? (await (await import('../ask-tools.js')).askTools(opened, context))
  const printer = createPrinter(context, options)
  const { token, record } = await createToken(tokenAccess(opened), {
    tools,
    methods,
    ttlSeconds: ttlSeconds ?? DEFAULT_TTL_SECONDS,
    label,
    calls,
    rules,
    rate,
    digests: pin ? await pinTools({ tools, config }, opened, context) : [],
  })
  if (!options.json) printer.result(`${token}\n`)
  if (tools.includes(ANY_TOOL)) printer.warn('this token may call every tool, also those that are added later')
  const scope = describeScope(record.caveats)
  printer.done(
    `created token ${record.id}${label === undefined ? '' : ` "${label}"`} for ${scope.tools.join(', ')} until ${scope.before}${calls === undefined ? '' : `, at most ${countOf(calls, 'call')}`}`,
    {
      token,
      id: record.id,
      label: label ?? null,
      ...scope,
      caveats: record.caveats.map(caveatToJson),
    },
  )
}

/** What caveats leave over, as `--json` shows it. */
export function describeScope(caveats: readonly Caveat[]): {
  methods: readonly string[]
  tools: readonly string[]
  before: string | null
} {
  const { methods, tools, beforeMs } = intersectCaveats(caveats)
  return { methods, tools, before: beforeMs === undefined ? null : formatBefore(beforeMs) }
}
