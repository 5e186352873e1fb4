/** What adopting needs of the machine: where mcpvault is, whether it opens the vault without a shell, what git knows. */

import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { adoptedPath } from '../clients/adopted-entries.js'
import type { AdoptionAccess } from '../clients/adopt.js'
import type { Launcher } from '../clients/rewrite.js'
import { VaultError } from '../errors.js'
import { openVault } from '../vault/open.js'
import type { VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import { absolutePath } from './directories.js'
import type { GlobalOptions } from './flags.js'
import { accessVault } from './open-vault.js'

const GIT_TIMEOUT_MS = 10_000

/**
 * Says how a client starts mcpvault: by its name where the search path has it, as the clients find `npx`, else by the
 * paths of Node and the script.
 */
export function findLauncher(vault: string, options: GlobalOptions, context: Context): Launcher {
  const isInstalled = (context.env.PATH ?? '')
    .split(delimiter)
    .some((directory) => isProgram(join(directory, 'mcpvault')))
  const [node, script] = context.host.launcher
  const flags = ['--vault', vault]
  if (options.keyFile !== undefined) flags.push('--key-file', absolutePath(options.keyFile, context))
  if (options.envFile !== undefined) flags.push('--env-file', absolutePath(options.envFile, context))
  return isInstalled ? { command: 'mcpvault', args: [], flags } : { command: node, args: [script], flags }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Opens the vault as a client would that was started from the desktop: with HOME, PATH and the flags that its entries will
 * have, and nobody to ask.
 *
 * @throws {VaultError} NO_KEY, WRONG_KEY or whatever it is that such a client would run into.
 */
export async function openWithoutShell(vault: string, options: GlobalOptions, context: Context): Promise<void> {
  // Behind the parts that differ stands the context itself: some of its members ask the system when they are looked at.
  const bare: Context = Object.assign(Object.create(context) as Context, {
    env: { HOME: context.env.HOME ?? context.home, PATH: context.env.PATH },
    stdin: { isTerminal: false, readAll: async () => Buffer.alloc(0) },
    stderr: { isTerminal: false, columns: 80, write() {} },
  })
  const { keyFile, envFile } = options
  const given: GlobalOptions = {
    vault,
    ...(keyFile === undefined ? {} : { keyFile }),
    ...(envFile === undefined ? {} : { envFile }),
    acceptRestore: options.acceptRestore,
    trustNewKey: false,
    json: false,
    quiet: true,
    input: false,
    color: false,
    debug: false,
  }
  try {
    openVault(await accessVault(given, bare, 'needed'))
  } catch (error) {
    if (!(error instanceof VaultError) || !['NO_KEY', 'WRONG_KEY'].includes(error.code)) throw error
    throw new VaultError(
      error.code,
      `cannot adopt: a client that no shell has started could not open the vault: ${error.message}`,
      {
        cause: error,
        hints: keyHints(context),
      },
    )
  }
}

/** Which source would work: a file is there for every program of the user, a variable only for the shell's. */
function keyHints({ env }: Context): readonly string[] {
  const fromVariable = env.MCP_ENCRYPTION_KEY
    ? [
        'it has HOME and PATH alone, and the key is in MCP_ENCRYPTION_KEY here; keep it in the default key file, too: ' +
          '(umask 077; mkdir -p ~/.config/mcpvault; printf \'%s\\n\' "$MCP_ENCRYPTION_KEY" > ~/.config/mcpvault/key)',
      ]
    : ['it has HOME and PATH alone; the default key file ~/.config/mcpvault/key would work']
  return [...fromVariable, 'or give --key-file FILE: the entries will name it']
}

/** Puts together what writing configs needs. */
export function adoptionAccess(access: VaultAccess, context: Context): Omit<AdoptionAccess, 'versionOf'> {
  return {
    host: context.host,
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
    adopted: adoptedPath(access.store.locate('vault')),
    exclusively: (step) => access.store.transaction('adopt', step),
  }
}

/** Tells whether git has a file in its index, and so perhaps in its history. */
export function isTracked(path: string, context: Context): boolean {
  const directory = dirname(path)
  if (!isInWorkTree(directory)) return false
  try {
    const command = ['git', '-C', directory, 'ls-files', '--', path]
    const { exitCode, stdout } = context.runProgram(command, { timeoutMs: GIT_TIMEOUT_MS, maxBytes: 65_536 })
    return exitCode !== 0 || stdout.length > 0
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    // Who cannot ask must assume it.
    return true
  }
}

function isInWorkTree(directory: string): boolean {
  for (let at = directory; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true
    if (at === dirname(at)) return false
  }
}
