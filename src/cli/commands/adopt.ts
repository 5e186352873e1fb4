import type { Command } from 'commander'
import { CLIENTS, type ClientName } from '../../clients/locations.js'
import { VaultError } from '../../errors.js'
import { runAdoption } from '../adoption.js'
import { undoAdoption } from '../adoption-undo.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, oneOf } from '../flags.js'

/** Options of `adopt`. */
export interface AdoptOptions extends GlobalOptions {
  readonly files: readonly string[]
  readonly client?: ClientName
  readonly gateway: boolean
  readonly dryRun: boolean
  readonly undo: boolean
  readonly yes: boolean
  readonly only: readonly string[]
  readonly skip: readonly string[]
}

const ADOPT: CommandShape<AdoptOptions> = {
  name: 'adopt',
  positionals: [{ key: 'files', arity: 'many', help: 'configs; those of all clients that are found, without' }],
  flags: [
    {
      key: 'client',
      long: '--client',
      value: 'NAME',
      help: `only that client's configs: ${CLIENTS.join(', ')}`,
      parse: oneOf(...CLIENTS),
    },
    {
      key: 'gateway',
      long: '--gateway',
      help: 'move the servers to mcpvault.json; their clients connect to the gateway',
    },
    { key: 'dryRun', long: '--dry-run', help: 'print what would change, without values' },
    { key: 'undo', long: '--undo', help: 'put the adopted entries back, with their values' },
    { key: 'yes', long: '--yes', help: 'do not ask' },
    {
      key: 'only',
      long: '--only',
      value: 'NAME',
      help: 'only secrets of that credential, server, variable or header',
      isList: true,
    },
    { key: 'skip', long: '--skip', value: 'NAME', help: 'no secrets of that name', isList: true },
  ],
  examples: [
    ['see which keys lie in plain text', 'mcpvault adopt --dry-run'],
    ['move them all into the vault', 'mcpvault adopt --yes'],
    ["one project's servers for Claude Code", 'mcpvault adopt .mcp.json'],
    ['put the gateway in front of them', 'mcpvault adopt --gateway && mcpvault config allow'],
    ['go back', 'mcpvault adopt --undo'],
  ],
}

/** Registers `adopt`. */
export function addAdoptCommand(parent: Command, context: Context, run = runAdopt): void {
  addCommand(parent, ADOPT, (options) => run(options, context))
}

/** Moves plain-text secrets of client configs into the vault, or puts them back. */
export async function runAdopt(options: AdoptOptions, context: Context): Promise<void> {
  if (!options.undo) return runAdoption(options, context)
  if (options.dryRun) throw new VaultError('USAGE', 'cannot use --dry-run with --undo')
  if (options.gateway) {
    throw new VaultError('USAGE', 'cannot use --gateway with --undo: it takes servers out of the gateway by itself')
  }
  return undoAdoption(options, context)
}
