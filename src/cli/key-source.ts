/**
 * Where the key comes from: the first source that is there. A key that is there and malformed is an error, never skipped.
 *
 * @module
 */

import { join } from 'node:path'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { type ReadOptions, readFileChecked, readPipeChecked } from '../storage/read-file.js'
import { type AgeKey, parseAgeIdentities, parseRawKey, type RawKey, type VaultKey } from '../vault/key.js'
import type { Context } from './context.js'
import { absolutePath, mcpvaultDirectory } from './directories.js'
import type { GlobalOptions } from './flags.js'
import { canAsk } from './read-value.js'

/** A key that is written down somewhere: all but a passphrase. */
export type GivenKey = RawKey | AgeKey

/** A key, and where it was found in words for a message. */
export interface FoundKey<Key = VaultKey> {
  readonly key: Key
  readonly source: string
  /** The file that it lies in, where it lies in one. */
  readonly path?: string
  /** Nobody named the source: it is the default key file, which may belong to another vault. */
  readonly isImplicit?: boolean
}

/** What the caller allows. */
export interface KeyRequest {
  /** For commands that need no key: nothing is asked and no program is run. */
  readonly isPassive: boolean
  readonly warn: (sentence: string) => void
}

type KeyOptions = Pick<GlobalOptions, 'keyFile' | 'keyFd' | 'envFile' | 'input'>

const MAX_KEY_FILE_BYTES = 4096
const MAX_ENV_FILE_BYTES = 1024 * 1024
const COMMAND_TIMEOUT_MS = 30_000

/**
 * Asks for the passphrase of a vault; undefined when there is no terminal to ask on.
 *
 * @throws {VaultError} CANCELLED
 */
export async function askPassphrase(options: KeyOptions, context: Context): Promise<FoundKey | undefined> {
  if (!canAsk(options, context)) return undefined
  const text = Secret.fromText(await context.prompt.hidden('passphrase of the vault:'))
  return { key: { type: 'passphrase', text }, source: 'the passphrase' }
}

/**
 * Finds a raw key or age identities, which are told apart by content, in the order of `help environment`; undefined when no source has one.
 *
 * @throws {VaultError} NO_KEY if a source is there and gives no well-formed key, UNSAFE if a key file is writable by
 * others.
 */
export function findGivenKey(
  { keyFile, keyFd, envFile }: KeyOptions,
  context: Context,
  request: KeyRequest,
): FoundKey<GivenKey> | undefined {
  const { env, host } = context
  const inFile = (path: string, name: string) =>
    fromFile(absolutePath(path, context), name, { host, warn: request.warn })
  const required = (path: string, name: string): FoundKey<GivenKey> => {
    const key = inFile(path, name)
    if (!key) throw noKey(name, 'there is no such file')
    return key
  }
  if (keyFile !== undefined) return required(keyFile, `the key file "${keyFile}"`)
  if (keyFd !== undefined) {
    return parse(readKeyDescriptor(keyFd, context), `descriptor ${keyFd}`)
  }
  if (envFile !== undefined) return fromEnvFile(envFile, absolutePath(envFile, context), { host, warn: request.warn })
  if (env.MCP_ENCRYPTION_KEY) return parse(env.MCP_ENCRYPTION_KEY, 'MCP_ENCRYPTION_KEY')
  const named = env.MCP_ENCRYPTION_KEY_FILE
  if (named) return required(named, 'the file of MCP_ENCRYPTION_KEY_FILE')
  const command = env.MCP_ENCRYPTION_KEY_COMMAND
  // A later source would be another key than the one that commands with a key use.
  if (command) return request.isPassive ? undefined : fromCommand(command, context)
  const systemd = env.CREDENTIALS_DIRECTORY
  const name = 'the systemd credential "mcp_encryption_key"'
  const credential = systemd ? inFile(join(systemd, 'mcp_encryption_key'), name) : undefined
  const path = defaultKeyFile(context)
  if (credential !== undefined) return credential
  const found = inFile(path, `the key file "${path}"`)
  return found && { ...found, isImplicit: true }
}

/**
 * Asks the keychain for the keys that a vault names by their ids. One that does not answer is told of as a value: the key
 * may still lie elsewhere.
 */
export function findInKeychain(
  kids: readonly string[],
  { keychain }: Pick<Context, 'keychain'>,
): { readonly found?: FoundKey<GivenKey>; readonly failure?: VaultError } {
  try {
    for (const kid of kids) {
      const text = keychain.read(kid)
      if (text !== undefined) return { found: parse(text, `the keychain (mcpvault, ${kid})`) }
    }
    return {}
  } catch (error) {
    if (error instanceof VaultError) return { failure: error }
    throw error
  }
}

