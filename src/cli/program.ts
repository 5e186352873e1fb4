/**
 * The whole command line through commander. Only the file of the command that was asked for is imported.
 *
 * @module
 */

import { Command, CommanderError } from 'commander'
import { addGlobalFlags, parseLine, statusOf } from './command.js'
import type { Context } from './context.js'
import { GLOBAL_FLAGS } from './flags.js'
import { formatCommandHelp, formatHelp } from './help.js'
import { hasFlag } from './report-error.js'
import { allRows, type CommandRow, findRow } from './tree.js'
import { toUsageError } from './usage-error.js'

/**
 * Runs the command that a command line asks for and gives its exit status.
 *
 * @throws {VaultError} USAGE if the command line is not understood, and whatever the command throws.
 */
export async function runProgram(line: readonly string[], context: Context): Promise<number> {
  const argv = helpOfCommand(line)
  const program = createProgram(context, (text) => printHelp(text, argv, context))
  try {
    await addAsked(program, { rows: allRows(), argv, context })
    await parseLine(program, argv)
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.help') printHelp(helpOfAsked(program, argv), argv, context)
    else if (error.exitCode !== 0) throw toUsageError(error, pathIn(argv, allRows()))
  }
  return statusOf(program)
}

/**
 * A help flag in front of the command asks for that command's help, as one behind it does. Without such a command there
 * is no help: the flag is dropped, and commander says so.
 */
function helpOfCommand(argv: readonly string[]): readonly string[] {
  const at = findWord(argv)
  const isHelp = (word: string): boolean => word === '-h' || word === '--help'
  if (isUnknown(argv, allRows())) return argv.filter((word) => !isHelp(word))
  const front = argv.slice(0, at)
  if (at === argv.length || !front.some(isHelp)) return argv
  const end = argv.includes('--', at) ? argv.indexOf('--', at) : argv.length
  return [...front.filter((word) => !isHelp(word)), ...argv.slice(at, end), '--help', ...argv.slice(end)]
}

/** Makes the program without commands; those added to it inherit that it neither prints errors nor exits. */
export function createProgram(context: Context, print = (text: string) => context.stdout.write(text)): Command {
  const program = new Command('mcpvault')
  program
    .exitOverride()
    .enablePositionalOptions()
    .helpCommand(false)
    .helpOption('-h, --help', 'print this help')
    .configureOutput({
      writeOut: print,
      writeErr: () => {},
      outputError: () => {},
    })
    .configureHelp({ formatHelp: (command) => (command.parent ? formatCommandHelp(command) : formatHelp()) })
  addGlobalFlags(program)
  return program
}

interface Asked {
  readonly rows: readonly CommandRow[]
  readonly argv: readonly string[]
  readonly context: Context
}

/** Adds the command that is asked for; all of them by name alone when there is none, for commander's suggestion. */
async function addAsked(parent: Command, { rows, argv, context }: Asked): Promise<void> {
  const at = findWord(argv)
  const row = findRow(rows, argv[at])
  if (!row) {
    for (const { name, summary } of rows) parent.command(name).description(summary)
  } else if (row.rows) {
    const group = parent.command(row.name).description(row.summary)
    addGlobalFlags(group)
    await addAsked(group, { rows: row.rows, argv: argv.slice(at + 1), context })
  } else if (row.load) {
    const add = await row.load()
    add(parent, context)
    findCommand(parent, row.name)?.description(row.summary)
  }
}

/** Finds the first word that is neither a flag nor a flag's value. */
function findWord(argv: readonly string[]): number {
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] as string
    if (!word.startsWith('-')) return index
    if (GLOBAL_FLAGS.some((flag) => flag.value && flag.long === word)) index += 1
  }
  return argv.length
}

/** Whether a word stands where a command would, and is none. */
function isUnknown(argv: readonly string[], rows: readonly CommandRow[]): boolean {
  const at = findWord(argv)
  const row = findRow(rows, argv[at])
  if (row?.rows) return isUnknown(argv.slice(at + 1), row.rows)
  return row === undefined && at < argv.length
}

/** The words of the command that is asked for, as far as there is such a command. */
function pathIn(argv: readonly string[], rows: readonly CommandRow[]): readonly string[] {
  const at = findWord(argv)
  const row = findRow(rows, argv[at])
  return row ? [row.name, ...pathIn(argv.slice(at + 1), row.rows ?? [])] : []
}

/** Prints help as `help` does: with `--json` one value. */
function printHelp(text: string, argv: readonly string[], context: Context): void {
  const topic = pathIn(argv, allRows()).join(' ')
  context.stdout.write(hasFlag(argv, '--json') ? `${JSON.stringify({ topic, text })}\n` : text)
}

function findCommand(parent: Command, name: string | undefined): Command | undefined {
  return parent.commands.find((command) => command.name() === name)
}

function helpOfAsked(program: Command, argv: readonly string[]): string {
  return (findCommand(program, argv[findWord(argv)]) ?? program).helpInformation()
}
