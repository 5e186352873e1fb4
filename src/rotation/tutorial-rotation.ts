/** A rotation in the tutorial format: obtain → verify → write → targets and hook, without stages, versions or a journal. */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { backupPath } from '../storage/resolve-target.js'
import { changeVault } from '../vault/change.js'
import { shellWord } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import type { RotatedVersion } from '../vault/vault.js'
import { type RotationDesk, takeStep } from './desk.js'
import { runHook } from './hook.js'
import { isMadeUpstream } from './plan.js'
import { probeValue, requirePinned } from './probe.js'
import { createValue, revokeValue } from './provider.js'
import { parseHook, parseProbe, parseProvider, parseTarget, type ProviderSpec } from './spec.js'
import type { RotationRequest } from './staged.js'
import type { RotationOutcome } from './staged-steps.js'
import { writeTarget } from './target.js'

const LIVE = 'the previous value is live'
const BY_HAND = 'the tutorial format keeps no record of what is left: write the target or run the hook by hand'

/** Options of {@link rotateTutorial}. */
export interface TutorialOptions {
  /** Whether a value that another program has changed meanwhile is left alone. */
  readonly onlyIfUnchanged: boolean
}

/** A value that may have an upstream counterpart. */
interface Made {
  readonly value: Secret
  readonly handle?: string
}

/**
 * Rotates a credential of a tutorial vault; undefined when another program has rotated it meanwhile and that one counts.
 *
 * @throws {VaultError} ROTATION if a step fails, saying which value is live; what `giveValue` and a change throw.
 */
export async function rotateTutorial(
  request: RotationRequest,
  desk: RotationDesk,
  { onlyIfUnchanged }: TutorialOptions,
): Promise<RotationOutcome | undefined> {
  const { name, plan } = request
  const { access } = desk
  requirePinned(plan.verify, name, desk.world)
  const job = { request, desk, id: access.randomBytes(16).toString('hex'), current: loadCurrent(name, desk) }
  const made = await obtain(job)
  try {
    const isVerified = await verify(job, made)
    const rotated = await write(job, made, { onlyIfUnchanged })
    if (rotated === undefined) return undefined
    await follow(job, made.value)
    return { rotated, isVerified }
  } finally {
    made.value.wipe()
    job.current?.wipe()
  }
}

interface TutorialJob {
  readonly request: RotationRequest
  readonly desk: RotationDesk
  readonly id: string
  /** Undefined when it is damaged: rotating is the way out of that. */
  readonly current: Secret | undefined
}

function loadCurrent(name: string, { access }: RotationDesk): Secret | undefined {
  try {
    return openVault(access).load(name, { nowMs: access.now() })
  } catch (error) {
    if (error instanceof VaultError && error.code === 'DAMAGED') return undefined
    throw error
  }
}

async function obtain({ request, desk, id, current }: TutorialJob): Promise<Made> {
  const { name, plan, giveValue } = request
  const provider = parseProvider(plan.provider)
  if (provider.kind === 'manual') {
    if (giveValue === undefined) throw new VaultError('USAGE', 'cannot read a value: no source was given')
    return { value: await giveValue() }
  }
  const asked = { credential: name, version: undefined, idempotencyKey: id, current }
  if (provider.kind === 'generate') return createValue(provider, asked, desk.world)
  try {
    return await takeStep(
      { desk, sentence: `obtain: asking the provider for a new value of "${name}"`, stop: stopped(request) },
      () => createValue(provider, asked, desk.world),
    )
  } catch (error) {
    throw sayingLive(error)
  }
}

async function verify(job: TutorialJob, made: Made): Promise<boolean> {
  const { request, desk } = job
  const { name, plan } = request
  if (plan.verify === undefined) return false
  const probe = parseProbe(plan.verify)
  try {
    await takeStep({ desk, sentence: `verify: trying the new value of "${name}"`, stop: stopped(request) }, () =>
      probeValue(probe, { credential: name, version: undefined, value: made.value }, desk.world),
    )
    return true
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    await giveBack(job, made)
    await changeVault(desk.access, 'rotate', (draft) => draft.logAborted(name, { reason: error.message }))
    throw sayingLive(error)
  }
}

/** Writes the new value into what the file holds by now; undefined when that counts. What is not used is given back. */
async function write(
  job: TutorialJob,
  made: Made,
  { onlyIfUnchanged }: TutorialOptions,
): Promise<RotatedVersion | undefined> {
  const { request, desk, current } = job
  const { name, plan } = request
  const { access } = desk
  let isChanged = false
  try {
    const rotated = await changeVault(access, 'rotate', (draft) => {
      isChanged = current !== undefined && draft.has(name) && !draft.holds(name, current)
      if (isChanged && onlyIfUnchanged) return undefined
      return draft.rotate(name, made.value, { reason: plan.reason })
    })
    if (rotated === undefined) await giveBack(job, made)
    else if (isChanged) {
      const where = `"${backupPath(access.store.locate('vault'))}"`
      access.warn(`another program rotated "${name}" at the same time: its value survives only in ${where}`)
    }
    return rotated
  } catch (error) {
    // Of what may stand nothing is revoked.
    if (error instanceof VaultError && error.code !== 'DURABILITY') await giveBack(job, made)
    throw error
  }
}

/** Revokes a value that will not be used. */
async function giveBack({ request, desk, id, current }: TutorialJob, { value, handle }: Made): Promise<void> {
  const { name, plan } = request
  const provider: ProviderSpec = parseProvider(plan.provider)
  if (provider.kind !== 'command') return
  const asked = { credential: name, version: undefined, idempotencyKey: id, handle, current, revoked: value }
  try {
    await takeStep({ desk, sentence: `abort: asking the provider to revoke the unused value of "${name}"` }, () =>
      revokeValue(provider, asked, desk.world),
    )
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    desk.access.warn(`the unused new key of "${name}" may still work at the provider: ${error.message}`)
  }
}

/** What a signal leaves before the new value is written. */
function stopped({ name, plan }: RotationRequest): string {
  const lost = isMadeUpstream(plan) ? '; its provider may have made a key that nobody has: look there' : ''
  return `the rotation of "${name}" was interrupted; ${LIVE}${lost} (mcpvault rotate ${shellWord(name)})`
}

async function follow({ request, desk }: TutorialJob, value: Secret): Promise<void> {
  const { name, plan } = request
  const stop = `the rotation of "${name}" was interrupted; the new value is live (${BY_HAND})`
  try {
    for (const target of plan.targets) {
      await takeStep({ desk, sentence: `targets: writing the value of "${name}" to ${target}`, stop }, () =>
        writeTarget(parseTarget(target), value, desk.world),
      )
    }
    const { onRotate } = plan
    if (onRotate === undefined) return
    await takeStep({ desk, sentence: `targets: running the hook of "${name}"`, stop }, () =>
      runHook(parseHook(onRotate), { credential: name, version: undefined }, desk.world),
    )
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const { message, hints } = error
    throw new VaultError('ROTATION', `the new value of "${name}" is live, but not all is done: ${message}`, {
      hints: [...hints, BY_HAND],
      cause: error,
    })
  }
}

function sayingLive(error: unknown): unknown {
  if (!(error instanceof VaultError)) return error
  return new VaultError('ROTATION', `${error.message}; ${LIVE}`, { hints: error.hints, cause: error })
}
