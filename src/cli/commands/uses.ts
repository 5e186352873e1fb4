import type { Command } from 'commander'
import { unknownName } from '../../vault/name.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { findUses, type Use } from '../uses.js'

/** Options of `uses`. */
export interface UsesOptions extends GlobalOptions {
  readonly name: string
}

const USES: CommandShape<UsesOptions> = {
  name: 'uses',
  positionals: [{ key: 'name', arity: 'one' }],
  examples: [
    ['who still holds the old key?', 'mcpvault uses scavio_api_key'],
    ['for a script: the processes that have to be started again', 'mcpvault uses scavio_api_key --json'],
  ],
}

/** Registers `uses`. */
export function addUsesCommand(parent: Command, context: Context, run = runUses): void {
  addCommand(parent, USES, (options) => run(options, context))
}

/** Lists who holds a credential, in which version, and who reaches it. */
export async function runUses(options: UsesOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const credential = vault.describe(options.name)
  if (credential === undefined) throw unknownName(options.name, vault.names())
  const uses = await findUses({ credential, vault, access, context })
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json(uses.map(toJson))
    return
  }
  await printer.table({
    headers: ['use', 'where', 'what'],
    rows: uses.map(({ kind, where, what, isStale }) => [kind, where, isStale ? { plain: what, tone: 'warn' } : what]),
    empty: `nothing that holds or reaches "${options.name}" was found`,
  })
}

function toJson({ kind, where, what, version, isStale }: Use): Record<string, unknown> {
  return { kind, where, what, version: version ?? null, stale: isStale }
}
