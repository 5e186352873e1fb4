import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { describeSlot, readHeader } from '../../vault/rekey.js'
import { addCommand } from '../command.js'
import { requireConfirmation } from '../confirm.js'
import type { Context } from '../context.js'
import type { CommandShape } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { canAsk } from '../read-value.js'
import { findSlots, planTask, REKEY_FLAGS, type RekeyFlagOptions, type RekeyTask, runTask } from '../rekey.js'
import { visible } from '../visible.js'

/** Options of `key remove`. */
export interface KeyRemoveOptions extends RekeyFlagOptions {
  /** Ids, labels or recipients. */
  readonly keys: readonly string[]
  readonly yes: boolean
}

const KEY_REMOVE: CommandShape<KeyRemoveOptions> = {
  name: 'key remove',
  positionals: [{ key: 'keys', arity: 'many', help: 'an id, a label or a recipient of "mcpvault key list"' }],
  flags: [...REKEY_FLAGS, { key: 'yes', long: '--yes', help: 'do not ask' }],
  examples: [
    ['a member leaves, who has known every value', 'mcpvault key remove alice --mark-leaked'],
    ['from a script', 'mcpvault key remove 3f0c9a5be2d17746 --yes'],
  ],
}

/** Registers `key remove`. */
export function addKeyRemoveCommand(parent: Command, context: Context, run = runKeyRemove): void {
  addCommand(parent, KEY_REMOVE, (options) => run(options, context))
}

/** Takes keys away: everything is sealed under a new data key, for those that stay. */
export async function runKeyRemove(options: KeyRemoveOptions, context: Context): Promise<void> {
  const { keys, dropSlots = '' } = options
  if (keys.length === 0) {
    throw new VaultError('USAGE', 'cannot remove a key: none is named', { hints: ['mcpvault key list'] })
  }
  const access = await openForWriting(options, context)
  const header = await readHeader(access)
  const drop = findSlots(header, [...keys, ...dropSlots.split(',').filter((name) => name !== '')])
  const task = { header, access, options, context }
  const plan = await planTask(task, drop)
  const named = plan.dropped.map(describeSlot).join(', ')
  await requireConfirmation(`Take ${named} away, and seal everything under a new data key?`, options, context)
  const isLeaked = options.markLeaked || (await offerMarking(task, options))
  await runTask(task, plan, { action: 'key-removed', isLeaked })
}

/** Whoever goes has known every value: only new ones at the providers end that. */
async function offerMarking({ context }: RekeyTask, options: KeyRemoveOptions): Promise<boolean> {
  if (options.yes || !canAsk(options, context)) return false
  const question = 'They have known every value. Mark every credential as leaked, so that all of them are due?'
  return context.prompt.confirm(visible(question))
}
