import type { Command } from 'commander'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG, configPlace } from '../gateway-config.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'

/** Options of `config show`. */
export interface ConfigShowOptions extends GlobalOptions {
  readonly config?: string
}

const CONFIG_SHOW: CommandShape<ConfigShowOptions> = {
  name: 'config show',
  flags: [CONFIG_FLAG],
  examples: [['which servers there are, and which credential goes where', 'mcpvault config show']],
}

/** Registers `config show`. */
export function addConfigShowCommand(parent: Command, context: Context, run = runConfigShow): void {
  addCommand(parent, CONFIG_SHOW, (options) => run(options, context))
}

/** Shows which servers the gateway would stand in front of, which credentials each gets, and whether that was approved. */
export async function runConfigShow(options: ConfigShowOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'needed')
  const { readConfigFile, describeUpstream } = await import('../../gateway/config-file.js')
  const file = readConfigFile(configPlace(options.config, access, context), vault)
  const { path, digest, isApproved, changes } = file
  const servers = file.config.upstreams.map(describeUpstream)
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json({ path, sha256: digest, approved: isApproved, changes, servers })
    return
  }
  await printer.table({
    headers: ['SERVER', 'KIND', 'PLACE', 'CREDENTIALS'],
    rows: servers.map(({ name, kind, place, credentials }) => [name, kind, place, credentials.join(',') || '-']),
    empty: 'there is no server',
  })
  if (!isApproved) printer.warn(`"${path}" was not approved as it is now: mcpvault config allow`)
}
