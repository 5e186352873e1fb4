import type { Policy, Revoker, RotationPlan } from '../vault/vault.js'
import {
  formatHook,
  formatProbe,
  formatProvider,
  formatTarget,
  parseHook,
  parseProbe,
  parseProvider,
  parseTarget,
} from './spec.js'

/** What flags say of one rotation; what is undefined is as the policy says. The texts are SPECs. */
export interface PlanFlags {
  readonly provider?: string | undefined
  readonly verify?: string | undefined
  readonly targets?: readonly string[] | undefined
  readonly onRotate?: string | undefined
  readonly graceSeconds?: number | undefined
  readonly reason?: string | undefined
}

/**
 * Decides how a rotation is done: as the flags say, else as the policy does, else by a person and unverified.
 *
 * @throws {VaultError} USAGE if a SPEC cannot be read.
 */
export function makePlan(policy: Policy | undefined, flags: PlanFlags): RotationPlan {
  const verify = flags.verify ?? policy?.verify
  const targets = flags.targets?.length ? flags.targets : (policy?.targets ?? [])
  const onRotate = flags.onRotate ?? policy?.onRotate
  return {
    provider: formatProvider(parseProvider(flags.provider ?? policy?.provider ?? 'manual')),
    verify: verify === undefined ? undefined : formatProbe(parseProbe(verify)),
    targets: targets.map((target) => formatTarget(parseTarget(target))),
    onRotate: onRotate === undefined ? undefined : formatHook(parseHook(onRotate)),
    graceSeconds: flags.graceSeconds,
    reason: flags.reason,
  }
}

/** Tells whether a program makes the new value, somewhere where it can be lost or made twice. */
export function isMadeUpstream({ provider }: Pick<RotationPlan, 'provider'>): boolean {
  return parseProvider(provider).kind === 'command'
}

/**
 * Who has to revoke a replaced value that no provider has made: the policy's, if one takes its place. One that is named for
 * a single rotation was not asked to look after other keys.
 */
export function revokerOf({ provider }: Pick<RotationPlan, 'provider'>, policy: Policy | undefined): Revoker {
  const { kind } = parseProvider(provider)
  if (kind === 'command') return isMadeUpstream({ provider: policy?.provider ?? 'manual' }) ? 'provider' : 'person'
  return kind === 'generate' ? 'none' : 'person'
}

/** Whether a rotation can be done without a person. */
export function needsNobody(policy: Policy | undefined, flags: PlanFlags): boolean {
  return parseProvider(flags.provider ?? policy?.provider ?? 'manual').kind !== 'manual'
}
