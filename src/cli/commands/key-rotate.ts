import type { Command } from 'commander'
import { readHeader } from '../../vault/rekey.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { findSlots, planTask, REKEY_FLAGS, type RekeyFlagOptions, runTask } from '../rekey.js'

const KEY_ROTATE: CommandShape<RekeyFlagOptions> = {
  name: 'key rotate',
  flags: REKEY_FLAGS,
  examples: [
    ['seal everything under a new data key, for the same keys', 'mcpvault key rotate'],
    ['the vault opens with a key in the safe, too', 'mcpvault key rotate --slot-key-file /media/safe/mcpvault.key'],
    ['the key in the safe is lost', 'mcpvault key rotate --drop-slots safe'],
  ],
}

/** Registers `key rotate`. */
export function addKeyRotateCommand(parent: Command, context: Context, run = runKeyRotate): void {
  addCommand(parent, KEY_ROTATE, (options) => run(options, context))
}

/** Draws a new data key and seals every value under it, as one commit. Keys, tokens and values stay as they are. */
export async function runKeyRotate(options: RekeyFlagOptions, context: Context): Promise<void> {
  const access = await openForWriting(options, context)
  const header = await readHeader(access)
  const names = (options.dropSlots ?? '').split(',').filter((name) => name !== '')
  const task = { header, access, options, context }
  const plan = await planTask(task, findSlots(header, names))
  await runTask(task, plan, { action: 'key-rotated', isLeaked: options.markLeaked })
}
