import type { Command } from 'commander'
import { readVaultId } from '../../doctor/content.js'
import { examine, type Report } from '../../doctor/examine.js'
import { type Finding, isTroubled, sortFindings } from '../../doctor/finding.js'
import { describeHolder, findLocks } from '../../doctor/locks.js'
import { type KeyState, lookingOnly, type Scene } from '../../doctor/scene.js'
import { EXIT_CODES, VaultError } from '../../errors.js'
import { breakLock, type LockSight } from '../../storage/lock.js'
import type { Store } from '../../storage/store.js'
import { ageSlotsOf, readAgeSlots } from '../../vault/age-key.js'
import type { AgeKey, VaultKey } from '../../vault/key.js'
import { addCommand } from '../command.js'
import { requireConfirmation } from '../confirm.js'
import type { Context } from '../context.js'
import { mcpvaultDirectory } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { type FoundKey, findGivenKey } from '../key-source.js'
import { chooseKey, createAccess, findVault } from '../open-vault.js'
import { wrapText } from '../picture.js'
import { colorLevel, countOf, createPrinter, type Tone } from '../printer.js'
import { visible } from '../visible.js'

/** Options of `doctor`. */
export interface DoctorOptions extends GlobalOptions {
  readonly asCron: boolean
  readonly breakLock: boolean
  readonly yes: boolean
}

const DOCTOR: CommandShape<DoctorOptions> = {
  name: 'doctor',
  flags: [
    { key: 'asCron', long: '--as-cron', help: 'rehearse what schedule prints, in an empty environment as cron has it' },
    { key: 'breakLock', long: '--break-lock', help: 'show who holds the lock, ask, and break it' },
    { key: 'yes', long: '--yes', help: 'do not ask, unless the holder runs on this machine' },
  ],
  examples: [
    ['is anything wrong with the vault or around it?', 'mcpvault doctor'],
    ['would rotation work at three in the morning?', 'mcpvault doctor --as-cron'],
    ['a lock was left behind by a container that is gone', 'mcpvault doctor --break-lock'],
  ],
}

const TONES: Readonly<Record<Finding['severity'], Tone>> = { error: 'bad', warning: 'warn', note: 'faint' }

/** Registers `doctor`. */
export function addDoctorCommand(parent: Command, context: Context, run = runDoctor): void {
  addCommand(parent, DOCTOR, (options) => run(options, context))
}

/** Looks for what is wrong with the vault and around it; gives the status of FOUND when there is more than notes. */
export async function runDoctor(options: DoctorOptions, context: Context): Promise<number> {
  const scene = await setScene(options, context)
  if (options.breakLock) return breakLocks(scene, options, context)
  if (options.asCron) return rehearseAsCron(scene, options, context)
  const report = examine(scene)
  await print(report, scene, { options, context })
  return isTroubled(report.findings) ? EXIT_CODES.FOUND : 0
}

async function rehearseAsCron({ access }: Scene, options: DoctorOptions, context: Context): Promise<number> {
  const { rehearse } = await import('../rehearsal.js')
  const findings = sortFindings(await rehearse(access, options, context))
  await printFindings(findings, options, context)
  return isTroubled(findings) ? EXIT_CODES.FOUND : 0
}

async function setScene(options: DoctorOptions, context: Context): Promise<Scene> {
  const path = findVault(options, context)
  const quiet = { context, warn: () => {} }
  const { store } = createAccess(path, options, quiet)
  const { state, key } = await findKey(options, context, store)
  const access = createAccess(path, options, { ...quiet, key })
  return {
    access: { ...access, by: '', store: lookingOnly(access.store) },
    key: state,
    host: context.host,
    stateDirectory: mcpvaultDirectory('XDG_STATE_HOME', context),
    env: context.env,
  }
}

async function findKey(
  options: DoctorOptions,
  context: Context,
  store: Store,
): Promise<{ readonly state: KeyState; readonly key?: VaultKey }> {
  const request = { isPassive: true, warn: () => {}, store }
  let found: FoundKey | undefined
  try {
    found = findGivenKey(options, context, request)
  } catch (error) {
    if (error instanceof VaultError) return { state: { kind: 'refused', error } }
    throw error
  }
  if (found?.key.type === 'age') {
    const refused = await readIdentities(found.key, store)
    if (refused !== undefined) return { state: { kind: 'refused', error: refused } }
  }
  if (found?.isImplicit) found = await unlessUnreadable(chooseKey(options, context, request), found)
  if (found === undefined) return { state: { kind: 'none' } }
  return { state: { kind: 'found', source: found.source, path: found.path }, key: found.key }
}

