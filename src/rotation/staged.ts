/**
 * The staged rotation of a native credential: journal → obtain → verify → promote → targets and hook.
 *
 * Each step ends in a commit of its own and the lock is held for those alone, so that a kill leaves the vault in one named
 * stage, which `resumeRotation` goes on from and `abortRotation` goes back from. The journal holds the owner, who alone
 * may go on. A value that is at hand, with nothing to try, is journaled and promoted in one commit.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { shellWord } from '../vault/name.js'
import { changeVault } from '../vault/change.js'
import { openVault } from '../vault/open.js'
import { describeStop, liveVersion, waysOut } from '../vault/rotation-stop.js'
import type { Rotation, RotationPlan } from '../vault/vault.js'
import { requireTrustFor, type RotationDesk, selfOf } from './desk.js'
import { followRotation } from './follow.js'
import { generateValue } from './generated-value.js'
import { isMadeUpstream, revokerOf } from './plan.js'
import { requirePinned } from './probe.js'
import { findOlderUpstream } from './retire.js'
import { parseProvider } from './spec.js'
import { discardPending, finishRotation, type Job, type RotationOutcome, type ValueSource } from './staged-steps.js'
import { inTheWay, type JudgeOptions, judgeRotation, refuseInTheWay, type RotationState } from './stuck.js'

export type { RotationOutcome, ValueSource } from './staged-steps.js'

/** A rotation that is asked for. */
export interface RotationRequest {
  readonly name: string
  readonly plan: RotationPlan
  /** Whether the plan's provider has said that it honours idempotency keys. */
  readonly isIdempotent: boolean
  /** Gives the new value where the plan's provider is a person. */
  readonly giveValue: ValueSource
  /** Whether `giveValue` waits for nobody, neither a person nor another program. */
  readonly isAtHand?: boolean
}

/**
 * Rotates a credential.
 *
 * What an earlier process left at the stage `obtain` with nobody asked upstream holds nothing, so it is begun anew.
 *
 * @throws {VaultError} LOCKED while another rotation of that name is under way, ROTATION if one was interrupted or a step
 * fails (the message says which version is live), what `giveValue` throws, and what a change of the vault throws.
 */
export async function startRotation(request: RotationRequest, desk: RotationDesk): Promise<RotationOutcome> {
  const { name, plan } = request
  requireTrustFor(plan, `rotate "${name}"`, desk)
  requirePinned(plan.verify, name, desk.world)
  const owner = selfOf(desk)
  const id = desk.access.randomBytes(16).toString('hex')
  const isCreateUnknown = isMadeUpstream(plan) && !request.isIdempotent
  const value = await takeAtHand(request, desk)
  try {
    return await explainStops(name, desk, async () => {
      const { rotation, rotated } = await changeVault(desk.access, 'rotate', ({ staged }) => {
        const found = staged.find(name)
        refuseInTheWay(found, judging(desk))
        if (found !== undefined) staged.end(found)
        const begun = staged.begin({ name, id, owner, isCreateUnknown, plan })
        if (value === undefined) return { rotation: begun }
        const promoted = staged.promote(begun, { value, revoker: revokerOf(plan, undefined) })
        return { rotation: staged.find(name), rotated: promoted }
      })
      if (rotated === undefined) return finishRotation({ rotation, desk, giveValue: request.giveValue })
      if (rotation !== undefined) await followRotation({ rotation, desk })
      return { rotated, isVerified: false }
    })
  } finally {
    value?.wipe()
  }
}

/**
 * Gives the new value if nothing has to be waited for, nor tried, nor revoked first: then the rotation is one commit, and
 * no journal entry is needed for others to see.
 */
async function takeAtHand(request: RotationRequest, desk: RotationDesk): Promise<Secret | undefined> {
  const { name, plan, giveValue, isAtHand } = request
  const provider = parseProvider(plan.provider)
  const isNow = provider.kind === 'generate' || (provider.kind === 'manual' && isAtHand === true)
  if (!isNow || plan.verify !== undefined) return undefined
  const vault = openVault(desk.access)
  if (vault.rotations.some((one) => one.name === name) || findOlderUpstream(vault, name).length > 0) return undefined
  return provider.kind === 'generate' ? generateValue(provider.length, desk.world) : giveValue?.()
}

/** Where a disk ends a rotation that is in the journal, the error says which version is live and which way leads out. */
async function explainStops<T>(name: string, desk: RotationDesk, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof VaultError && ['IO', 'DURABILITY'].includes(error.code))) throw error
    const found = openVault(desk.access).rotations.find((one) => one.name === name)
    if (found === undefined) throw error
    const hints = [...error.hints, ...waysOut(found)]
    throw new VaultError(error.code, `${error.message}; ${liveVersion(found)}`, { hints, cause: error })
  }
}

/** How an interrupted rotation is gone on with. */
export interface ResumeOptions {
  readonly giveValue: ValueSource
  /** What follows instead of what was decided: a target may have moved for good. Empty or undefined leaves it. */
  readonly targets?: readonly string[]
  readonly onRotate?: string | undefined
  /** The user has seen that no process of another machine is at it any more. */
  readonly isConfirmedClean?: boolean
}

