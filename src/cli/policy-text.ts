import { formatDuration } from '../duration.js'
import type { Policy } from '../vault/vault.js'

/** What holds for one credential alone, in a few words, as the flags that set it; empty when there is nothing. */
export function describePolicy(policy: Policy | undefined): string {
  if (policy === undefined) return ''
  const { maxAgeSeconds, graceSeconds, provider, verify, targets, onRotate } = policy
  const parts: readonly (readonly [flag: string, text: string | undefined])[] = [
    ['max-age', textOf(maxAgeSeconds)],
    ['grace', textOf(graceSeconds)],
    ['provider', provider],
    ['verify', verify],
    ...targets.map((target) => ['target', target] as const),
    ['on-rotate', onRotate],
  ]
  return parts.flatMap(([flag, text]) => (text === undefined ? [] : [`${flag} ${text}`])).join(', ')
}

function textOf(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : formatDuration(seconds)
}

/** What holds for one credential alone, for `--json`; null where it is as for all credentials. */
export function policyJson(policy: Policy | undefined): Record<string, unknown> {
  return {
    max_age_seconds: policy?.maxAgeSeconds ?? null,
    grace_seconds: policy?.graceSeconds ?? null,
    provider: policy?.provider ?? null,
    verify: policy?.verify ?? null,
    targets: policy?.targets ?? [],
    on_rotate: policy?.onRotate ?? null,
    idempotent: policy?.isIdempotent ?? false,
  }
}
