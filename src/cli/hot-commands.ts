/**
 * The shapes of the three hot commands; their files load only when they are asked for.
 *
 * @module
 */

import { parseDuration } from '../duration.js'
import { VaultError } from '../errors.js'
import { type CommandShape, type GlobalOptions, oneOf } from './flags.js'

/** Options of `load`. */
export interface LoadOptions extends GlobalOptions {
  readonly name: string
  readonly version?: number | 'previous'
  /** False with `-n`. */
  readonly newline: boolean
}

/** Options of `rotation-due`. */
export interface RotationDueOptions extends GlobalOptions {
  /** Empty for all credentials. */
  readonly names: readonly string[]
  readonly maxAgeSeconds?: number
  readonly withinSeconds?: number
  readonly format?: 'table' | 'names' | 'prometheus' | 'nagios'
  readonly exitZero: boolean
}

/** Options of `token check`. */
export interface TokenCheckOptions extends GlobalOptions {
  readonly tool?: string
  /** A file with the arguments of the call. */
  readonly args?: string
  readonly explain: boolean
  readonly tokenFile?: string
}

/** The shape of `load`. */
export const LOAD: CommandShape<LoadOptions> = {
  name: 'load',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    { key: 'version', long: '--version', value: 'N', help: 'a version, or "previous"', parse: parseVersion },
    { key: 'newline', long: '--no-newline', short: '-n', help: 'print no newline after the value', isOff: true },
  ],
  examples: [
    ['use a credential in a script', 'curl -H "x-api-key: $(mcpvault load scavio_api_key)" https://api.scavio.dev/'],
    ['copy the value without a newline', 'mcpvault load -n scavio_api_key | pbcopy'],
    ['print the value before the last rotation', 'mcpvault load scavio_api_key --version previous'],
  ],
}

/** The shape of `rotation-due`. */
export const ROTATION_DUE: CommandShape<RotationDueOptions> = {
  name: 'rotation-due',
  positionals: [{ key: 'names', arity: 'many' }],
  flags: [
    {
      key: 'maxAgeSeconds',
      long: '--max-age',
      value: 'TIME',
      help: 'due when older; a bare number is days (30)',
      parse: parseDays,
    },
    {
      key: 'withinSeconds',
      long: '--within',
      value: 'TIME',
      help: 'also what will be due within this time',
      parse: (text) => parseDuration(text),
    },
    {
      key: 'format',
      long: '--format',
      value: 'FORMAT',
      help: 'table, names, prometheus or nagios',
      parse: oneOf('table', 'names', 'prometheus', 'nagios'),
    },
    { key: 'exitZero', long: '--exit-zero', help: 'exit 0 whether something is due or not' },
  ],
  examples: [
    ['rotate a credential when it is due', 'mcpvault rotation-due scavio_api_key && mcpvault rotate scavio_api_key'],
    ['what will be due within a week', 'mcpvault rotation-due --within 7d'],
  ],
}

/** The shape of `token check`. */
export const TOKEN_CHECK: CommandShape<TokenCheckOptions> = {
  name: 'token check',
  flags: [
    { key: 'tool', long: '--tool', value: 'NAME', help: 'the tool that is to be called' },
    { key: 'args', long: '--args', value: 'FILE', help: 'a JSON object with the arguments of the call, "-" for stdin' },
    { key: 'explain', long: '--explain', help: 'say why, to whoever has the key' },
    { key: 'tokenFile', long: '--token-file', value: 'FILE', help: 'read the token from a file, "-" for stdin' },
  ],
  refuseExtra: 'cannot take a token from an argument: other users can read the command line',
  refuseFlags: { '--token': 'cannot take a token from an argument: other users can read the command line' },
  examples: [
    ['may this token call a tool?', 'MCPVAULT_TOKEN=$TOKEN mcpvault token check --tool web_search'],
    ['with these arguments? and if not, why?', 'mcpvault token check --tool web_search --args args.json --explain'],
  ],
}

function parseVersion(text: string): number | 'previous' {
  if (text === 'previous') return text
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new VaultError('USAGE', 'cannot read --version: expected a number such as 3, or "previous"')
  }
  return Number(text)
}

function parseDays(text: string): number {
  return parseDuration(text, 'd')
}
