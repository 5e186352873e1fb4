/**
 * What a command line may hold, as data: one table of flags that both parsers are built from.
 *
 * commander (program.ts) and the way past it for the hot commands (hot.ts) only cut the command line into pieces; what
 * the pieces mean is decided here, once, by `collectOptions`.
 *
 * @module
 */

import { parseDuration } from '../duration.js'
import { VaultError } from '../errors.js'
import { isKnownZone } from '../timestamp.js'

/** A flag. Without `value` it is a switch, which is false unless given (true unless given when `isOff`). */
export interface Flag {
  /** The member of the command's options. */
  readonly key: string
  readonly long: `--${string}`
  readonly short?: `-${string}`
  /** Placeholder of the value in the help, upper case. No flag has an optional value. */
  readonly value?: string
  readonly help: string
  /** May be given several times; the member is then a list, empty when the flag is not given. */
  readonly isList?: boolean
  /** A `--no-…` switch. */
  readonly isOff?: boolean
  /** Makes the member of the text; `long` is for the message. @throws {VaultError} USAGE */
  readonly parse?: (text: string, long: string) => unknown
}

/** A positional argument. */
export interface Positional {
  readonly key: string
  readonly arity: 'one' | 'optional' | 'many'
  readonly help?: string
}

/** What a command takes. `Options` is what `collectOptions` makes of it; nothing holds the two together but tests. */
export interface CommandShape<Options = unknown> {
  /** As the user types it: `load`, `token check`. */
  readonly name: string
  readonly positionals?: readonly Positional[]
  readonly flags?: readonly Flag[]
  /** What stands behind the first `--`, word by word and whatever it looks like; only with it is `--` taken so. */
  readonly tail?: { readonly key: string; readonly placeholder: string }
  /** Pairs of an intent and a command line, for the help. */
  readonly examples?: readonly (readonly [intent: string, command: string])[]
  /** Why there is no further positional argument, said instead of "too many arguments"; never repeats the argument. */
  readonly refuseExtra?: string
  /** Flags that people expect and that are refused with a reason, such as `--value`: a value in argv is public. */
  readonly refuseFlags?: Readonly<Record<`--${string}`, string>>
  readonly _options?: Options
}

/** The members that every command's options have. */
export interface GlobalOptions {
  readonly vault?: string
  readonly log?: string
  readonly keyFile?: string
  readonly keyFd?: number
  readonly envFile?: string
  readonly lockTimeoutMs?: number
  readonly assumeTz?: string
  readonly acceptRestore: boolean
  readonly trustNewKey: boolean
  readonly json: boolean
  readonly quiet: boolean
  /** False with `--no-input`: nothing may be asked. */
  readonly input: boolean
  /** False with `--no-color`. */
  readonly color: boolean
  readonly debug: boolean
}

/** The flags that stand before or after the subcommand. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  {
    key: 'vault',
    long: '--vault',
    value: 'FILE',
    help: 'the vault (else MCPVAULT_FILE, ./mcp_credentials.enc, the data directory)',
  },
  { key: 'log', long: '--log', value: 'FILE', help: 'the rotation log (else MCPVAULT_LOG, beside the vault)' },
  { key: 'keyFile', long: '--key-file', value: 'FILE', help: 'read the key from a file' },
  {
    key: 'keyFd',
    long: '--key-fd',
    value: 'N',
    help: 'read the key from an inherited descriptor',
    parse: wholeNumber(0, 65_535),
  },
  { key: 'envFile', long: '--env-file', value: 'FILE', help: 'read MCP_ENCRYPTION_KEY from a .env file' },
  {
    key: 'lockTimeoutMs',
    long: '--lock-timeout',
    value: 'TIME',
    help: 'how long to wait for the lock (5s)',
    parse: parseMs,
  },
  {
    key: 'assumeTz',
    long: '--assume-tz',
    value: 'ZONE',
    help: 'the zone of timestamps that name none',
    parse: parseZone,
  },
  { key: 'acceptRestore', long: '--accept-restore', help: 'go on with a vault older than this machine has seen' },
  {
    key: 'trustNewKey',
    long: '--trust-new-key',
    help: 'take a vault whose data key this machine does not know, once it was compared (key list)',
  },
  { key: 'json', long: '--json', help: 'print one JSON value' },
  { key: 'quiet', long: '--quiet', help: 'no success line' },
  { key: 'input', long: '--no-input', help: 'never ask', isOff: true },
  { key: 'color', long: '--no-color', help: 'no colour', isOff: true },
  { key: 'debug', long: '--debug', help: 'print a stack with an error' },
]

/** What the user gave: the text of each flag by key, `true` for switches, every text for lists. */
export type Given = ReadonlyMap<string, string | true | readonly string[]>

