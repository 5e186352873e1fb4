import type { Command } from 'commander'
import { type KeyList, listKeys } from '../../vault/key-list.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { visible } from '../visible.js'

const KEY_LIST: CommandShape<GlobalOptions> = {
  name: 'key list',
  examples: [
    ['who can open the vault?', 'mcpvault key list'],
    ['confirm a vault whose fingerprint you have compared with a colleague', 'mcpvault key list --trust-new-key'],
  ],
}

/** Registers `key list`. */
export function addKeyListCommand(parent: Command, context: Context, run = runKeyList): void {
  addCommand(parent, KEY_LIST, (options) => run(options, context))
}

/** Lists the keys that open the vault; needs none of them, but says whether what it read was verified. */
export async function runKeyList(options: GlobalOptions, context: Context): Promise<void> {
  // The user's word needs the vault to be opened with the key that anybody can seal for.
  const { vault, access } = await openForReading(options, context, options.trustNewKey ? 'needed' : 'if-there')
  const list = listKeys(vault, access.key)
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json(
      toJson(list, { vault: access.store.locate('vault'), verified: vault.isVerified, trusted: vault.isTrusted }),
    )
    return
  }
  await printer.table({
    headers: ['id', 'type', 'label', 'recipient', 'here'],
    rows: list.keys.map(({ kid, type, label, recipient, isInKeychain, isHere }) => [
      kid,
      isInKeychain ? `${type}, keychain` : type,
      label ?? '',
      recipient ?? '',
      isHere ? 'here' : '',
    ]),
    empty: '',
  })
  if (options.quiet) return
  const unverified = vault.isVerified ? '' : '; not verified: no key is at hand'
  const what = `data key ${list.dekId}, fingerprint ${list.fingerprint}, ${countOf(list.count, 'value')} sealed${unverified}`
  context.stderr.write(`${visible(what)}\n`)
}

function toJson(
  { keys, dekId, fingerprint, count }: KeyList,
  about: { readonly vault: string; readonly verified: boolean; readonly trusted: boolean },
): unknown {
  return {
    ...about,
    data_key: dekId,
    fingerprint,
    values_sealed: count,
    keys: keys.map(({ kid, type, label, recipient, isInKeychain, isHere }) => ({
      id: kid,
      type,
      label: label ?? null,
      recipient: recipient ?? null,
      keychain: isInKeychain,
      here: isHere,
    })),
  }
}
