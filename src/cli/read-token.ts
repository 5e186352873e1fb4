import { VaultError } from '../errors.js'
import { readFileChecked, type ReadOptions, readPipeChecked } from '../storage/read-file.js'
import type { Context } from './context.js'
import { absolutePath } from './directories.js'
import type { Flag, GlobalOptions } from './flags.js'
import { createWarner } from './open-vault.js'

/** The flag of every command that takes a token. */
export const TOKEN_FILE_FLAG: Flag = {
  key: 'tokenFile',
  long: '--token-file',
  value: 'FILE',
  help: 'read the token from a file, "-" for stdin (else MCPVAULT_TOKEN)',
}

/** Why no command takes a token as an argument. */
export const NO_TOKEN_ARGUMENT = 'cannot take a token from an argument: other users can read the command line'

type TokenOptions = GlobalOptions & { readonly tokenFile?: string }

const MAX_TOKEN_FILE_BYTES = 64 * 1024

/**
 * Reads the token that a command is given; undefined when there is none. White space around it is dropped.
 *
 * @throws {VaultError} NOT_FOUND if the file is not there, INPUT if it cannot be read as text
 */
export async function readToken(options: TokenOptions, context: Context): Promise<string | undefined> {
  const { tokenFile: file } = options
  if (file === undefined) return context.env.MCPVAULT_TOKEN?.trim() || undefined
  const warn = createWarner(context, options)
  const text = await readText(file, context, { what: 'token file', maxBytes: MAX_TOKEN_FILE_BYTES, warn })
  return text.trim() || undefined
}

/** Reads a file or pipe that an option names, or stdin for `-`. @throws {VaultError} NOT_FOUND, INPUT, UNSAFE, IO */
export async function readText(
  file: string,
  context: Context,
  options: Pick<ReadOptions, 'what' | 'warn'> & { readonly maxBytes: number },
): Promise<string> {
  if (file === '-') return (await context.stdin.readAll(options.maxBytes)).toString('utf8')
  const path = absolutePath(file, context)
  const reading = { ...options, host: context.host }
  const bytes = readPipeChecked(path, reading) ?? readFileChecked(path, reading)?.bytes
  if (bytes === undefined) throw new VaultError('NOT_FOUND', `there is no ${options.what} "${path}"`)
  return bytes.toString('utf8')
}
