import type { Command } from 'commander'
import { checkKey, type KeyCheck } from '../../vault/check.js'
import type { VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { visible } from '../visible.js'

const KEY_CHECK: CommandShape<GlobalOptions> = {
  name: 'key check',
  examples: [
    ['does the key that is found here open the vault?', 'mcpvault key check'],
    ['is the copy in the safe the right one?', 'mcpvault key check --key-file /media/safe/mcpvault.key'],
  ],
}

/** Registers `key check`. */
export function addKeyCheckCommand(parent: Command, context: Context, run = runKeyCheck): void {
  addCommand(parent, KEY_CHECK, (options) => run(options, context))
}

/** Says which key was found where, and that it opens the vault; a key that does not is an error. */
export async function runKeyCheck(options: GlobalOptions, context: Context): Promise<void> {
  const access = await openForWriting(options, context)
  const check = checkKey(access)
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json(toJson(check, access))
    return
  }
  if (check.damaged.length > 0) printer.warn(`damaged: ${check.damaged.map((name) => `"${name}"`).join(', ')}`)
  context.stdout.write(`${visible(describe(check, access))}\n`)
}

function describe({ isChecked, keyId, values }: KeyCheck, { key, store }: VaultAccess): string {
  const which = `${key?.source ?? 'the key'}${keyId === undefined ? '' : ` (id ${keyId})`}`
  const vault = `"${store.locate('vault')}"`
  if (!isChecked)
    return `nothing to check ${which} against: ${vault} is empty, and a tutorial vault knows its key by its values only`
  return `${which} opens ${vault}${values === 0 ? ', which is empty' : ` and ${countOf(values, 'value')} in it`}`
}

function toJson({ format, keyId, isChecked, values, damaged }: KeyCheck, { key, store }: VaultAccess): unknown {
  return {
    vault: store.locate('vault'),
    format,
    source: key?.source ?? null,
    key_type: key?.type ?? null,
    key_id: keyId ?? null,
    checked: isChecked,
    values,
    damaged,
  }
}