/**
 * Goes on with an interrupted rotation, with the same idempotency key.
 *
 * @throws {VaultError} NOT_FOUND if there is none, LOCKED while somebody is at it, ROTATION if going on could make a second
 * key, and what {@link startRotation} throws.
 */
export async function resumeRotation(
  name: string,
  { giveValue, targets = [], onRotate, isConfirmedClean = false }: ResumeOptions,
  desk: RotationDesk,
): Promise<RotationOutcome> {
  const owner = selfOf(desk)
  const rotation = await changeVault(desk.access, 'rotate', ({ staged }) => {
    const found = findStopped(name, {
      found: staged.find(name),
      action: 'resume the rotation of',
      desk,
      isConfirmedClean,
    })
    if (found.isCreateUnknown) {
      throw new VaultError('ROTATION', `cannot resume the rotation of "${name}": it ${describeStop(found)}`, {
        hints: waysOut(found),
      })
    }
    const { plan } = found
    const changed = { targets: targets.length > 0 ? targets : plan.targets, onRotate: onRotate ?? plan.onRotate }
    const next = { ...plan, ...changed }
    requireTrustFor(next, `resume the rotation of "${name}"`, desk)
    if (found.stage !== 'targets') requirePinnedStill(found, desk)
    return staged.assign(found, { owner, plan: next })
  })
  return explainStops(name, desk, () => finishRotation({ rotation, desk, giveValue }))
}

/** What was decided when it began holds, so that only the file as it was leads on. */
function requirePinnedStill({ name, plan }: Rotation, { world }: RotationDesk): void {
  try {
    requirePinned(plan.verify, name, world)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const hints = [
      'bring the file back as it was when the rotation began',
      `mcpvault rotate ${shellWord(name)} --abort`,
    ]
    throw new VaultError(error.code, error.message, { hints, cause: error })
  }
}

/** How an interrupted rotation is given up. */
export interface AbortOptions {
  /** The user has seen that the provider has no key that nobody knows, and that no process is at it any more. */
  readonly isConfirmedClean: boolean
  readonly reason?: string | undefined
}

/**
 * Gives an interrupted rotation up: a pending value is revoked at its provider and wiped. Gives what is live now.
 *
 * @throws {VaultError} NOT_FOUND if there is none, LOCKED while somebody is at it, ROTATION if it has been promoted already,
 * or the provider may have made a key and nobody has looked.
 */
export async function abortRotation(name: string, options: AbortOptions, desk: RotationDesk): Promise<Rotation> {
  const owner = selfOf(desk)
  const rotation = await changeVault(desk.access, 'rotate', ({ staged }) => {
    const action = 'abort the rotation of'
    const { isConfirmedClean } = options
    const stopped = findStopped(name, { found: staged.find(name), action, desk, isConfirmedClean })
    if (stopped.stage === 'targets') {
      const resume = `mcpvault rotate ${shellWord(name)} --resume`
      const isElsewhere = judge(stopped, desk) === 'elsewhere'
      throw new VaultError('ROTATION', `cannot ${action} "${name}": ${liveVersion(stopped)} already`, {
        hints: isElsewhere ? [`${resume} --confirmed-clean`] : [`mcpvault rollback ${shellWord(name)}`, resume],
      })
    }
    if (stopped.isCreateUnknown && !isConfirmedClean) {
      throw new VaultError('ROTATION', `cannot ${action} "${name}": it ${describeStop(stopped)}`, {
        hints: waysOut(stopped),
      })
    }
    // The provider is asked to revoke what is pending.
    if (stopped.stage === 'verify') requireTrustFor(stopped.plan, `${action} "${name}"`, desk)
    return staged.assign(stopped, { owner })
  })
  const job: Job = { rotation, desk, giveValue: undefined }
  const isUnsure = rotation.stage === 'obtain' && isMadeUpstream(rotation.plan) && !rotation.isCreateUnknown
  if (isUnsure) {
    desk.access.warn(
      `the provider may have made a key for "${name}" since the rotation began, which nothing here knows: look there`,
    )
  }
  await discardPending(job, options.reason ?? 'given up by hand')
  return rotation
}

function judge(rotation: Rotation, desk: RotationDesk): RotationState {
  return judgeRotation(rotation, judging(desk))
}

function judging({ world, access }: RotationDesk): JudgeOptions {
  return { host: world.host, nowMs: access.now() }
}

interface Finding {
  readonly found: Rotation | undefined
  readonly action: string
  readonly desk: RotationDesk
  /** Whether a rotation of a process that cannot be seen from here counts as stopped. */
  readonly isConfirmedClean: boolean
}

function findStopped(name: string, { found, action, desk, isConfirmedClean }: Finding): Rotation {
  if (found === undefined) {
    throw new VaultError('NOT_FOUND', `cannot ${action} "${name}": none is under way`, {
      hints: [`mcpvault history ${shellWord(name)}`],
    })
  }
  const state = judge(found, desk)
  if (state === 'stopped' || (state === 'elsewhere' && isConfirmedClean)) return found
  throw inTheWay(found, state, action)
}
