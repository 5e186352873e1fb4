import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { revokeTokens, type TokenSelection } from '../../tokens/change.js'
import { TOKEN_PREFIX } from '../../tokens/token.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { NO_TOKEN_ARGUMENT } from '../read-token.js'
import { tokenAccess } from '../token-access.js'

/** Options of `token revoke`. */
export interface TokenRevokeOptions extends GlobalOptions {
  /** Ids or labels; `-` for the token itself on stdin. */
  readonly tokens: readonly string[]
  readonly all: boolean
}

const MAX_TOKEN_BYTES = 64 * 1024

const TOKEN_REVOKE: CommandShape<TokenRevokeOptions> = {
  name: 'token revoke',
  positionals: [{ key: 'tokens', arity: 'many', help: 'ids or labels; "-" reads the token itself from stdin' }],
  flags: [{ key: 'all', long: '--all', help: 'every token' }],
  refuseFlags: { '--token': NO_TOKEN_ARGUMENT },
  examples: [
    ['by its label', 'mcpvault token revoke ci'],
    ['by the token itself, with everything narrowed from it', 'mcpvault token revoke - < found-token.txt'],
    ['every token, after an incident', 'mcpvault token revoke --all'],
  ],
}

/** Registers `token revoke`. */
export function addTokenRevokeCommand(parent: Command, context: Context, run = runTokenRevoke): void {
  addCommand(parent, TOKEN_REVOKE, (options) => run(options, context))
}

/** Revokes tokens; requests that arrive after it has returned are refused. */
export async function runTokenRevoke(options: TokenRevokeOptions, context: Context): Promise<void> {
  const selection = await readSelection(options, context)
  const opened = await openForReading(options, context, 'needed')
  const revoked = await revokeTokens(tokenAccess(opened), selection)
  const ids = revoked.map(({ id }) => id)
  const sentence =
    ids.length === 0 ? 'nothing to revoke: already done' : `revoked ${ids.join(', ')} and everything narrowed from it`
  createPrinter(context, options).done(sentence, { revoked: ids })
}

async function readSelection({ tokens, all }: TokenRevokeOptions, context: Context): Promise<TokenSelection> {
  if (all === tokens.length > 0) {
    throw new VaultError('USAGE', 'cannot revoke: name tokens by id or label, or give "-" or --all', {
      hints: ['mcpvault token list'],
    })
  }
  if (all) return { all: true }
  if (tokens.some((name) => name.includes(TOKEN_PREFIX))) {
    throw new VaultError('USAGE', NO_TOKEN_ARGUMENT, { hints: ['give its id or label, or "-" and the token on stdin'] })
  }
  if (!tokens.includes('-')) return { names: tokens }
  const text = (await context.stdin.readAll(MAX_TOKEN_BYTES)).toString('utf8').trim()
  if (!text.startsWith(TOKEN_PREFIX)) throw new VaultError('INPUT', 'cannot revoke: there is no token on stdin')
  return { names: tokens.map((name) => (name === '-' ? text : name)) }
}
