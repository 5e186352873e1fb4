import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { TokenRecords } from '../../tokens/records.js'
import { verifyToken } from '../../tokens/verify.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { TOKEN_CHECK, type TokenCheckOptions } from '../hot-commands.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { readToken } from '../read-token.js'

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
  const { vault, access } = await openForReading(options, context, 'needed')
  const records = TokenRecords.open(access.store, vault)
  const verdict = verifyToken(token, { method: 'tools', tool }, { records, nowMs: context.now() })
  if (options.json) {
    createPrinter(context, options).json({ allowed: verdict.allowed, id: verdict.allowed ? verdict.id : null, tool })
  } else if (!options.quiet) {
    context.stderr.write(verdict.allowed ? `token ${verdict.id} may call ${tool}\n` : 'Unauthorized or expired token\n')
  }
  return verdict.allowed ? 0 : 1
}