async function readIdentities(key: AgeKey, store: Store): Promise<VaultError | undefined> {
  try {
    await readAgeSlots(key, ageSlotsOf(store))
    return undefined
  } catch (error) {
    if (error instanceof VaultError) return error
    throw error
  }
}

/** Whether a key file that nobody named belongs to this vault is not known where the vault cannot be read. */
async function unlessUnreadable(chosen: Promise<FoundKey | undefined>, found: FoundKey): Promise<FoundKey | undefined> {
  try {
    return await chosen
  } catch (error) {
    if (error instanceof VaultError) return found
    throw error
  }
}

async function print(
  { findings, format, isUnlocked }: Report,
  { access }: Scene,
  { options, context }: { readonly options: DoctorOptions; readonly context: Context },
): Promise<void> {
  await printFindings(findings, options, context)
  if (options.json || options.quiet) return
  const counts = (['error', 'warning', 'note'] as const).flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length
    return count === 0 ? [] : [countOf(count, severity)]
  })
  const about = format === undefined ? '' : ` (${format} format, ${isUnlocked ? 'with' : 'without'} the key)`
  const result = counts.length === 0 ? 'nothing to mend' : counts.join(', ')
  context.stderr.write(`${visible(`examined "${access.store.locate('vault')}"${about}: ${result}`)}\n`)
}

async function printFindings(findings: readonly Finding[], options: DoctorOptions, context: Context): Promise<void> {
  const { stdout, env } = context
  if (options.json) createPrinter(context, options).json(findings)
  else if (stdout.isTerminal)
    stdout.write(await drawFindings(findings, colorLevel(stdout, env, options.color), stdout.columns))
  else
    stdout.write(
      findings
        .map(({ severity, id, what, mend }) => `${[severity, id, what, mend].map(visible).join('\t')}\n`)
        .join(''),
    )
}

/** A finding a paragraph: what was found, and below it the command, unbroken so that it can be copied. */
async function drawFindings(findings: readonly Finding[], level: 0 | 1 | 2 | 3, columns: number): Promise<string> {
  const paint = level === 0 ? undefined : (await import('../output.js')).paint
  const margin = 'warning  '.length
  return findings
    .map(({ severity, what, mend }) => {
      const label = severity.padEnd(margin)
      const [first = '', ...rest] = wrapText(visible(what), Math.max(20, columns - margin))
      const lines = [...rest, `$ ${visible(mend)}`].map((line) => `${' '.repeat(margin)}${line}\n`)
      return `${paint ? paint(label, TONES[severity], level) : label}${first}\n${lines.join('')}`
    })
    .join('')
}

async function breakLocks(scene: Scene, options: DoctorOptions, context: Context): Promise<number> {
  const printer = createPrinter(context, options)
  const broken: LockSight[] = []
  const sights = findLocks(scene, readVaultId(scene))
  for (const sight of sights) {
    await confirmBreaking(sight, options, context)
    const isBroken = breakLock(sight, { randomBytes: (length) => context.randomBytes(length) })
    if (isBroken) broken.push(sight)
    else printer.warn(`the lock "${sight.path}" was released or taken by another process meanwhile, and was left alone`)
  }
  const named = broken.map((sight) => `the lock "${sight.path}" of ${describeHolder(sight)}`)
  const nothing = sights.length === 0 ? 'there is no lock to break' : 'no lock was broken'
  printer.done(named.length === 0 ? nothing : `broke ${named.join(' and ')}`, {
    broken: broken.map(({ path }) => path),
  })
  return 0
}

async function confirmBreaking(sight: LockSight, options: DoctorOptions, context: Context): Promise<void> {
  const { path, standing } = sight
  const holder = describeHolder(sight)
  const canAsk = options.input && context.stdin.isTerminal && context.stderr.isTerminal
  if (standing === 'live' && !canAsk) {
    throw new VaultError('LOCKED', `cannot break "${path}" without asking: ${holder} is running on this machine`, {
      hints: ['wait for it, or end it; on a terminal mcpvault doctor --break-lock asks whether to break its lock'],
    })
  }
  const fates = { live: ', which is running and will lose what it is writing', dead: ', which is gone' }
  const where = standing === 'live' || standing === 'dead' ? fates[standing] : ''
  const what =
    standing === 'unreadable' ? `"${path}", which is no lock that mcpvault wrote` : `"${path}" of ${holder}${where}`
  await requireConfirmation(`Break the lock ${what}?`, { ...options, yes: options.yes && standing !== 'live' }, context)
}
