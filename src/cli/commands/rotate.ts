import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { makePlan } from '../../rotation/plan.js'
import { type RotationOutcome, startRotation } from '../../rotation/staged.js'
import { rotateTutorial } from '../../rotation/tutorial-rotation.js'
import { changeVault } from '../../vault/change.js'
import { checkNewName, unknownName } from '../../vault/name.js'
import { openVault } from '../../vault/open.js'
import type { Credential, RotationPlan, Vault, VaultAccess } from '../../vault/vault.js'
import { nameOrAsk } from '../ask-missing.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForWriting } from '../open-vault.js'
import { absolutePath } from '../directories.js'
import { graceFlag, PLAN_FLAGS, type PlanOptions } from '../plan-flags.js'
import { pinVerify } from '../pin-probe.js'
import { createPrinter } from '../printer.js'
import {
  canAsk,
  chooseSource,
  hasValueSource,
  NO_VALUE_ARGUMENT,
  readValue,
  VALUE_FLAGS,
  type ValueOptions,
} from '../read-value.js'
import { parseReason } from '../reason.js'
import { rotationDesk } from '../rotation-desk.js'
import { describeRotation, rotationJson } from '../rotation-text.js'
import { warnOfTutorialBackup } from '../side-files.js'

/** Options of `rotate`. */
export interface RotateOptions extends GlobalOptions, ValueOptions, PlanOptions {
  /** Missing only with `due`. */
  readonly name?: string
  readonly create: boolean
  readonly graceSeconds?: number
  readonly reason?: string
  readonly resume: boolean
  readonly abort: boolean
  readonly confirmedClean: boolean
  readonly retired: boolean
  readonly due: boolean
  readonly dryRun: boolean
}

const ROTATE: CommandShape<RotateOptions> = {
  name: 'rotate',
  positionals: [{ key: 'name', arity: 'optional', help: 'the credential; with --due all of them unless one is named' }],
  flags: [
    ...VALUE_FLAGS,
    { key: 'create', long: '--create', help: 'store the credential if there is none of that name' },
    graceFlag('how long the old value stays loadable (its policy, else 7d)'),
    ...PLAN_FLAGS,
    { key: 'reason', long: '--reason', value: 'TEXT', help: 'why; goes into the rotation log', parse: parseReason },
    { key: 'dryRun', long: '--dry-run', help: 'say what would happen' },
    { key: 'resume', long: '--resume', help: 'go on with a rotation that was interrupted' },
    { key: 'abort', long: '--abort', help: 'give up a rotation that was interrupted before the new value was live' },
    {
      key: 'confirmedClean',
      long: '--confirmed-clean',
      help: 'with --abort or --resume: nothing else is at it, and the provider has no stray key',
    },
    { key: 'retired', long: '--retired', help: 'the old value was revoked at its provider: wipe it' },
    { key: 'due', long: '--due', help: 'rotate what is due and needs no person, retire what is past its grace' },
  ],
  refuseExtra: NO_VALUE_ARGUMENT,
  refuseFlags: { '--value': NO_VALUE_ARGUMENT },
  examples: [
    ['type or paste the new value without echo', 'mcpvault rotate scavio_api_key'],
    ['make up a random value and keep the old one for a day', 'mcpvault rotate webhook_secret --generate --grace 1d'],
    ['say why', 'new-key | mcpvault rotate scavio_api_key --stdin --reason "left in a chat"'],
    ['try the new value before it is live', 'mcpvault rotate scavio_api_key --verify scavio'],
    ['the old key is deleted at the provider', 'mcpvault rotate scavio_api_key --retired'],
    ['from a timer', 'mcpvault rotate --due'],
  ],
}

/** Registers `rotate`. */
export function addRotateCommand(parent: Command, context: Context, run = runRotate): void {
  addCommand(parent, ROTATE, (options) => run(options, context))
}

/** Replaces a credential's value in stages; the old one stays loadable for the grace. */
export async function runRotate(given: RotateOptions, context: Context): Promise<number | undefined> {
  checkModes(given)
  if (given.due || given.resume || given.abort || given.retired || given.dryRun) {
    return (await import('../rotate-modes.js')).runMode(given, context)
  }
  const name = canAsk(given, context) ? await nameOrAsk(given, context, 'rotate') : nameOf(given)
  const access = await openForWriting(given, context)
  const options = pinVerify({ ...given, name }, access, context)
  const vault = openVault(access)
  refuseGrace(options, vault)
  const credential = vault.describe(name)
  // A typo must not leave the old key live under the right name, and is told before a value is asked for.
  if (credential === undefined) {
    if (!options.create) throw unknownName(name, vault.names())
    await createCredential(name, { options, context, access })
    return undefined
  }
  const plan = planOf(options, credential)
  if (plan.provider === 'manual') chooseSource(options, context)
  const outcome = await rotateOnce({ name, plan, credential, vault }, { options, context, access })
  if (outcome.rotated.retired !== undefined) warnOfTutorialBackup(access)
  warnOfUnconfirmed(credential, outcome, access)
  const sentence = describeRotation(name, outcome, access)
  createPrinter(context, options).done(sentence, rotationJson(name, outcome))
  return undefined
}

/** Gives the name that every mode but `--due` needs. @throws {VaultError} USAGE */
export function nameOf({ name }: Pick<RotateOptions, 'name'>): string {
  if (name !== undefined) return name
  throw new VaultError('USAGE', 'cannot rotate: the name of a credential is missing', {
    hints: ['mcpvault rotate NAME', 'what is due and needs no person: mcpvault rotate --due'],
  })
}

