import type { Command } from 'commander'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { LOAD, type LoadOptions } from '../hot-commands.js'
import { openForReading } from '../open-vault.js'
import { visibleJson } from '../visible.js'

/** Registers `load`. */
export function addLoadCommand(parent: Command, context: Context, run = runLoad): void {
  addCommand(parent, LOAD, (options) => run(options, context))
}

/** Prints a credential's value, byte for byte, and a newline. */
export async function runLoad(options: LoadOptions, context: Context): Promise<void> {
  const { vault } = await openForReading(options, context, 'needed')
  const value = vault.load(options.name, { version: options.version, nowMs: context.now() })
  if (options.json) {
    const text = value.revealText()
    const content = text === undefined ? { value_base64: value.reveal().toString('base64') } : { value: text }
    context.stdout.write(`${visibleJson({ name: options.name, ...content })}\n`)
  } else {
    context.stdout.write(value.reveal())
    if (options.newline) context.stdout.write('\n')
  }
  value.wipe()
}
