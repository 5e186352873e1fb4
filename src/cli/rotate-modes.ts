/**
 * What `rotate` does beside a rotation from its beginning: --resume, --abort, --retired, --due and --dry-run.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import { describePlan } from '../rotation/dry-run.js'
import { requirePinned } from '../rotation/probe.js'
import { confirmRetired } from '../rotation/retire.js'
import { type DueListener, foreseeDue, rotateDue } from '../rotation/rotate-due.js'
import { abortRotation, resumeRotation } from '../rotation/staged.js'
import { refuseInTheWay } from '../rotation/stuck.js'
import { backupPath } from '../storage/resolve-target.js'
import { unknownName } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import { liveVersion } from '../vault/rotation-stop.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import { nameOf, planOf, refuseGrace, type RotateOptions } from './commands/rotate.js'
import type { Context } from './context.js'
import { openForReading, openForWriting } from './open-vault.js'
import { pinVerify } from './pin-probe.js'
import { createPrinter } from './printer.js'
import { readValue } from './read-value.js'
import { rotationDesk } from './rotation-desk.js'
import { describeRotation, rotationJson } from './rotation-text.js'
import { warnOfTutorialBackup } from './side-files.js'

const FAILED_STATUS = 8

/** Runs the mode that was asked for; a number is the exit status. */
export async function runMode(options: RotateOptions, context: Context): Promise<number | undefined> {
  if (options.dryRun) return options.due ? dryRunDue(options, context) : dryRun(options, context)
  const access = await openForWriting(options, context)
  const around: Around = { options: pinVerify(options, access, context), context, access }
  if (options.due) return due(around)
  const name = nameOf(options)
  const vault = openVault(access)
  if (vault.describe(name) === undefined) throw unknownName(name, vault.names())
  if (options.resume) await resume(name, around)
  else if (options.abort) await abort(name, around)
  else await retire(name, around, vault)
  return undefined
}

interface Around {
  readonly options: RotateOptions
  readonly context: Context
  readonly access: VaultAccess
}

async function resume(name: string, { options, context, access }: Around): Promise<void> {
  const giveValue = () => readValue(`new value of "${name}"`, options, context)
  const { targets, onRotate, confirmedClean: isConfirmedClean } = options
  const desk = rotationDesk(access, options, context)
  const outcome = await resumeRotation(name, { giveValue, targets, onRotate, isConfirmedClean }, desk)
  const sentence = describeRotation(name, outcome, access)
  createPrinter(context, options).done(sentence, rotationJson(name, outcome))
}

async function abort(name: string, { options, context, access }: Around): Promise<void> {
  const { confirmedClean: isConfirmedClean, reason } = options
  const desk = rotationDesk(access, options, context)
  const rotation = await abortRotation(name, { isConfirmedClean, reason }, desk)
  const sentence = `aborted the rotation of "${name}"; ${liveVersion(rotation)}`
  createPrinter(context, options).done(sentence, {
    name,
    aborted_version: rotation.version,
    version: rotation.version - 1,
  })
}

async function retire(name: string, { options, context, access }: Around, vault: Vault): Promise<void> {
  if (vault.format === 'tutorial') {
    const backup = `"${backupPath(access.store.locate('vault'))}"`
    throw new VaultError('INPUT', `cannot retire anything of "${name}": the tutorial format keeps no versions`, {
      hints: [`the value before the last write survives only in ${backup}`, 'mcpvault upgrade'],
    })
  }
  const versions = await confirmRetired(name, options, { access })
  warnOfTutorialBackup(access)
  const current = openVault(access)
    .describe(name)
    ?.versions.find(({ stage }) => stage === 'current')?.version
  const which = versions.length === 1 ? `version ${versions[0]}` : `versions ${versions.join(', ')}`
  createPrinter(context, options).done(`retired ${which} of "${name}"; version ${current ?? '?'} is live`, {
    name,
    version: current ?? null,
    retired_versions: versions,
  })
}

async function due({ options, context, access }: Around): Promise<number> {
  const printer = createPrinter(context, options)
  const report = {
    rotated: [] as unknown[],
    retired: [] as unknown[],
    waiting: [] as unknown[],
    failed: [] as unknown[],
  }
  const tell = (sentence: string): void => {
    if (!options.json && !options.quiet) printer.done(sentence, undefined)
  }
  const listener: DueListener = {
    rotated(name, outcome) {
      report.rotated.push(rotationJson(name, outcome))
      tell(describeRotation(name, outcome, access))
    },
    retired({ name, version: { version } }) {
      report.retired.push({ name, version })
      tell(`retired version ${version} of "${name}"`)
    },
    waiting(name, reason) {
      report.waiting.push({ name, reason })
      tell(`"${name}" waits for a person: ${reason}`)
    },
    failed(name, error) {
      report.failed.push({ name, code: error.code, message: error.message, hints: error.hints })
      if (!options.json) sayFailure(error, printer.warn)
    },
  }
  const names = dueNames(options, openVault(access))
  await rotateDue({ names, flags: options }, rotationDesk(access, options, context), listener)
  if (options.json) printer.json(report)
  return report.failed.length === 0 ? 0 : FAILED_STATUS
}

/** A name that is given is one that there is: a typo must not look like a broken record. @throws {VaultError} NOT_FOUND */
function dueNames({ name }: RotateOptions, vault: Vault): readonly string[] {
  if (name === undefined) return []
  if (vault.describe(name) === undefined) throw unknownName(name, vault.names())
  return [name]
}

/** A timer's mail has the way out, too. */
function sayFailure({ message, hints }: VaultError, warn: (sentence: string) => void): void {
  warn(hints.length === 0 ? message : `${message} (${hints.join('; or ')})`)
}

async function dryRun(given: RotateOptions, context: Context): Promise<undefined> {
  const name = nameOf(given)
  const { vault, access } = await openForReading(given, context, 'if-there')
  const options = pinVerify(given, access, context)
  const credential = vault.describe(name)
  if (credential === undefined) throw unknownName(name, vault.names())
  refuseGrace(options, vault)
  // What would be refused is refused here, too: a rehearsal that goes well must mean something.
  refuseInTheWay(
    vault.rotations.find((one) => one.name === name),
    { host: context.host, nowMs: access.now() },
  )
  const plan = planOf(options, credential)
  requirePinned(plan.verify, name, rotationDesk(access, options, context).world)
  const steps = describePlan(plan, credential)
  const printer = createPrinter(context, options)
  if (options.json) printer.json({ name, steps })
  else {
    await printer.table({ headers: ['step', 'what'], rows: steps.map(({ step, what }) => [step, what]), empty: '' })
  }
  return undefined
}

async function dryRunDue(given: RotateOptions, context: Context): Promise<undefined> {
  const { vault, access } = await openForReading(given, context, 'if-there')
  const options = pinVerify(given, access, context)
  const names = dueNames(options, vault)
  const intents = foreseeDue({ names, flags: options }, vault, rotationDesk(access, options, context))
  const printer = createPrinter(context, options)
  if (options.json) printer.json(intents)
  else {
    await printer.table({
      headers: ['name', 'would', 'why'],
      rows: intents.map(({ name, does, what }) => [name, does, what]),
      empty: 'nothing would be done',
    })
  }
  return undefined
}
