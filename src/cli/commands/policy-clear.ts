import type { Command } from 'commander'
import { changeVault } from '../../vault/change.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'

/** Options of `policy clear`. */
export interface PolicyClearOptions extends GlobalOptions {
  readonly name: string
}

const POLICY_CLEAR: CommandShape<PolicyClearOptions> = {
  name: 'policy clear',
  positionals: [{ key: 'name', arity: 'one' }],
  examples: [['back to the limits for all', 'mcpvault policy clear scavio_api_key']],
}

/** Registers `policy clear`. */
export function addPolicyClearCommand(parent: Command, context: Context, run = runPolicyClear): void {
  addCommand(parent, POLICY_CLEAR, (options) => run(options, context))
}

/** Takes a credential's own limits away; those for all credentials hold again. */
export async function runPolicyClear(options: PolicyClearOptions, context: Context): Promise<void> {
  const { name } = options
  const access = await openForWriting(options, context)
  await changeVault(access, 'policy clear', (draft) => draft.setPolicy(name, undefined))
  createPrinter(context, options).done(`cleared the policy of "${name}"`, { name, ...policyJson(undefined) })
}
