/**
 * The way past commander for the three commands that shell prompts, cron lines and tool calls wait for: commander alone
 * costs more start-up time than they do.
 *
 * It takes exact spellings only (no `=`, no bundled short flags, no `--`, nothing twice, nothing unknown) and leaves
 * everything else, every error included, to commander. A property test holds the two equal.
 *
 * @module
 */

import type { Context } from './context.js'
import { type CommandShape, collectOptions, cutTail, type Flag, GLOBAL_FLAGS, type GivenWords } from './flags.js'

/** A command that commander is not needed for. */
export interface HotCommand {
  readonly shape: CommandShape
  readonly run: (options: never, context: Context) => Promise<unknown>
}

/** A command line that was understood. */
export interface HotCall<Hot> {
  readonly hot: Hot
  readonly options: unknown
}

/** Reads a command line if it is one of the commands', spelled exactly; undefined leaves it to commander. */
export function parseHot<Hot extends { readonly shape: CommandShape }>(
  line: readonly string[],
  commands: readonly Hot[],
): HotCall<Hot> | undefined {
  const { head: argv, tail } = cutTail(line)
  const given = new Map<string, string | true | readonly string[]>()
  const start = takeFlags(argv, 0, { flags: GLOBAL_FLAGS, given, words: undefined })
  const hot = start === undefined ? undefined : commands.find(({ shape }) => matchesAt(argv, start, shape.name))
  if (!hot || start === undefined || (hot.shape.tail === undefined) !== (tail === undefined)) return undefined
  const words: string[] = []
  const flags = [...GLOBAL_FLAGS, ...(hot.shape.flags ?? [])]
  const end = takeFlags(argv, start + hot.shape.name.split(' ').length, { flags, given, words })
  if (end !== argv.length || !hasArity(hot.shape, words.length)) return undefined
  return collectQuietly(hot, given, { words, tail })
}

interface Taking {
  readonly flags: readonly Flag[]
  readonly given: Map<string, string | true | readonly string[]>
  /** Where positional arguments go; undefined stops at the first. */
  readonly words: string[] | undefined
}

/** Takes flags from a position on and gives the position after the last; undefined if one is not understood. */
function takeFlags(argv: readonly string[], from: number, { flags, given, words }: Taking): number | undefined {
  let index = from
  for (; index < argv.length; index += 1) {
    const word = argv[index] as string
    if (!looksLikeFlag(word)) {
      if (!words) break
      words.push(word)
      continue
    }
    const flag = flags.find(({ long, short }) => word === long || word === short)
    const before = flag && given.get(flag.key)
    if (!flag || (before !== undefined && !flag.isList)) return undefined
    const value = flag.value ? argv[++index] : true
    if (value === undefined || (value !== true && looksLikeFlag(value))) return undefined
    given.set(flag.key, flag.isList && value !== true ? [...(Array.isArray(before) ? before : []), value] : value)
  }
  return index
}

function looksLikeFlag(word: string): boolean {
  return word.length > 1 && word.startsWith('-')
}

function matchesAt(argv: readonly string[], start: number, name: string): boolean {
  return name.split(' ').every((word, offset) => argv[start + offset] === word)
}

function hasArity(shape: CommandShape, count: number): boolean {
  const positionals = shape.positionals ?? []
  const least = positionals.filter(({ arity }) => arity === 'one').length
  return count >= least && (count <= positionals.length || positionals.some(({ arity }) => arity === 'many'))
}

function collectQuietly<Hot extends { readonly shape: CommandShape }>(
  hot: Hot,
  given: ReadonlyMap<string, string | true | readonly string[]>,
  words: GivenWords,
): HotCall<Hot> | undefined {
  try {
    return { hot, options: collectOptions(hot.shape, given, words) }
  } catch {
    // commander meets the same malformed value and reports it.
    return undefined
  }
}
