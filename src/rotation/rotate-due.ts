/**
 * What a timer runs: rotates what is due and needs no person, retires what is past its grace, and reports the rest.
 *
 * @module
 */

import { DAY_SECONDS } from '../duration.js'
import { VaultError } from '../errors.js'
import { shellWord } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import { describeStop, waysOut } from '../vault/rotation-stop.js'
import type { Rotation, Vault } from '../vault/vault.js'
import { findAges } from './ages.js'
import type { RotationDesk } from './desk.js'
import { DEFAULT_MAX_AGE_SECONDS, type DueReason, type DueState, dueState } from './due.js'
import { makePlan, needsNobody, type PlanFlags } from './plan.js'
import { requirePinned } from './probe.js'
import { findExpired, retireAll, type Retiring } from './retire.js'
import { type RotationOutcome, startRotation } from './staged.js'
import { inTheWay, isHarmless, isStuck, judgeRotation } from './stuck.js'
import { rotateTutorial } from './tutorial-rotation.js'

/** Told of everything as it happens. */
export interface DueListener {
  rotated(name: string, outcome: RotationOutcome): void
  retired(retiring: Retiring): void
  /** Due, and waiting for a person. */
  waiting(name: string, why: string): void
  /** Makes the run a failure. */
  failed(name: string, error: VaultError): void
}

/** What is rotated when it is due. */
export interface DueOptions {
  /** All credentials when it is empty. */
  readonly names: readonly string[]
  readonly flags: PlanFlags
}

/** States of a credential that a timer can do nothing about and must not pass over. */
const BROKEN: readonly (DueReason | undefined)[] = ['clock skew', 'no record', 'unreadable date']

/**
 * Rotates one credential after another and goes on after a failure.
 *
 * @throws {VaultError} what opening the vault throws; everything else goes to the listener.
 */
export async function rotateDue(options: DueOptions, desk: RotationDesk, listener: DueListener): Promise<void> {
  const vault = openVault(desk.access)
  const names = options.names.length > 0 ? options.names : vault.names()
  const ages = findAges(vault, names, desk.access)
  for (const name of names) {
    const age = ages.get(name) ?? { sinceMs: undefined }
    const due = dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: desk.access.now() })
    try {
      await attend({ name, due, vault }, options.flags, { desk, listener })
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      listener.failed(name, error)
    }
  }
  const wanted = new Set(names)
  const expired = findExpired(openVault(desk.access), desk.access.now()).filter(({ name }) => wanted.has(name))
  const { retired, failed } = await retireAll(expired, desk)
  for (const one of retired) listener.retired(one)
  for (const { name, error } of failed) listener.failed(name, error)
}

/** What a run would do with a credential. */
export interface DueIntent {
  readonly name: string
  readonly does: 'rotate' | 'wait' | 'retire' | 'fail'
  /** Why, or for `retire` which version. */
  readonly what: string
}

/** Says what a run would do, and does none of it. */
export function foreseeDue(options: DueOptions, vault: Vault, desk: RotationDesk): readonly DueIntent[] {
  const names = options.names.length > 0 ? options.names : vault.names()
  const ages = findAges(vault, names, desk.access)
  const intents = names.flatMap((name): readonly DueIntent[] => {
    const age = ages.get(name) ?? { sinceMs: undefined }
    const due = dueState({ maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, ...age, nowMs: desk.access.now() })
    try {
      const task = decide({ name, due, vault }, options.flags, desk)
      return task === undefined ? [] : [{ name, does: task.does, what: task.why }]
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      return [{ name, does: 'fail', what: error.message }]
    }
  })
  const wanted = new Set(names)
  const expired = findExpired(vault, desk.access.now()).filter(({ name }) => wanted.has(name))
  return [
    ...intents,
    ...expired.map(({ name, version }): DueIntent => ({ name, does: 'retire', what: `version ${version.version}` })),
  ]
}

/** A credential that is looked at. */
interface Attended {
  readonly name: string
  readonly due: DueState
  readonly vault: Vault
}

interface Around {
  readonly desk: RotationDesk
  readonly listener: DueListener
}

async function attend(attended: Attended, flags: PlanFlags, { desk, listener }: Around): Promise<void> {
  const { name, vault } = attended
  const task = decide(attended, flags, desk)
  if (task === undefined) return
  if (task.does === 'wait') {
    listener.waiting(name, task.why)
    return
  }
  const policy = vault.describe(name)?.policy
  const plan = makePlan(policy, flags)
  const isIdempotent = policy?.isIdempotent === true && plan.provider === policy.provider
  const request = { name, plan, isIdempotent, giveValue: undefined }
  const outcome =
    vault.format === 'tutorial'
      ? await rotateTutorial(request, desk, { onlyIfUnchanged: true })
      : await startRotation(request, desk)
  if (outcome !== undefined) listener.rotated(name, outcome)
}

/** What is to be done about a credential; undefined for nothing. @throws {VaultError} ROTATION if it needs a hand */
function decide(
  { name, due, vault }: Attended,
  flags: PlanFlags,
  desk: RotationDesk,
): { readonly does: 'rotate' | 'wait'; readonly why: string } | undefined {
  const rotation = vault.rotations.find((one) => one.name === name)
  if (rotation !== undefined && !isPassable(rotation, desk)) return undefined
  if (BROKEN.includes(due.reason)) throw broken(name, due)
  const why = due.isDue ? due.reason : undefined
  if (why === undefined) return undefined
  if (why === 'leak' && isNew({ name, vault, nowMs: desk.access.now() })) {
    return { does: 'wait', why: 'leak within a day of the last rotation' }
  }
  const policy = vault.describe(name)?.policy
  const isWaiting = why === 'old key not revoked' || !needsNobody(policy, flags)
  if (!isWaiting) requirePinned(flags.verify ?? policy?.verify, name, desk.world)
  return { does: isWaiting ? 'wait' : 'rotate', why }
}

/**
 * Whether a rotation in the journal lets the credential be attended to: one that nothing was made for is begun anew.
 *
 * @throws {VaultError} ROTATION if it was interrupted and needs a hand.
 */
function isPassable(rotation: Rotation, { world, access }: RotationDesk): boolean {
  const judging = { host: world.host, nowMs: access.now() }
  if (!isStuck(rotation, judging)) return false
  const state = judgeRotation(rotation, judging)
  if (state !== 'stopped') throw inTheWay(rotation, state, 'rotate')
  if (isHarmless(rotation)) return true
  throw new VaultError('ROTATION', `a rotation of "${rotation.name}" ${describeStop(rotation)}`, {
    hints: waysOut(rotation),
  })
}

interface Asked {
  readonly name: string
  readonly vault: Vault
  readonly nowMs: number
}

/** Whoever finds the new value in the same place again and again must not make the timer rotate for ever. */
function isNew({ name, vault, nowMs }: Asked): boolean {
  const current = vault.describe(name)?.versions.find(({ stage }) => stage === 'current')
  return current !== undefined && nowMs - current.createdMs < DAY_SECONDS * 1000
}

function broken(name: string, { reason }: DueState): VaultError {
  return new VaultError('ROTATION', `cannot tell whether "${name}" is due: ${reason}`, {
    hints: reason === 'clock skew' ? ['mcpvault doctor'] : [`mcpvault history ${shellWord(name)}`],
  })
}
