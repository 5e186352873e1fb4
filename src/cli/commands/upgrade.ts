import type { Command } from 'commander'
import { DAY_SECONDS } from '../../duration.js'
import { lastForeignWrite, readDates } from '../../rotation/ages.js'
import { followLinks } from '../../storage/resolve-target.js'
import type { Reader } from '../../storage/store.js'
import { parseHeader } from '../../tokens/record-line.js'
import { upgradeVault } from '../../vault/upgrade.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'

const UPGRADE: CommandShape<GlobalOptions> = {
  name: 'upgrade',
  examples: [['turn a tutorial vault into a native one', 'mcpvault upgrade --vault ./mcp_credentials.enc']],
}

/** Registers `upgrade`. */
export function addUpgradeCommand(parent: Command, context: Context, run = runUpgrade): void {
  addCommand(parent, UPGRADE, (options) => run(options, context))
}

/** Replaces a tutorial vault by a native one with the same values. */
export async function runUpgrade(options: GlobalOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'needed')
  const path = access.store.locate('vault')
  const previous = `${followLinks(path)}.tutorial.bak`
  const foreign = vault.format === 'tutorial' ? lastForeignWrite(access) : undefined
  if (foreign !== undefined && context.now() - foreign < 30 * DAY_SECONDS * 1000) {
    access.warn(
      'another program wrote the rotation log in the last 30 days; programs written from the tutorial cannot read the vault any more',
    )
  }
  const count = await upgradeVault(access, {
    readDates: (log, names) => readDates(log, names, access.zone),
    readStoreId,
  })
  createPrinter(context, options).done(
    `upgraded "${path}" with ${countOf(count, 'credential')}; the old file is "${previous}": delete it once you are sure, it holds every value under the same key`,
    {
      vault: path,
      credentials: count,
      previous,
    },
  )
}

/** Reads the store id in the first line of token records; undefined when that line is damaged. */
function readStoreId(tokens: Reader): Buffer | undefined {
  const head = tokens.read(0, 256)
  const end = head.indexOf(0x0a)
  return end < 0 ? undefined : parseHeader(head.subarray(0, end))
}