/** Reads a key out of a file that was named for it; undefined when there is no such file. @throws {VaultError} NO_KEY, UNSAFE */
export function readKeyFile(
  path: string,
  context: Context,
  warn: (sentence: string) => void,
): FoundKey<GivenKey> | undefined {
  return fromFile(absolutePath(path, context), `the key file "${path}"`, { host: context.host, warn })
}

function readKeyDescriptor(fd: number, context: Context): Buffer {
  try {
    return context.readDescriptor(fd, MAX_KEY_FILE_BYTES)
  } catch (error) {
    throw error instanceof VaultError ? noKey(`descriptor ${fd}`, error.message) : error
  }
}

/** The key file that is used when nothing else is named. */
export function defaultKeyFile(context: Pick<Context, 'env' | 'home'>): string {
  return join(mcpvaultDirectory('XDG_CONFIG_HOME', context), 'key')
}

type Checks = Pick<ReadOptions, 'host' | 'warn'>

function fromFile(path: string, name: string, checks: Checks): FoundKey<GivenKey> | undefined {
  const reading = { what: 'key file', maxBytes: MAX_KEY_FILE_BYTES, ...checks }
  const piped = readPipeChecked(path, reading)
  // A pipe is no place where the key lies, and cannot be read again.
  if (piped) return parse(piped, name)
  const file = readFileChecked(path, reading)
  return file && { ...parse(file.bytes, name), path }
}

function fromEnvFile(path: string, absolute: string, checks: Checks): FoundKey<GivenKey> {
  const name = `the env file "${path}"`
  const file = readFileChecked(absolute, { what: 'env file', maxBytes: MAX_ENV_FILE_BYTES, ...checks })
  if (!file) throw noKey(name, 'there is no such file')
  const text = readEnvLine(file.bytes.toString('utf8'), 'MCP_ENCRYPTION_KEY')
  file.bytes.fill(0)
  if (!text) throw noKey(name, 'it has no MCP_ENCRYPTION_KEY')
  return { ...parse(text, `MCP_ENCRYPTION_KEY in ${name}`), path: absolute }
}

/** Finds the last `NAME=value` of a .env file; `export`, quotes and a comment after white space are understood. */
export function readEnvLine(text: string, name: string): string | undefined {
  const pattern =
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?:"([^"]*)"|'([^']*)'|([^\s#]*))[ \t]*(?:#.*)?$/
  let value: string | undefined
  for (const line of text.split(/\r?\n/)) {
    const match = pattern.exec(line)
    if (match?.[1] === name) value = match[2] ?? match[3] ?? match[4]
  }
  return value
}

function fromCommand(command: string, context: Context): FoundKey<GivenKey> {
  const name = 'MCP_ENCRYPTION_KEY_COMMAND'
  const limits = { timeoutMs: COMMAND_TIMEOUT_MS, maxBytes: MAX_KEY_FILE_BYTES }
  const { exitCode, stdout } = translateFailure(() => context.runProgram(parseArgv(command), limits))
  if (exitCode !== 0) throw noKey(name, exitCode === null ? 'the program was killed' : `the program exited ${exitCode}`)
  return parse(stdout, name)
}

function translateFailure<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    const cannotRun = error instanceof VaultError && error.code === 'INPUT'
    throw cannotRun ? noKey('MCP_ENCRYPTION_KEY_COMMAND', error.message) : error
  }
}

/** Reads the command: a JSON array of strings, or the path of one program. No shell ever sees it. */
function parseArgv(command: string): readonly string[] {
  if (!command.trimStart().startsWith('[')) return [command]
  let argv: unknown
  try {
    argv = JSON.parse(command)
  } catch {
    // The message of JSON.parse quotes its input.
  }
  const isArgv = Array.isArray(argv) && argv.length > 0 && argv.every((word) => typeof word === 'string')
  if (!isArgv) throw noKey('MCP_ENCRYPTION_KEY_COMMAND', 'expected a path or a JSON array of strings')
  return argv as readonly string[]
}

function parse(text: string | Buffer, source: string): FoundKey<GivenKey> {
  const content = text.toString('utf8').trim()
  const key = parseRawKey(content) ?? parseAgeIdentities(content)
  if (typeof text !== 'string') text.fill(0)
  if (!key) throw noKey(source, 'expected 44 characters of base64url, 64 hex digits or an age identity')
  return { key: { ...key, source }, source }
}

function noKey(source: string, reason: string): VaultError {
  return new VaultError('NO_KEY', `cannot read the key from ${source}: ${reason}`, {
    hints: ['mcpvault help environment'],
  })
}
