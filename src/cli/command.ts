/**
 * Registers a command with commander from its shape. Names no value of commander, so that the hot commands' files can
 * import this without loading it.
 *
 * @module
 */

import type { Command, Option } from 'commander'
import { VaultError } from '../errors.js'
import { type CommandShape, collectOptions, cutTail, type Flag, GLOBAL_FLAGS, type Positional } from './flags.js'
import type { HotCommand } from './hot.js'

const shapes = new WeakMap<Command, CommandShape>()
const statuses = new WeakMap<Command, number>()
/** Programs with a command that takes what stands behind `--`, and what stood there. */
const tails = new WeakMap<Command, readonly string[] | undefined>()

/** Takes commands where commander is not needed to understand the command line (`exact.ts`). */
export class CommandTaker {
  readonly commands: HotCommand[] = []
}

/**
 * Adds a command to its parent. A number that `run` resolves to is the exit status; anything else is 0.
 *
 * The name's last word is registered, so the parent of `token check` is the group `token`.
 */
export function addCommand<Options>(
  parent: Command | CommandTaker,
  shape: CommandShape<Options>,
  run: (options: Options) => Promise<unknown>,
): void {
  if (parent instanceof CommandTaker) {
    parent.commands.push({ shape, run })
    return
  }
  const command = parent.command(shape.name.slice(shape.name.lastIndexOf(' ') + 1))
  shapes.set(command, shape)
  if (shape.tail) tails.set(rootOf(command), undefined)
  for (const positional of shape.positionals ?? []) command.argument(argumentSyntax(positional), positional.help)
  addGlobalFlags(command)
  const own = (shape.flags ?? []).map((flag) => addFlag(command, flag))
  for (const [long, reason] of Object.entries(shape.refuseFlags ?? {})) refuseFlag(command, long, reason)
  command.allowExcessArguments()
  command.action(async () => {
    refuseExtraArguments(command, shape)
    const given = new Map([...givenGlobals(command), ...own.flatMap((pair) => readGiven(command, pair))])
    const words = { words: command.args, tail: tails.get(rootOf(command)) }
    const status = await run(collectOptions(shape, given, words))
    if (typeof status === 'number') statuses.set(rootOf(command), status)
  })
}

/** Lets a command take the global flags; `addCommand` reads them from it and from every command above. */
export function addGlobalFlags(command: Command): void {
  globals.set(
    command,
    GLOBAL_FLAGS.map((flag) => addFlag(command, flag)),
  )
}

/**
 * Lets the program understand a command line. What stands behind `--` is kept away from commander where the command
 * takes it as a whole: commander would keep or lose the `--`, and read flags behind it.
 */
export async function parseLine(program: Command, argv: readonly string[]): Promise<void> {
  const { head, tail } = tails.has(program) ? cutTail(argv) : { head: argv, tail: undefined }
  if (tails.has(program)) tails.set(program, tail)
  await program.parseAsync(head, { from: 'user' })
}

/** The shape that a command was added with; undefined for groups and the program itself. */
export function shapeOf(command: Command): CommandShape | undefined {
  return shapes.get(command)
}

/** The exit status that the program's command has asked for. */
export function statusOf(program: Command): number {
  return statuses.get(program) ?? 0
}

type FlagOption = readonly [flag: Flag, option: Option]
type GivenEntry = readonly [key: string, value: string | true | readonly string[]]

const globals = new WeakMap<Command, readonly FlagOption[]>()

function addFlag(command: Command, flag: Flag): FlagOption {
  const names = flag.short ? `${flag.short}, ${flag.long}` : flag.long
  const option = command.createOption(flag.value ? `${names} <${flag.value}>` : names, flag.help)
  if (flag.isList) option.argParser((text, before: readonly string[] | undefined) => [...(before ?? []), text])
  else if (flag.value) {
    option.argParser((text, before: string | undefined) => {
      // Taking the last would drop half of `--tools a --tools b` without a word.
      if (before !== undefined)
        throw new VaultError('USAGE', `cannot read the command line: ${flag.long} is given twice`)
      return text
    })
  }
  command.addOption(option)
  return [flag, option]
}

function readGiven(command: Command, [flag, option]: FlagOption): readonly GivenEntry[] {
  const attribute = option.attributeName()
  if (command.getOptionValueSource(attribute) !== 'cli') return []
  return [[flag.key, flag.value ? (command.getOptionValue(attribute) as string | readonly string[]) : true]]
}

/** Those given nearer to the end of the command line come last and win. */
function givenGlobals(command: Command): readonly GivenEntry[] {
  const above = command.parent ? givenGlobals(command.parent) : []
  return [...above, ...(globals.get(command) ?? []).flatMap((pair) => readGiven(command, pair))]
}

function argumentSyntax({ key, arity }: Positional): string {
  if (arity === 'one') return `<${key}>`
  return arity === 'many' ? `[${key}...]` : `[${key}]`
}

function refuseFlag(command: Command, long: string, reason: string): void {
  const option = command.createOption(`${long} [refused]`).hideHelp()
  option.argParser(() => {
    throw new VaultError('USAGE', reason)
  })
  command.addOption(option)
  command.on(`option:${option.name()}`, () => {
    throw new VaultError('USAGE', reason)
  })
}

function refuseExtraArguments(command: Command, shape: CommandShape): void {
  const positionals = shape.positionals ?? []
  if (positionals.some(({ arity }) => arity === 'many') || command.args.length <= positionals.length) return
  throw new VaultError('USAGE', shape.refuseExtra ?? `cannot run ${shape.name}: there are too many arguments`, {
    hints: [`mcpvault help ${shape.name}`],
  })
}

function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command
}
