import { formatDuration } from '../duration.js'
import { DEFAULT_GRACE_SECONDS, type Credential, type Revoker, type RotationPlan } from '../vault/vault.js'
import { revokerOf } from './plan.js'

/** A step of a rotation, and what it would do. */
export interface PlannedStep {
  readonly step: 'journal' | 'obtain' | 'verify' | 'promote' | 'targets' | 'hook' | 'retire'
  readonly what: string
}

/** Says what a rotation would do, step by step; the tutorial format has neither journal nor versions. */
export function describePlan(plan: RotationPlan, credential: Credential): readonly PlannedStep[] {
  const { versions } = credential
  const isNative = versions.length > 0
  const replaced = versions.find(({ stage }) => stage === 'current')
  const current = replaced?.version ?? 0
  const isMade = replaced?.handle !== undefined || replaced?.provider !== undefined
  const revoker = isMade ? 'provider' : revokerOf(plan, credential.policy)
  const next = Math.max(current, ...versions.map(({ version }) => version)) + 1
  const grace = formatDuration(plan.graceSeconds ?? credential.policy?.graceSeconds ?? DEFAULT_GRACE_SECONDS)
  const step = (name: PlannedStep['step'], what: string): PlannedStep => ({ step: name, what })
  return [
    ...(isNative ? [step('journal', `version ${next} is announced; version ${current} stays live`)] : []),
    step('obtain', plan.provider === 'manual' ? 'a person gives the new value' : `from ${plan.provider}`),
    step('verify', plan.verify === undefined ? 'not verified: no probe is named' : `with ${plan.verify}`),
    step(
      'promote',
      isNative
        ? `version ${next} is live; version ${current} stays loadable for ${grace}`
        : 'the new value takes the place of the old one, which survives only in .bak',
    ),
    ...plan.targets.map((target) => step('targets', target)),
    ...(plan.onRotate === undefined ? [] : [step('hook', plan.onRotate)]),
    ...versions
      .filter(({ stage }) => stage === 'previous')
      .map(({ version, revoker }) => step('retire', `version ${version} at once; ${HOW[revoker]}`)),
    ...(isNative ? [step('retire', `version ${current} after ${grace}; ${HOW[revoker]}`)] : []),
  ]
}

const HOW: Readonly<Record<Revoker, string>> = {
  person: 'a person revokes it, and says so with --retired',
  provider: 'the provider revokes it',
  none: 'nobody needs to revoke it',
}
