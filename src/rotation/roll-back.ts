import { changeVault } from '../vault/change.js'
import { openVault } from '../vault/open.js'
import type { RollbackOptions, RotatedVersion, Rotation } from '../vault/vault.js'
import { requireTrustFor, type RotationDesk, selfOf } from './desk.js'
import { followRotation } from './follow.js'
import { makePlan, revokerOf } from './plan.js'
import { inTheWay, judgeRotation } from './stuck.js'

/** How a credential is rolled back. */
export type RollBackOptions = Pick<RollbackOptions, 'to' | 'reason' | 'graceSeconds'>

/**
 * Makes a kept version current again, as a new one and without a probe, then brings it to where the policy says that the
 * value must be. A rotation that was promoted and stopped before it was through is over with that.
 *
 * @throws {VaultError} NOT_FOUND, LOCKED or ROTATION while a rotation is not promoted; ROTATION if the rollback stands and a
 * target or the hook failed; INPUT in the tutorial format.
 */
export async function rollBack(name: string, options: RollBackOptions, desk: RotationDesk): Promise<RotatedVersion> {
  const { access, world } = desk
  const policy = openVault(access).describe(name)?.policy
  const { provider, targets, onRotate } = makePlan(policy, {})
  const { to, reason, graceSeconds } = options
  const hasMore = targets.length > 0 || onRotate !== undefined
  const plan = { provider, verify: undefined, targets, onRotate, graceSeconds, reason }
  // A rollback asks no provider.
  if (hasMore) requireTrustFor(plan, `roll "${name}" back`, desk)
  const owner = hasMore ? selfOf(desk) : undefined
  const then = hasMore
    ? { name, id: access.randomBytes(16).toString('hex'), owner, isCreateUnknown: false, plan }
    : undefined
  const [back, next] = await changeVault(access, 'rollback', (draft): [RotatedVersion, Rotation | undefined] => {
    const found = draft.format === 'native' ? draft.staged.find(name) : undefined
    if (found !== undefined) {
      const state = judgeRotation(found, { host: world.host, nowMs: access.now() })
      if (state !== 'stopped' || found.stage !== 'targets') throw inTheWay(found, state, 'roll back')
    }
    const rolled = draft.rollback(name, { to, reason, graceSeconds, revoker: revokerOf(plan, policy), then })
    return [rolled, draft.staged.find(name)]
  })
  if (next !== undefined) await followRotation({ rotation: next, desk, isRollback: true })
  return back
}
