/**
 * The command tree: each command's name, group, one sentence, and a lazy import of its file. Adding a command is adding a
 * row.
 *
 * @module
 */

import type { Command } from 'commander'
import type { Context } from './context.js'

/** Registers a command; what a command file exports as `addXCommand`. */
export type AddCommand = (parent: Command, context: Context) => void

/** A command, or a group of commands such as `token`. */
export interface CommandRow {
  readonly name: string
  /** One sentence without a full stop. */
  readonly summary: string
  readonly load?: () => Promise<AddCommand>
  readonly rows?: readonly CommandRow[]
}

/** A heading of the help. */
export interface CommandGroup {
  readonly title: string
  readonly rows: readonly CommandRow[]
}

/** All commands in the order of the help. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  { title: 'Credentials', rows: [] },
  { title: 'Rotation', rows: [] },
  { title: 'Access', rows: [] },
  {
    title: 'Care',
    rows: [
      {
        name: 'help',
        summary: 'explains a command, or one of the topics environment and exit-codes',
        load: async () => (await import('./commands/help.js')).addHelpCommand,
      },
    ],
  },
]

/** Finds a command of a list by name. */
export function findRow(rows: readonly CommandRow[], name: string | undefined): CommandRow | undefined {
  return rows.find((row) => row.name === name)
}

/** The commands of all groups. */
export function allRows(): readonly CommandRow[] {
  return COMMAND_GROUPS.flatMap((group) => group.rows)
}
