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
