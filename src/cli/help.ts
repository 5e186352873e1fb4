/**
 * What the help says. The overview and the topics need no commander.
 *
 * @module
 */

import type { Command } from 'commander'
import { shapeOf } from './command.js'
import { type Flag, GLOBAL_FLAGS, type Positional } from './flags.js'
import { COMMAND_GROUPS, type CommandRow, findPath } from './tree.js'

const EXIT_CODES_HELP: readonly (readonly [string, string])[] = [
  ['0', 'done; for a question: yes'],
  ['1', 'for a question (rotation-due, token check): no; never a failure'],
  ['2', 'wrong usage or input'],
  ['3', 'not found: credential, token or vault'],
  ['4', 'refused: exists already, token refused, old vault restored, unsafe permissions'],
  ['5', 'no key, a malformed key, or a key that does not fit'],
  ['6', 'damaged or tampered with'],
  ['7', 'busy: another process holds the lock'],
  ['8', 'upstream, provider, probe or hook failed'],
  ['9', 'disk: nothing changed, or changed but unconfirmed'],
  ['70', 'a bug in mcpvault'],
  ['128+n', 'cancelled by signal n'],
]

const ENVIRONMENT_HELP: readonly (readonly [string, string])[] = [
  ['MCPVAULT_FILE', 'the vault, when --vault is not given'],
  ['MCPVAULT_LOG', 'the rotation log, when --log is not given'],
  ['MCPVAULT_TOKEN', 'the scoped token for search and token narrow, check, show'],
  ['MCP_ENCRYPTION_KEY', 'the key: 44 characters of base64url, 64 hex digits, or an identity of age'],
  ['MCP_ENCRYPTION_KEY_FILE', 'a file that holds the key'],
  ['MCP_ENCRYPTION_KEY_COMMAND', 'a program that prints the key: a path, or a JSON array'],
  ['CREDENTIALS_DIRECTORY', 'set by systemd; mcp_encryption_key in it is the key'],
  ['SCAVIO_BASE_URL', 'another address of the search API; https, or http on loopback'],
  ['XDG_CONFIG_HOME', 'holds mcpvault/key, the default key file (~/.config)'],
  ['XDG_DATA_HOME', 'holds mcpvault/mcp_credentials.enc, the default vault (~/.local/share)'],
  ['XDG_STATE_HOME', 'holds mcpvault/, what this machine has seen (~/.local/state)'],
  ['NO_COLOR, FORCE_COLOR', 'without colour; with colour even in a pipe'],
]

/** The topics of `help` that are no commands. */
export const HELP_TOPICS: Readonly<Record<string, () => string>> = {
  environment: () => `Environment\n${formatPairs(ENVIRONMENT_HELP)}`,
  'exit-codes': () => `Exit codes\n${formatPairs(EXIT_CODES_HELP)}`,
}

/** Prints the overview: commands by group, exit codes, environment. */
export function formatHelp(): string {
  const groups = COMMAND_GROUPS.filter(({ rows }) => rows.length > 0)
  return [
    'mcpvault keeps the credentials of MCP servers encrypted, rotates them, and lends them out by short-lived tokens.\n',
    'Usage: mcpvault [flags] COMMAND [arguments]\n',
    ...groups.map(({ title, rows }) => `${title}\n${formatPairs(rows.map(rowPair))}`),
    `Flags, before or after the command\n${formatPairs([...GLOBAL_FLAGS.map(flagPair), HELP_PAIR, VERSION_PAIR])}`,
    `Exit codes\n${formatPairs(EXIT_CODES_HELP)}`,
    `Environment\n${formatPairs(ENVIRONMENT_HELP)}`,
    'mcpvault help COMMAND explains a command; README.md and docs/ come with the package.\n',
  ].join('\n')
}

/** Prints the help of a command or group: one sentence, usage, flags, examples. */
export function formatCommandHelp(command: Command): string {
  const shape = shapeOf(command)
  const row = findPath(pathOf(command))
  const name = `mcpvault ${pathOf(command).join(' ')}`
  const sentence = `${name} ${command.description()}.\n`
  if (!shape) return [sentence, `Commands\n${formatPairs((row?.rows ?? []).map(rowPair))}`].join('\n')
  const tail = shape.tail ? [`-- ${shape.tail.placeholder}`] : []
  const usage = [name, '[flags]', ...(shape.positionals ?? []).map(formatPositional), ...tail].join(' ')
  const flags = (shape.flags ?? []).map(flagPair)
  const described = (shape.positionals ?? []).filter(({ help }) => help !== undefined)
  const words = described.map((positional) => [formatPositional(positional), positional.help ?? ''] as const)
  return [
    sentence,
    `Usage: ${usage}\n`,
    ...(words.length > 0 ? [`Arguments\n${formatPairs(words)}`] : []),
    ...(flags.length > 0 ? [`Flags\n${formatPairs(flags)}`] : []),
    `Global flags\n${formatPairs([...GLOBAL_FLAGS.map(flagPair), HELP_PAIR])}`,
    ...(shape.examples ?? []).map(([intent, line]) => `# ${intent}\n$ ${line}\n`),
  ].join('\n')
}

const HELP_PAIR = ['-h, --help', 'print this help'] as const
const VERSION_PAIR = ['--version', 'print the version (as the only argument)'] as const

function rowPair(row: CommandRow): readonly [string, string] {
  return [row.rows ? `${row.name} ${row.rows.map(({ name }) => name).join('|')}` : row.name, row.summary]
}

function flagPair({ long, short, value, help }: Flag): readonly [string, string] {
  return [`${short ? `${short}, ` : ''}${long}${value ? ` ${value}` : ''}`, help]
}

function formatPositional({ key, arity }: Positional): string {
  const word = (arity === 'many' ? key.replace(/s$/, '') : key).toUpperCase()
  if (arity === 'one') return word
  return arity === 'many' ? `[${word}…]` : `[${word}]`
}

function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([left]) => left.length))
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

function pathOf(command: Command): readonly string[] {
  return command.parent ? [...pathOf(command.parent), command.name()] : []
}
