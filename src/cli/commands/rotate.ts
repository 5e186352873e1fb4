import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { formatUtc } from '../../timestamp.js'
import { changeVault } from '../../vault/change.js'
import { checkNewName, unknownName } from '../../vault/name.js'
import { openVault } from '../../vault/open.js'
import type { RotatedVersion } from '../../vault/vault.js'
import { parseDuration } from '../../duration.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { createPrinter } from '../printer.js'
import { NO_VALUE_ARGUMENT, readValue, VALUE_FLAGS, type ValueOptions } from '../read-value.js'
import { parseReason } from '../reason.js'
import { warnOfTutorialBackup } from '../side-files.js'

/** Options of `rotate`. */
export interface RotateOptions extends GlobalOptions, ValueOptions {
  readonly name: string
  readonly create: boolean
  readonly graceSeconds?: number
  readonly reason?: string
}

const ROTATE: CommandShape<RotateOptions> = {
  name: 'rotate',
  positionals: [{ key: 'name', arity: 'one' }],
  flags: [
    ...VALUE_FLAGS,
    { key: 'create', long: '--create', help: 'store the credential if there is none of that name' },
    {
      key: 'graceSeconds',
      long: '--grace',
      value: 'TIME',
      help: 'how long the old value stays loadable (its policy, else 7d)',
      parse: (text) => parseDuration(text),
    },
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
  ],
  refuseExtra: NO_VALUE_ARGUMENT,
  refuseFlags: { '--value': NO_VALUE_ARGUMENT },
  examples: [
    ['type or paste the new value without echo', 'mcpvault rotate scavio_api_key'],
    ['make up a random value and keep the old one for a day', 'mcpvault rotate webhook_secret --generate --grace 1d'],
    ['say why', 'new-key | mcpvault rotate scavio_api_key --stdin --reason "left in a chat"'],
  ],
}

/** Registers `rotate`. */
export function addRotateCommand(parent: Command, context: Context, run = runRotate): void {
  addCommand(parent, ROTATE, (options) => run(options, context))
}

/** Replaces a credential's value; the old one stays loadable for the grace. */
export async function runRotate(options: RotateOptions, context: Context): Promise<void> {
  const { name, reason, graceSeconds } = options
  const access = await openForWriting(options, context)
  const vault = openVault(access)
  if (graceSeconds !== undefined && vault.format === 'tutorial') {
    throw new VaultError('INPUT', 'cannot keep the old value for a grace: the tutorial format has no versions', {
      hints: ['mcpvault upgrade'],
    })
  }
  // A typo must not leave the old key live under the right name, and is told before a value is asked for.
  if (vault.describe(name) === undefined) {
    if (!options.create) throw unknownName(name, vault.names())
    checkNewName(name)
  }
  const value = await readValue(`new value of "${name}"`, options, context)
  let isNew = false
  const rotated = await changeVault(access, 'rotate', (draft) => {
    isNew = options.create && !draft.has(name)
    return isNew ? draft.store(name, value, { reason }) : draft.rotate(name, value, { reason, graceSeconds })
  })
  value.wipe()
  if (rotated.retired !== undefined) warnOfTutorialBackup(access)
  const sentence = isNew ? `stored "${name}"` : describeRotation(name, rotated, access.store.locate('vault'))
  createPrinter(context, options).done(sentence, rotationJson(name, rotated))
}

/** The success line of a rotation: which value is live now, and what became of the one before. */
function describeRotation(name: string, rotated: RotatedVersion, vaultPath: string): string {
  if (rotated.version === undefined) return `rotated "${name}"; the previous value survives only in "${vaultPath}.bak"`
  return `rotated "${name}" to version ${rotated.version}; ${describePrevious(rotated)}`
}

/** Says what became of the versions before. */
export function describePrevious(rotated: RotatedVersion): string {
  const until = formatUtc(rotated.previousUntilMs ?? 0).slice(0, 16)
  const retired = rotated.retired === undefined ? '' : `; version ${rotated.retired} was retired`
  return `version ${rotated.previous} stays loadable until ${until}Z${retired}`
}

/** A rotation for `--json`. */
export function rotationJson(name: string, rotated: RotatedVersion): Record<string, unknown> {
  return {
    name,
    version: rotated.version ?? null,
    previous_version: rotated.previous ?? null,
    previous_until: rotated.previousUntilMs === undefined ? null : formatUtc(rotated.previousUntilMs),
    retired_version: rotated.retired ?? null,
  }
}
