import type { Command } from 'commander'
import { parseDuration } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { changeVault } from '../../vault/change.js'
import { openVault } from '../../vault/open.js'
import type { PolicyChange } from '../../vault/vault.js'
import { nameOrAsk } from '../ask-missing.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { graceFlag, PLAN_FLAGS, type PlanOptions } from '../plan-flags.js'
import { pinVerify } from '../pin-probe.js'
import { describePolicy, policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'
import { canAsk } from '../read-value.js'

/** Options of `policy set`. */
export interface PolicySetOptions extends GlobalOptions, PlanOptions {
  /** Asked for when it is missing. */
  readonly name?: string
  readonly maxAgeSeconds?: number
  readonly graceSeconds?: number
}

const POLICY_SET: CommandShape<PolicySetOptions> = {
  name: 'policy set',
  positionals: [{ key: 'name', arity: 'optional', help: 'the credential; asked for on a terminal' }],
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
  const name = await nameOrAsk(options, context, 'policy set')
  const { maxAgeSeconds, graceSeconds, provider, verify, onRotate } = options
  const targets = options.targets.length === 0 ? undefined : options.targets
  const given: PolicyChange = { maxAgeSeconds, graceSeconds, provider, verify, targets, onRotate }
  const isGiven = Object.values(given).some((member) => member !== undefined)
  const change = isGiven ? given : { ...given, maxAgeSeconds: await askMaxAge(name, options, context) }
  const access = await openForWriting(options, context)
  const pinned = pinVerify({ ...options, name }, access, context)
  await changeVault(access, 'policy set', (draft) => draft.setPolicy(name, { ...change, verify: pinned.verify }))
  const policy = openVault(access).describe(name)?.policy
  createPrinter(context, options).done(`set the policy of "${name}": ${describePolicy(policy)}`, {
    name,
    ...policyJson(policy),
  })
}

/** Asks for what a policy is most often set for. @throws {VaultError} USAGE where nothing may be asked or was answered */
async function askMaxAge(name: string, options: PolicySetOptions, context: Context): Promise<number> {
  const question = `After how long is "${name}" due? (a bare number is days)`
  const answer = canAsk(options, context) ? (await context.prompt.text(question)).trim() : ''
  if (answer !== '') return parseDuration(answer, 'd')
  throw new VaultError('USAGE', 'cannot set a policy: nothing was given to set', {
    hints: ['give --max-age, --grace, --provider, --verify, --target or --on-rotate', 'mcpvault help policy set'],
  })
}
