import type { Command } from 'commander'
import { parseDuration } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { changeVault } from '../../vault/change.js'
import { openVault } from '../../vault/open.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { describePolicy, policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'

/** Options of `policy set`. */
export interface PolicySetOptions extends GlobalOptions {
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
    {
      key: 'graceSeconds',
      long: '--grace',
      value: 'TIME',
      help: 'how long a replaced value stays loadable',
      parse: (text) => parseDuration(text),
    },
  ],
  examples: [
    ['a key that must be new every week', 'mcpvault policy set scavio_api_key --max-age 7d'],
    ['and whose old value is needed for a day only', 'mcpvault policy set scavio_api_key --grace 1d'],
  ],
}

/** Registers `policy set`. */
export function addPolicySetCommand(parent: Command, context: Context, run = runPolicySet): void {
  addCommand(parent, POLICY_SET, (options) => run(options, context))
}

/** Gives a credential limits of its own; those that are not given stay as they are. */
export async function runPolicySet(options: PolicySetOptions, context: Context): Promise<void> {
  const { name, maxAgeSeconds, graceSeconds } = options
  if (maxAgeSeconds === undefined && graceSeconds === undefined) {
    throw new VaultError('USAGE', 'cannot set a policy: nothing was given to set', {
      hints: ['give --max-age TIME, --grace TIME, or both', 'mcpvault help policy set'],
    })
  }
  const access = await openForWriting(options, context)
  await changeVault(access, 'policy set', (draft) => draft.setPolicy(name, { maxAgeSeconds, graceSeconds }))
  const policy = openVault(access).describe(name)?.policy
  createPrinter(context, options).done(`set the policy of "${name}": ${describePolicy(policy)}`, {
    name,
    ...policyJson(policy),
  })
}
