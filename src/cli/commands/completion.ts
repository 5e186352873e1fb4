import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { TokenRecords } from '../../tokens/records.js'
import { isNewName } from '../../vault/name.js'
import { readAndParse } from '../../vault/open.js'
import { addCommand } from '../command.js'
import type { Context, Output } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { createAccess, findVault, openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { visible } from '../visible.js'
import { describeScope } from './token-create.js'

/** Options of `completion`. */
export interface CompletionOptions extends GlobalOptions {
  readonly shell: string
}

const COMPLETION: CommandShape<CompletionOptions> = {
  name: 'completion',
  positionals: [{ key: 'shell', arity: 'one', help: 'bash, zsh or fish' }],
  examples: [
    ['in ~/.bashrc', 'eval "$(mcpvault completion bash)"'],
    ['in ~/.zshrc, after compinit', 'eval "$(mcpvault completion zsh)"'],
    ['for fish', 'mcpvault completion fish > ~/.config/fish/completions/mcpvault.fish'],
  ],
}

/** Registers `completion`. */
export function addCompletionCommand(parent: Command, context: Context, run = runCompletion): void {
  addCommand(parent, COMPLETION, (options) => run(options, context))
}

/** Prints a completion script, or for the scripts themselves the names or tokens that can be completed. */
export async function runCompletion(options: CompletionOptions, context: Context): Promise<void> {
  const { shell } = options
  if (shell === 'names' || shell === 'tokens') {
    await printQuietly(shell === 'names' ? listNames : listTokens, options, context)
    return
  }
  const { collectTree, isShell } = await import('../completion-tree.js')
  if (!isShell(shell)) {
    throw new VaultError('USAGE', 'cannot print a completion script for that shell', {
      hints: ['mcpvault completion bash', 'mcpvault completion zsh', 'mcpvault completion fish'],
    })
  }
  const { formatScript } = await import('../completion-script.js')
  const script = formatScript(shell, await collectTree(context))
  if (options.json) createPrinter(context, options).json({ shell, script })
  else context.stdout.write(script)
}

type Lister = (options: CompletionOptions, context: Context) => Promise<readonly string[]> | readonly string[]

/** Whatever is wrong, a person who presses Tab is not to be told it in the middle of a command line. */
async function printQuietly(list: Lister, options: CompletionOptions, context: Context): Promise<void> {
  try {
    const lines = await list(options, context)
    context.stdout.write(lines.map((line) => `${line}\n`).join(''))
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
  }
}

/** The names, without a key. A name that a shell would take apart or run is left out: nothing vouches for it here. */
function listNames(options: CompletionOptions, context: Context): readonly string[] {
  const { store } = createAccess(findVault(options, context), options, { context, warn: () => {} })
  const { vault } = readAndParse(store, { store, key: undefined, warn: () => {} })
  return vault.names().filter(isNewName)
}

/** The live tokens by label, else id, where a key is at hand without asking. */
async function listTokens(options: CompletionOptions, context: Context): Promise<readonly string[]> {
  const silent: Output = { write: () => {}, isTerminal: false, columns: 80 }
  const { vault, access } = await openForReading(options, { ...context, stderr: silent }, 'if-there')
  if (access.key === undefined) return []
  const records = TokenRecords.open(access.store, vault)
  try {
    return records.live(context.now()).map(({ id, label, caveats }) => {
      const { tools } = describeScope(caveats)
      return `${label ?? id}\t${visible(tools.join(', '))}`
    })
  } finally {
    records.close()
  }
}
