import type { Command } from 'commander'
import { openVault } from '../../vault/open.js'
import { addCommand } from '../command.js'
import { requireConfirmation } from '../confirm.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG, configPlace } from '../gateway-config.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { visible } from '../visible.js'

/** Options of `config allow`. */
export interface ConfigAllowOptions extends GlobalOptions {
  readonly config?: string
  readonly yes: boolean
}

const CONFIG_ALLOW: CommandShape<ConfigAllowOptions> = {
  name: 'config allow',
  flags: [CONFIG_FLAG, { key: 'yes', long: '--yes', help: 'do not ask' }],
  examples: [
    ['look at what has changed, and let the gateway use it', 'mcpvault config allow'],
    ['in a script that has just written the file', 'mcpvault config allow --config team.json --yes'],
  ],
}

/** Registers `config allow`. */
export function addConfigAllowCommand(parent: Command, context: Context, run = runConfigAllow): void {
  addCommand(parent, CONFIG_ALLOW, (options) => run(options, context))
}

/** Shows what has changed in the gateway's configuration since it was approved, and approves it. */
export async function runConfigAllow(options: ConfigAllowOptions, context: Context): Promise<void> {
  const access = await openForWriting(options, context)
  const { readConfigFile, approveConfig } = await import('../../gateway/config-file.js')
  const place = configPlace(options.config, access, context)
  const file = readConfigFile(place, openVault(access))
  const printer = createPrinter(context, options)
  const { path, digest, isApproved, changes } = file
  if (isApproved) {
    printer.done(`nothing to allow: "${path}" was approved as it is`, { path, sha256: digest, changed: false })
    return
  }
  if (!options.quiet && !options.json) {
    for (const line of changes) context.stderr.write(`${visible(line)}\n`)
  }
  await requireConfirmation(`Let the gateway use "${path}" as it is now?`, options, context)
  await approveConfig(file, place, access)
  printer.done(`allowed "${path}" as it is now`, { path, sha256: digest, changed: true })
}
