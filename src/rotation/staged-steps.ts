/** The steps of a staged rotation, from whatever stage it is at. */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { changeVault } from '../vault/change.js'
import { openVault } from '../vault/open.js'
import { liveVersion, waysOut } from '../vault/rotation-stop.js'
import type { RotatedVersion, Rotation } from '../vault/vault.js'
import { probeValue } from './probe.js'
import { type CreatedValue, createValue, isRefusal, revokeValue } from './provider.js'
import { type RotationDesk, takeStep } from './desk.js'
import { followRotation } from './follow.js'
import { isMadeUpstream, revokerOf } from './plan.js'
import { retireOlder } from './retire.js'
import { parseProbe, parseProvider } from './spec.js'

/** Gives a value that a person has; the caller wipes it. */
export type ValueSource = (() => Promise<Secret>) | undefined

/** A rotation that this process owns. */
export interface Job {
  readonly rotation: Rotation
  readonly desk: RotationDesk
  readonly giveValue: ValueSource
}

/** What a rotation has done. */
export interface RotationOutcome {
  readonly rotated: RotatedVersion
  readonly isVerified: boolean
}

/** Takes all steps that are left. */
export async function finishRotation(job: Job): Promise<RotationOutcome> {
  const { rotation } = job
  if (rotation.stage === 'obtain') return obtain(job)
  if (rotation.stage === 'verify') return verify(job, readPending(job))
  return { rotated: await followOnly(job), isVerified: false }
}

/** What is promoted already only has to be written elsewhere. */
async function followOnly(job: Job): Promise<RotatedVersion> {
  await followRotation(job)
  return { version: job.rotation.version, previous: undefined, previousUntilMs: undefined, retired: undefined }
}

async function obtain(job: Job): Promise<RotationOutcome> {
  const { plan } = job.rotation
  const made = isMadeUpstream(plan) ? await askProvider(job) : { value: await takeValue(job) }
  // A value that came from here can come again: nothing is lost when it is not kept before it is live.
  if (plan.verify === undefined && !isMadeUpstream(plan)) return promote(job, { value: made.value, isVerified: false })
  const rotation = await hold(job, made)
  return verify({ ...job, rotation }, made.value)
}

async function takeValue(job: Job): Promise<Secret> {
  const { rotation, desk, giveValue } = job
  const provider = parseProvider(rotation.plan.provider)
  try {
    if (provider.kind === 'generate') {
      return (await createValue(provider, { ...requestOf(rotation), current: undefined }, desk.world)).value
    }
    if (giveValue === undefined) throw new VaultError('USAGE', 'cannot read a value: no source was given')
    return await giveValue()
  } catch (error) {
    await forget(job)
    throw error
  }
}

async function askProvider(job: Job): Promise<CreatedValue> {
  const { rotation, desk } = job
  const { name, plan } = rotation
  const current = openVault(desk.access).load(name, { nowMs: desk.access.now() })
  try {
    return await takeStep(
      { desk, rotation, sentence: `obtain: asking the provider for a new value of "${name}"` },
      () => createValue(parseProvider(plan.provider), { ...requestOf(rotation), current }, desk.world),
    )
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const live = liveVersion(rotation)
    if (isRefusal(error)) {
      await abort(job, error.message)
      throw new VaultError('ROTATION', `${error.message}; ${live}`, { hints: error.hints, cause: error })
    }
    // It may have made a key: only the same idempotency key finds that one again.
    await release(job)
    throw new VaultError('ROTATION', `${error.message}; ${live}`, { hints: waysOut(rotation), cause: error })
  } finally {
    current.wipe()
  }
}

/** Keeps a new value in the vault before anything else is done with it. */
async function hold(
  job: Job,
  made: Pick<CreatedValue, 'value' | 'handle'> & { idempotent?: boolean },
): Promise<Rotation> {
  const { rotation, desk } = job
  const { name } = rotation
  const { value, handle, idempotent: isIdempotent } = made
  const provider = isMadeUpstream(rotation.plan) ? rotation.plan.provider : undefined
  try {
    return await changeVault(desk.access, 'rotate', ({ staged }) => {
      staged.hold(rotation, { value, handle, provider, isIdempotent })
      return staged.find(name) ?? rotation
    })
  } catch (error) {
    if (!(error instanceof VaultError) || error.code !== 'INPUT') throw error
    if (!isMadeUpstream(rotation.plan)) {
      await forget(job)
      throw error
    }
    // Nothing is revoked here: what it answered with is in use.
    await abort(job, error.message)
    const found = error.message.replace(/^cannot rotate "[^"]*": /, '')
    throw new VaultError(
      'ROTATION',
      `cannot use what the provider answered for "${name}": ${found}; ${liveVersion(rotation)}`,
      {
        hints: ['nothing was revoked: make the provider answer with a new value and a handle of its own'],
        cause: error,
      },
    )
  }
}

