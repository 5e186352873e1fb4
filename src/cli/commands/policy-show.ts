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
  examples: [['how a credential is rotated, and when it is due', 'mcpvault policy show scavio_api_key']],
}

/** Registers `policy show`. */
export function addPolicyShowCommand(parent: Command, context: Context, run = runPolicyShow): void {
  addCommand(parent, POLICY_SHOW, (options) => run(options, context))
}

/** Shows what holds for a credential, and what of it is its own. */
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
  const limit = (setting: string, own: number | undefined, forAll: number): Row => [
    setting,
    formatDuration(own ?? forAll),
    own === undefined ? 'default' : 'own',
  ]
  const spec = (setting: string, own: string | undefined, forAll: string): Row => [
    setting,
    own ?? forAll,
    own === undefined ? 'default' : 'own',
  ]
  const targets = policy?.targets ?? []
  await printer.table({
    headers: ['setting', 'value', 'from'],
    rows: [
      limit('max-age', policy?.maxAgeSeconds, DEFAULT_MAX_AGE_SECONDS),
      // The tutorial format keeps no old value.
      ...(vault.format === 'native' ? [limit('grace', policy?.graceSeconds, DEFAULT_GRACE_SECONDS)] : []),
      spec('provider', policy?.provider, 'manual'),
      spec('verify', policy?.verify, '-'),
      ...(targets.length === 0 ? [spec('target', undefined, '-')] : targets.map((one) => spec('target', one, '-'))),
      spec('on-rotate', policy?.onRotate, '-'),
    ],
    empty: '',
  })
}

type Row = readonly string[]
