import type { Command } from 'commander'
import { formatDuration } from '../../duration.js'
import { DEFAULT_MAX_AGE_SECONDS } from '../../rotation/due.js'
import { unknownName } from '../../vault/name.js'
import { DEFAULT_GRACE_SECONDS } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { policyJson } from '../policy-text.js'
import { createPrinter } from '../printer.js'

/** Options of `policy show`. */
export interface PolicyShowOptions extends GlobalOptions {
  readonly name: string
}

const POLICY_SHOW: CommandShape<PolicyShowOptions> = {
  name: 'policy show',
  positionals: [{ key: 'name', arity: 'one' }],
  examples: [['which limits hold for a credential', 'mcpvault policy show scavio_api_key']],
}

/** Registers `policy show`. */
export function addPolicyShowCommand(parent: Command, context: Context, run = runPolicyShow): void {
  addCommand(parent, POLICY_SHOW, (options) => run(options, context))
}

/** Shows the limits that hold for a credential, and which of them are its own. */
export async function runPolicyShow(options: PolicyShowOptions, context: Context): Promise<void> {
  const { name } = options
  const { vault } = await openForReading(options, context, 'if-there')
  const credential = vault.describe(name)
  if (credential === undefined) throw unknownName(name, vault.names())
  const { policy } = credential
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json({ name, ...policyJson(policy), verified: vault.isVerified })
    return
  }
  const row = (setting: string, own: number | undefined, forAll: number): readonly string[] => [
    setting,
    formatDuration(own ?? forAll),
    own === undefined ? 'default' : 'own',
  ]
  await printer.table({
    headers: ['setting', 'value', 'from'],
    rows: [
      row('max-age', policy?.maxAgeSeconds, DEFAULT_MAX_AGE_SECONDS),
      // The tutorial format keeps no old value.
      ...(vault.format === 'native' ? [row('grace', policy?.graceSeconds, DEFAULT_GRACE_SECONDS)] : []),
    ],
    empty: '',
  })
}