/** Decides how a credential is rotated; a value source that is named goes before the policy's provider. */
export function planOf(options: RotateOptions, credential: Pick<Credential, 'policy'> | undefined): RotationPlan {
  const isGiven = hasValueSource(options)
  if (isGiven && options.provider !== undefined) {
    throw new VaultError('USAGE', 'cannot rotate: give either --provider or one of --generate, --stdin, --from-file')
  }
  const given = options.generate ? `generate:${options.length ?? 48}` : 'manual'
  if (isGiven) return makePlan(credential?.policy, { ...options, provider: given })
  return makePlan(credential?.policy, options)
}

interface Around {
  readonly options: RotateOptions
  readonly context: Context
  readonly access: VaultAccess
}

interface Rotated {
  readonly name: string
  readonly plan: RotationPlan
  readonly credential: Credential
  readonly vault: Vault
}

async function rotateOnce(
  { name, plan, credential, vault }: Rotated,
  { options, context, access }: Around,
): Promise<RotationOutcome> {
  const { policy } = credential
  const desk = rotationDesk(access, options, context)
  const isIdempotent = policy?.isIdempotent === true && plan.provider === policy.provider
  const giveValue = () => readValue(`new value of "${name}"`, options, context)
  const request = { name, plan, isIdempotent, giveValue, isAtHand: isFromFile(options, context) }
  if (vault.format === 'native') return startRotation(request, desk)
  const outcome = await rotateTutorial(request, desk, { onlyIfUnchanged: false })
  if (outcome === undefined) throw new VaultError('INTERNAL', 'a rotation that was asked for was left out')
  return outcome
}

/** A pipe with a name may keep a reader waiting. */
function isFromFile({ fromFile }: RotateOptions, context: Context): boolean {
  if (fromFile === undefined || fromFile === '-') return false
  return statSync(absolutePath(fromFile, context), { throwIfNoEntry: false })?.isFile() === true
}

async function createCredential(name: string, { options, context, access }: Around): Promise<void> {
  checkNewName(name)
  if (!needsNothing(options)) {
    throw new VaultError('USAGE', `cannot create "${name}" with a provider, a probe, a target or a hook`, {
      hints: ['store it first: mcpvault store NAME; then rotate it'],
    })
  }
  const value = await readValue(`new value of "${name}"`, options, context)
  const { reason, graceSeconds } = options
  let isNew = false
  const rotated = await changeVault(access, 'rotate', (draft) => {
    isNew = !draft.has(name)
    return isNew ? draft.store(name, value, { reason }) : draft.rotate(name, value, { reason, graceSeconds })
  })
  value.wipe()
  const outcome = { rotated, isVerified: false }
  const sentence = isNew ? `stored "${name}"` : describeRotation(name, outcome, access)
  createPrinter(context, options).done(sentence, rotationJson(name, outcome))
}

function needsNothing({ provider, verify, targets, onRotate }: PlanGiven): boolean {
  return provider === undefined && verify === undefined && targets.length === 0 && onRotate === undefined
}

/** @throws {VaultError} INPUT if a grace is asked for where no old value is kept */
export function refuseGrace({ graceSeconds }: RotateOptions, vault: Vault): void {
  if (graceSeconds === undefined || vault.format === 'native') return
  throw new VaultError('INPUT', 'cannot keep the old value for a grace: the tutorial format has no versions', {
    hints: ['mcpvault upgrade'],
  })
}

/** A wiped value may still work where it was made, and from now on nothing here reminds of it. */
function warnOfUnconfirmed(credential: Credential, { rotated }: RotationOutcome, access: VaultAccess): void {
  const retired = credential.versions.find(({ version }) => version === rotated.retired)
  if (retired?.revoker !== 'person') return
  access.warn(
    `nobody has said that version ${retired.version} of "${credential.name}" was revoked: if its provider still takes it, revoke it there`,
  )
}

interface PlanGiven extends Omit<PlanOptions, 'onRotate'> {
  readonly onRotate?: string | undefined
}

const MODES = ['resume', 'abort', 'retired', 'due'] as const

/** @throws {VaultError} USAGE if flags are given that do not belong together */
function checkModes(options: RotateOptions): void {
  const given = MODES.filter((mode) => options[mode])
  if (given.length > 1) {
    throw new VaultError('USAGE', 'cannot rotate: give only one of --resume, --abort, --retired and --due')
  }
  const [mode] = given
  if (options.confirmedClean && mode !== 'abort' && mode !== 'resume') {
    throw new VaultError('USAGE', 'cannot use --confirmed-clean: it belongs to --abort and --resume')
  }
  if (mode === undefined) return
  // A target that has moved for good must not keep a rotation from being finished.
  const decided = mode === 'resume' ? { ...options, targets: [], onRotate: undefined } : options
  const hasPlan = !needsNothing(decided) || options.graceSeconds !== undefined
  if (mode !== 'due' && hasPlan) {
    throw new VaultError('USAGE', `cannot use --${mode} with flags that say how to rotate: that was decided before`)
  }
  if (mode !== 'resume' && hasValueSource(options)) {
    throw new VaultError('USAGE', `cannot use --${mode} with a new value`)
  }
  if (options.create) throw new VaultError('USAGE', `cannot use --${mode} with --create`)
  if (options.dryRun && mode !== 'due') throw new VaultError('USAGE', `cannot use --${mode} with --dry-run`)
}
