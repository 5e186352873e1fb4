/** What `key rotate` and `key remove` share: the keys of the slots that stay, the change, and what is said of it. */

import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import type { VaultKey } from '../vault/key.js'
import type { KeySlot, NativeHeader } from '../vault/native-format.js'
import {
  changeDataKey,
  describeSlot,
  planRekey,
  type Rekeyed,
  type RekeyOptions,
  type RekeyPlan,
} from '../vault/rekey.js'
import { fingerprint } from '../vault/trust.js'
import type { VaultAccess } from '../vault/vault.js'
import { absolutePath } from './directories.js'
import type { Context } from './context.js'
import type { Flag, GlobalOptions } from './flags.js'
import { readKeyFile } from './key-source.js'
import { countOf, createPrinter } from './printer.js'
import { createProgress } from './progress.js'
import { canAsk } from './read-value.js'
import { parseReason } from './reason.js'

/** The members that {@link REKEY_FLAGS} make. */
export interface RekeyFlagOptions extends GlobalOptions {
  readonly slotKeyFiles: readonly string[]
  readonly dropSlots?: string
  readonly markLeaked: boolean
  readonly reason?: string
}

/** The flags of the commands that change the data key. */
export const REKEY_FLAGS: readonly Flag[] = [
  {
    key: 'slotKeyFiles',
    long: '--slot-key-file',
    value: 'FILE',
    help: 'the key of a raw slot that stays; may be repeated (age slots need none)',
    isList: true,
  },
  {
    key: 'dropSlots',
    long: '--drop-slots',
    value: 'ID,ID',
    help: 'slots to drop, since their keys are not at hand, by id or label',
  },
  { key: 'markLeaked', long: '--mark-leaked', help: 'mark every credential as leaked, so that all of them are due' },
  { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
]

/**
 * Finds the slots that are named by id, label or recipient.
 *
 * @throws {VaultError} NOT_FOUND
 */
export function findSlots({ keys }: NativeHeader, names: readonly string[]): ReadonlySet<string> {
  return new Set(
    names.map((name) => {
      const found = keys.find(
        ({ kid, label, kdf }) => [kid, label].includes(name) || (kdf?.name === 'age' && kdf.recipient === name),
      )
      if (found !== undefined) return found.kid
      throw new VaultError('NOT_FOUND', `no key slot "${name}" in this vault`, { hints: ['mcpvault key list'] })
    }),
  )
}

/** What is changed for whom. */
export interface RekeyTask {
  readonly header: NativeHeader
  readonly access: VaultAccess
  readonly options: RekeyFlagOptions
  readonly context: Context
}

/** Plans the change: everything that has to be known before the lock is taken. */
export async function planTask({ access, options, context }: RekeyTask, drop: ReadonlySet<string>): Promise<RekeyPlan> {
  const keys = options.slotKeyFiles.map((path): VaultKey => {
    const found = readKeyFile(path, context, access.warn.bind(access))
    if (found !== undefined) return found.key
    throw new VaultError(
      'NO_KEY',
      `cannot read the key from the key file "${absolutePath(path, context)}": there is no such file`,
    )
  })
  const askPassphrase = async (slot: KeySlot): Promise<VaultKey | undefined> => {
    if (!canAsk(options, context)) return undefined
    const text = await context.prompt.hidden(`passphrase of the key slot ${describeSlot(slot)}:`)
    return { type: 'passphrase', text: Secret.fromText(text) }
  }
  return planRekey(access, { drop, keys, askPassphrase })
}

/** Changes the data key behind a progress bar, and says what was done. */
export async function runTask(
  { access, options, context }: RekeyTask,
  plan: RekeyPlan,
  { action, isLeaked }: Pick<RekeyOptions, 'action' | 'isLeaked'>,
): Promise<void> {
  const progress = createProgress(context, { label: 'sealing', quiet: options.quiet })
  try {
    const rekeyed = await changeDataKey(access, plan, {
      action,
      isLeaked,
      reason: options.reason,
      onProgress: (done, total) => progress.show(done, total),
    })
    progress.end()
    report(rekeyed, plan, { access, options, context, isLeaked })
  } finally {
    progress.end()
  }
}

interface Reported extends Omit<RekeyTask, 'header'> {
  readonly isLeaked: boolean
}

function report(rekeyed: Rekeyed, plan: RekeyPlan, { access, options, context, isLeaked }: Reported): void {
  const { dekId, commit, values, credentials } = rekeyed
  const printer = createPrinter(context, options)
  const dropped = plan.dropped.map(describeSlot)
  const parts = [
    ...(dropped.length === 0 ? [] : [`removed ${dropped.join(', ')}`]),
    `sealed ${countOf(values, 'value')} of ${countOf(credentials, 'credential')} under the data key ${dekId} (${fingerprint(commit)}) for ${countOf(plan.slots.length, 'key')}`,
  ]
  printer.done(parts.join('; '), {
    vault: access.store.locate('vault'),
    data_key: dekId,
    fingerprint: fingerprint(commit),
    values,
    credentials,
    keys: plan.slots.map(({ slot }) => slot.kid),
    removed: plan.dropped.map(({ kid }) => kid),
    marked_leaked: isLeaked,
  })
  if (dropped.length === 0) return
  const known = `whoever held ${dropped.length === 1 ? 'that key has' : 'those keys has'} known every value, and still opens every older copy of the vault`
  const next = isLeaked
    ? 'every credential is due now: mcpvault rotate --due'
    : 'to have all of them rotated: mcpvault leaked NAME'
  printer.warn(access.isInGit() ? `${known}, also in the history of git; ${next}` : `${known}; ${next}`)
}
