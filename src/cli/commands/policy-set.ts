import type { Command } from 'commander'
import { parseDuration } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { changeVault } from '../../vault/change.js'
import { openVault } from '../../vault/open.js'
import type { PolicyChange } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { graceFlag, PLAN_FLAGS, type PlanOptions } from '../plan-flags.js'
import { describePolicy, policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'

/** Options of `policy set`. */
export interface PolicySetOptions extends GlobalOptions, PlanOptions {
  readonly name: string
  readonly maxAgeSeconds?: number
  readonly graceSeconds?: number
}

const POLICY_SET: CommandShape<PolicySetOptions> = {
  name: 'policy set',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    {
      key: 'maxAgeSeconds',
      long: '--max-age',
      value: 'TIME',
      help: 'due when older; a bare number is days',
      parse: (text) => parseDuration(text, 'd'),
    },
    graceFlag('how long a replaced value stays loadable'),
    ...PLAN_FLAGS,
  ],
  examples: [
    ['a key that must be new every week', 'mcpvault policy set scavio_api_key --max-age 7d'],
    ['and whose old value is needed for a day only', 'mcpvault policy set scavio_api_key --grace 1d'],
    [
      'a program makes the new key, a search tries it, a config file gets it, and the server reads it again',
      'mcpvault policy set scavio_api_key --provider command:/usr/local/bin/new-key --verify scavio --target json:.mcp.json#/mcpServers/scavio/env/SCAVIO_API_KEY --on-rotate \'["systemctl","reload","mcp-search"]\'',
    ],
  ],
}

/** Registers `policy set`. */
export function addPolicySetCommand(parent: Command, context: Context, run = runPolicySet): void {
  addCommand(parent, POLICY_SET, (options) => run(options, context))
}

/** Says how a credential is rotated and when it is due; what is not given stays as it is. */
export async function runPolicySet(options: PolicySetOptions, context: Context): Promise<void> {
  const { name, maxAgeSeconds, graceSeconds, provider, verify, onRotate } = options
  const targets = options.targets.length === 0 ? undefined : options.targets
  const change: PolicyChange = { maxAgeSeconds, graceSeconds, provider, verify, targets, onRotate }
  if (Object.values(change).every((member) => member === undefined)) {
    throw new VaultError('USAGE', 'cannot set a policy: nothing was given to set', {
      hints: ['give --max-age, --grace, --provider, --verify, --target or --on-rotate', 'mcpvault help policy set'],
    })
  }
  const access = await openForWriting(options, context)
  await changeVault(access, 'policy set', (draft) => draft.setPolicy(name, change))
  const policy = openVault(access).describe(name)?.policy
  createPrinter(context, options).done(`set the policy of "${name}": ${describePolicy(policy)}`, {
    name,
    ...policyJson(policy),
  })
}