function readPending({ rotation, desk }: Job): Secret {
  return openVault(desk.access).load(rotation.name, { version: 'pending', nowMs: desk.access.now() })
}

async function verify(job: Job, value: Secret): Promise<RotationOutcome> {
  const { rotation, desk } = job
  const { name, version, plan } = rotation
  if (plan.verify === undefined) {
    value.wipe()
    return promote(job, { isVerified: false })
  }
  const probe = parseProbe(plan.verify)
  try {
    await takeStep({ desk, rotation, sentence: `verify: trying the new value of "${name}"` }, () =>
      probeValue(probe, { credential: name, version, value }, desk.world),
    )
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    await discardPending(job, error.message)
    throw new VaultError('ROTATION', `${error.message}; ${liveVersion(rotation)}, and the new value was wiped`, {
      hints: error.hints,
      cause: error,
    })
  } finally {
    value.wipe()
  }
  return promote(job, { isVerified: true })
}

async function promote(
  job: Job,
  { value, isVerified }: { readonly value?: Secret; readonly isVerified: boolean },
): Promise<RotationOutcome> {
  const { rotation, desk } = job
  try {
    await retireOlder(rotation, desk)
    const revoker = revokerOf(rotation.plan, openVault(desk.access).describe(rotation.name)?.policy)
    const [rotated, next] = await changeVault(desk.access, 'rotate', ({ staged }) => [
      staged.promote(rotation, { value, revoker }),
      staged.find(rotation.name),
    ])
    if (next !== undefined) await followRotation({ ...job, rotation: next })
    return { rotated, isVerified }
  } catch (error) {
    // Nothing was written, and the value is still where it came from.
    if (value !== undefined && error instanceof VaultError && error.code === 'INPUT') await forget(job)
    throw error
  } finally {
    value?.wipe()
  }
}

/**
 * Gives a rotation up before its promotion: a pending value that the provider has made is revoked there, then wiped.
 */
export async function discardPending(job: Job, reason: string): Promise<void> {
  const { rotation, desk } = job
  if (rotation.stage === 'verify' && isMadeUpstream(rotation.plan)) await revokePending(job)
  await abort({ ...job, desk }, reason)
}

async function revokePending(job: Job): Promise<void> {
  const { rotation, desk } = job
  const { name, version, plan } = rotation
  const vault = openVault(desk.access)
  const handle = vault.describe(name)?.versions.find((one) => one.version === version)?.handle
  const revoked = readPending(job)
  const current = vault.load(name, { nowMs: desk.access.now() })
  try {
    await takeStep(
      { desk, rotation, sentence: `abort: asking the provider to revoke the unused value of "${name}"` },
      () => revokeValue(parseProvider(plan.provider), { ...requestOf(rotation), handle, current, revoked }, desk.world),
    )
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const named = handle === undefined ? '' : ` (its handle is "${handle}")`
    desk.access.warn(`the unused new key of "${name}" may still work at the provider${named}: ${error.message}`)
  } finally {
    revoked.wipe()
    current.wipe()
  }
}

function requestOf({ name, version, id }: Rotation): {
  readonly credential: string
  readonly version: number
  readonly idempotencyKey: string
} {
  return { credential: name, version, idempotencyKey: id }
}

async function abort({ rotation, desk }: Job, reason: string): Promise<void> {
  await changeVault(desk.access, 'rotate', ({ staged }) => staged.abort(rotation, { reason: shorten(reason) }))
}

/** A rotation that never got a value leaves no trace. */
async function forget({ rotation, desk }: Job): Promise<void> {
  await changeVault(desk.access, 'rotate', ({ staged }) => staged.end(rotation))
}

async function release({ rotation, desk }: Job): Promise<void> {
  await changeVault(desk.access, 'rotate', ({ staged }) => void staged.assign(rotation, { owner: undefined }))
}

/** A reason stands in the header as long as its record does. */
function shorten(text: string): string {
  const line = text.replace(/[\r\n\0]+/g, ' ')
  return line.length <= 300 ? line : `${line.slice(0, 297)}...`
}
