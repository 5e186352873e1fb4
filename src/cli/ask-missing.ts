/**
 * Asks a person for what a command line lacks, on a terminal and without `--no-input`. Each question has a flag or an
 * argument; where nothing may be asked, the missing one is a usage error as ever.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import { checkNewName } from '../vault/name.js'
import { readAndParse } from '../vault/open.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { createAccess, findVault } from './open-vault.js'
import { canAsk } from './read-value.js'

/**
 * Gives the name that was given, or asks which of the vault's credentials is meant, completing what is typed.
 *
 * @throws {VaultError} USAGE where nothing may be asked or there is none; NOT_FOUND, CANCELLED
 */
export async function nameOrAsk(
  options: GlobalOptions & { readonly name?: string },
  context: Context,
  command: string,
): Promise<string> {
  if (options.name !== undefined) return options.name
  if (!canAsk(options, context)) throw missingName(command)
  const { store } = createAccess(findVault(options, context), options, { context, warn: () => {} })
  const names = readAndParse(store, { store, key: undefined, warn: () => {} }).vault.names()
  if (names.length === 0) throw missingName(command)
  return context.prompt.search('Which credential?', (typed) => matching(names, typed))
}

/** As {@link nameOrAsk}, for the name of a credential that is to be stored. @throws {VaultError} USAGE, INPUT, CANCELLED */
export async function newNameOrAsk(
  options: GlobalOptions & { readonly name?: string },
  context: Context,
  command: string,
): Promise<string> {
  if (options.name !== undefined) return options.name
  if (!canAsk(options, context)) throw missingName(command)
  const name = (await context.prompt.text('Name of the new credential:')).trim()
  checkNewName(name)
  return name
}

/** Those that begin with a text come first, then those that hold it. */
export function matching(names: readonly string[], typed: string): readonly string[] {
  const [text, low] = [typed.toLowerCase(), (name: string) => name.toLowerCase()]
  const first = names.filter((name) => low(name).startsWith(text))
  return [...first, ...names.filter((name) => low(name).includes(text) && !low(name).startsWith(text))]
}

function missingName(command: string): VaultError {
  return new VaultError('USAGE', 'cannot read the command line: the argument NAME is missing', {
    hints: [`mcpvault help ${command}`],
  })
}