/** What the user gave beside flags. */
export interface GivenWords {
  readonly words: readonly string[]
  /** Undefined without `--`. */
  readonly tail?: readonly string[] | undefined
}

/** Cuts a command line at the first `--`, which is in neither part. */
export function cutTail(argv: readonly string[]): {
  readonly head: readonly string[]
  readonly tail: readonly string[] | undefined
} {
  const at = argv.indexOf('--')
  return at < 0 ? { head: argv, tail: undefined } : { head: argv.slice(0, at), tail: argv.slice(at + 1) }
}

/**
 * Makes a command's options of what was given.
 *
 * @throws {VaultError} USAGE if a value is malformed.
 */
export function collectOptions<Options>(
  shape: CommandShape<Options>,
  given: Given,
  { words, tail }: GivenWords,
): Options {
  const options: Record<string, unknown> = {}
  if (shape.tail && tail) options[shape.tail.key] = tail
  for (const flag of [...GLOBAL_FLAGS, ...(shape.flags ?? [])]) {
    const member = readFlag(flag, given.get(flag.key))
    if (member !== undefined) options[flag.key] = member
  }
  shape.positionals?.forEach((positional, index) => {
    if (positional.arity === 'many') options[positional.key] = words.slice(index)
    else if (words[index] !== undefined) options[positional.key] = words[index]
  })
  return options as Options
}

function readFlag(flag: Flag, given: string | true | readonly string[] | undefined): unknown {
  if (flag.value === undefined) return (given !== undefined) !== (flag.isOff === true)
  const parse = flag.parse ?? ((text: string) => text)
  // What a script gives when its variable is not set.
  if (given === '' && flag.value === 'FILE') throw new VaultError('USAGE', `cannot read ${flag.long}: it is empty`)
  if (flag.isList) return (Array.isArray(given) ? given : []).map((text) => parse(text, flag.long))
  return typeof given === 'string' ? parse(given, flag.long) : undefined
}

/** Makes a parser that takes one of some words. */
export function oneOf(...words: readonly string[]): WordParser {
  const parse = (text: string, long: string): string => {
    if (!words.includes(text)) throw new VaultError('USAGE', `cannot read ${long}: expected one of ${words.join(', ')}`)
    return text
  }
  return Object.assign(parse, { words })
}

/** A parser that takes one of some words, and knows them for completion. */
export interface WordParser {
  (text: string, long: string): string
  readonly words: readonly string[]
}

/** Makes a parser that takes a whole number within bounds. */
export function wholeNumber(lowest: number, highest: number): (text: string, long: string) => number {
  return (text, long) => {
    const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(number >= lowest && number <= highest)) {
      throw new VaultError('USAGE', `cannot read ${long}: expected a whole number from ${lowest} to ${highest}`)
    }
    return number
  }
}

function parseMs(text: string): number {
  return parseDuration(text) * 1000
}

function parseZone(text: string): string {
  if (!isKnownZone(text)) {
    throw new VaultError('USAGE', 'cannot read --assume-tz: this machine knows no such zone', {
      hints: ['zones look like Europe/Berlin or UTC'],
    })
  }
  return text
}
