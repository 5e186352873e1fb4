import type { Command } from 'commander'
import { changeVault } from '../../vault/change.js'
import { openVault } from '../../vault/open.js'
import type { PolicyChange } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'

/** The settings of a policy, by their flags. */
const SETTINGS = {
  maxAgeSeconds: { long: '--max-age', help: 'only its age: it is due as all others are' },
  graceSeconds: { long: '--grace', help: 'only its grace' },
  provider: { long: '--provider', help: 'only its provider: a person gives the next value' },
  verify: { long: '--verify', help: 'only its probe' },
  targets: { long: '--target', help: 'only its targets, all of them' },
  onRotate: { long: '--on-rotate', help: 'only its hook' },
} as const satisfies Readonly<Record<keyof PolicyChange, { readonly long: `--${string}`; readonly help: string }>>

type Setting = keyof typeof SETTINGS

const NAMES = Object.keys(SETTINGS) as readonly Setting[]

/** Options of `policy clear`; without a setting all of them are meant. */
export interface PolicyClearOptions extends GlobalOptions, Readonly<Record<Setting, boolean>> {
  readonly name: string
}

const POLICY_CLEAR: CommandShape<PolicyClearOptions> = {
  name: 'policy clear',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: NAMES.map((key) => ({ key, ...SETTINGS[key] })),
  examples: [
    ['back to what holds for all', 'mcpvault policy clear scavio_api_key'],
    ['keep the rest, and try new values no longer', 'mcpvault policy clear scavio_api_key --verify'],
  ],
}

/** Registers `policy clear`. */
export function addPolicyClearCommand(parent: Command, context: Context, run = runPolicyClear): void {
  addCommand(parent, POLICY_CLEAR, (options) => run(options, context))
}

/** Takes a credential's own settings away, all or those that are named; what holds for all credentials holds again. */
export async function runPolicyClear(options: PolicyClearOptions, context: Context): Promise<void> {
  const { name } = options
  const named = NAMES.filter((key) => options[key])
  const change: PolicyChange | undefined =
    named.length === 0 ? undefined : Object.fromEntries(named.map((key) => [key, null]))
  const access = await openForWriting(options, context)
  await changeVault(access, 'policy clear', (draft) => draft.setPolicy(name, change))
  const settings = named.map((key) => SETTINGS[key].long.slice(2)).join(', ')
  const what = settings === '' ? 'the policy' : `${settings} in the policy`
  const { policy } = openVault(access).describe(name) ?? {}
  createPrinter(context, options).done(`cleared ${what} of "${name}"`, { name, ...policyJson(policy) })
}
