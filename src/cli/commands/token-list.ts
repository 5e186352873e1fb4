import type { Command } from 'commander'
import { formatSpan } from '../../duration.js'
import { formatUtc } from '../../timestamp.js'
import { createdCallsLeft } from '../../tokens/budget.js'
import { intersectCaveats } from '../../tokens/caveats.js'
import type { TokenRecord } from '../../tokens/record-line.js'
import { TokenRecords } from '../../tokens/records.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { describeScope } from './token-create.js'

/** Options of `token list`. */
export interface TokenListOptions extends GlobalOptions {
  readonly all: boolean
}

const TOKEN_LIST: CommandShape<TokenListOptions> = {
  name: 'token list',
  flags: [{ key: 'all', long: '--all', help: 'also those that are expired or revoked' }],
  examples: [['which tokens are alive?', 'mcpvault token list']],
}

/** Registers `token list`. */
export function addTokenListCommand(parent: Command, context: Context, run = runTokenList): void {
  addCommand(parent, TOKEN_LIST, (options) => run(options, context))
}

/** Lists the tokens that were created here; never a token itself, which is kept nowhere. */
export async function runTokenList(options: TokenListOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'needed')
  const records = TokenRecords.open(access.store, vault)
  const nowMs = context.now()
  const listed = (options.all ? records.all() : records.live(nowMs)).map((record) => {
    return { record, left: createdCallsLeft(record, records.tokensKey) }
  })
  // The last column, and only where it says something: scripts count the columns before it.
  const hasBudgets = listed.some(({ left }) => left !== undefined)
  const printer = createPrinter(context, options)
  if (options.json) printer.json(listed.map(({ record, left }) => toJson(record, left, nowMs)))
  else {
    await printer.table({
      headers: ['id', 'label', 'tools', 'methods', 'expires', 'state', ...(hasBudgets ? ['calls left'] : [])],
      rows: listed.map(({ record, left }) => {
        const { tools, methods, before } = describeScope(record.caveats)
        const state = stateOf(record, nowMs)
        const seconds = ((intersectCaveats(record.caveats).beforeMs ?? nowMs) - nowMs) / 1000
        const shown = seconds > 0 ? `in ${formatSpan(seconds)}` : `${formatSpan(-seconds)} ago`
        return [
          record.id,
          record.label ?? '-',
          tools.join(','),
          methods.join(','),
          { plain: before ?? '-', shown },
          { plain: state, tone: state === 'live' ? 'good' : 'faint' },
          ...(hasBudgets ? [left === undefined ? '-' : `${left}`] : []),
        ]
      }),
      empty: options.all ? 'no token was created yet: mcpvault token create --tools NAMES' : 'no token is alive',
    })
  }
}

function stateOf(record: TokenRecord, nowMs: number): 'live' | 'expired' | 'revoked' {
  if (record.revokedMs !== undefined) return 'revoked'
  return nowMs < (intersectCaveats(record.caveats).beforeMs ?? 0) ? 'live' : 'expired'
}

function toJson(record: TokenRecord, left: number | undefined, nowMs: number): Record<string, unknown> {
  return {
    id: record.id,
    label: record.label ?? null,
    ...describeScope(record.caveats),
    created: formatUtc(record.createdMs),
    revoked: record.revokedMs === undefined ? null : formatUtc(record.revokedMs),
    state: stateOf(record, nowMs),
    calls_left: left ?? null,
  }
}
