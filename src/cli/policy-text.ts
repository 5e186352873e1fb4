import { formatDuration } from '../duration.js'
import type { Policy } from '../vault/vault.js'

/** A credential's own limits in a few words, as the flags that set them; empty when it has none. */
export function describePolicy(policy: Policy | undefined): string {
  const part = (flag: string, seconds: number | undefined): readonly string[] =>
    seconds === undefined ? [] : [`${flag} ${formatDuration(seconds)}`]
  return [...part('max-age', policy?.maxAgeSeconds), ...part('grace', policy?.graceSeconds)].join(', ')
}

/** A credential's own limits for `--json`; null where those for all credentials hold. */
export function policyJson(policy: Policy | undefined): Record<string, unknown> {
  return { max_age_seconds: policy?.maxAgeSeconds ?? null, grace_seconds: policy?.graceSeconds ?? null }
}
