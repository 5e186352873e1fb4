import type { Command } from 'commander'
import { shapeOf } from './command.js'
import type { Context } from './context.js'
import { type CommandShape, type Flag, GLOBAL_FLAGS, type Positional, type WordParser } from './flags.js'
import { HELP_TOPICS } from './help.js'
import { createProgram } from './program.js'
import { allRows, type CommandRow } from './tree.js'

/** A word, and what it means in a few words. */
export interface Candidate {
  readonly word: string
  readonly meaning: string
}

/** What may stand at a place: files, the names or tokens of a vault, a name behind `ENV=`, some words, or anything. */
export type Slot = 'file' | 'names' | 'tokens' | 'assigned' | 'any' | readonly Candidate[]

/** A flag as it is completed; its spellings mean the same. */
export interface CompletedFlag {
  readonly spellings: readonly string[]
  readonly meaning: string
  /** Undefined for a switch. */
  readonly value: Slot | undefined
}

/** A command, or a group of commands, as it is completed. */
export interface CompletedCommand {
  /** `token check`; empty for mcpvault itself. */
  readonly path: string
  /** Empty unless it is a group. */
  readonly commands: readonly Candidate[]
  /** Its own flags. */
  readonly flags: readonly CompletedFlag[]
  /** What stands at each place behind the command. */
  readonly places: readonly Slot[]
  /** The last place may be taken any number of times. */
  readonly isRepeated: boolean
}

/** What a flag's value is, by its placeholder. */
const SLOTS: Readonly<Record<string, Slot>> = { FILE: 'file', 'ENV=NAME': 'assigned' }

const SHELLS = ['bash', 'zsh', 'fish'] as const

/** A shell that a script can be made for. */
export type Shell = (typeof SHELLS)[number]

/** Tells whether there is a script for a shell. */
export function isShell(text: string): text is Shell {
  return SHELLS.some((shell) => shell === text)
}

/** Everything that can be completed. */
export interface CompletionTree {
  /** Flags that every command takes. */
  readonly globals: readonly CompletedFlag[]
  /** mcpvault itself comes first. */
  readonly commands: readonly CompletedCommand[]
}

/** Collects everything that can be completed from the commands themselves, so that no list has to be kept. */
export async function collectTree(context: Context): Promise<CompletionTree> {
  const rows = allRows()
  const root: CompletedCommand = {
    path: '',
    commands: rows.map(toCandidate),
    flags: [{ spellings: ['--version'], meaning: 'print the version', value: undefined }],
    places: [],
    isRepeated: false,
  }
  const found = await Promise.all(rows.map((row) => collectRow(row, '', context)))
  const help: CompletedFlag = { spellings: ['-h', '--help'], meaning: 'print this help', value: undefined }
  return { globals: [...GLOBAL_FLAGS.map(toFlag), help], commands: [root, ...found.flat()] }
}

async function collectRow(row: CommandRow, above: string, context: Context): Promise<readonly CompletedCommand[]> {
  const path = above === '' ? row.name : `${above} ${row.name}`
  if (row.rows !== undefined) {
    const group = { path, commands: row.rows.map(toCandidate), flags: [], places: [], isRepeated: false }
    const below = await Promise.all(row.rows.map((one) => collectRow(one, path, context)))
    return [group, ...below.flat()]
  }
  const shape = await readShape(row, context)
  const positionals = shape?.positionals ?? []
  const places = positionals.map((positional) => slotOf(positional, path))
  const flags = (shape?.flags ?? []).map(toFlag)
  return [{ path, commands: [], flags, places, isRepeated: positionals.at(-1)?.arity === 'many' }]
}

async function readShape(row: CommandRow, context: Context): Promise<CommandShape | undefined> {
  const program = createProgram(context)
  const add = await row.load?.()
  add?.(program, context)
  const command: Command | undefined = program.commands.at(-1)
  return command && shapeOf(command)
}

function toCandidate({ name, summary }: CommandRow): Candidate {
  return { word: name, meaning: summary }
}

function toFlag({ long, short, value, help, parse }: Flag): CompletedFlag {
  const words = (parse as Partial<WordParser> | undefined)?.words
  const slot = words?.map((word) => ({ word, meaning: '' })) ?? (value === undefined ? 'any' : (SLOTS[value] ?? 'any'))
  return {
    spellings: short ? [short, long] : [long],
    meaning: help,
    value: value === undefined ? undefined : slot,
  }
}

/** What a positional argument means goes by its name, except that a new credential has a name that is not there yet. */
function slotOf({ key }: Positional, path: string): Slot {
  if (path === 'store') return 'any'
  if (path === 'completion') return SHELLS.map((word) => ({ word, meaning: '' }))
  if (path === 'help') {
    const topics = Object.keys(HELP_TOPICS).map((word) => ({ word, meaning: 'a topic' }))
    return [...allRows().map(toCandidate), ...topics]
  }
  if (['name', 'names', 'pattern', 'old'].includes(key)) return 'names'
  if (key === 'tokens') return 'tokens'
  return ['file', 'files', 'path', 'directory'].includes(key) ? 'file' : 'any'
}
