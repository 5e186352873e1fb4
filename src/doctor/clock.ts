import { formatSpan } from '../duration.js'
import { formatUtc } from '../timestamp.js'
import type { Finding } from './finding.js'
import type { AnyVault } from './scene.js'

/** Clocks of different machines differ a little. */
const SLACK_MS = 5 * 60_000
/** A time without a zone may be this far ahead when it was written in another one: UTC+14 seen from UTC-12. */
const NAIVE_SLACK_MS = 26 * 3_600_000

/** Counts dates that lie ahead of the clock and keeps the farthest. */
export class LatestAhead {
  readonly nowMs: number
  count = 0
  latest: { readonly epochMs: number; readonly what: string } | undefined

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  /** Takes in a date, in milliseconds since the epoch; `what` names in a message what has it. */
  add(epochMs: number, { isNaive = false, what }: { readonly isNaive?: boolean; readonly what: string }): void {
    if (epochMs - this.nowMs <= (isNaive ? NAIVE_SLACK_MS : SLACK_MS)) return
    this.count += 1
    if (epochMs > (this.latest?.epochMs ?? 0)) this.latest = { epochMs, what }
  }
}

/** Says that dates lie ahead: this clock is behind, or one that wrote them was ahead. */
export function aheadFinding(
  { count, latest, nowMs }: LatestAhead,
  { id, file }: { readonly id: string; readonly file: string },
): readonly Finding[] {
  if (latest === undefined) return []
  const far = `${formatSpan((latest.epochMs - nowMs) / 1000)} ahead (${formatUtc(latest.epochMs)})`
  const dates = count === 1 ? 'a date lies' : `${count} dates lie`
  const what = `${dates} ahead of this machine's clock in the ${file}, the latest that of ${latest.what}, ${far}: this clock is behind, or the one that wrote it was ahead`
  return [{ id, severity: 'warning', what, mend: 'date -u' }]
}

/** Checks the dates of a native vault's versions; a tutorial vault has none. */
export function examineClock(vault: AnyVault, nowMs: number): readonly Finding[] {
  const ahead = new LatestAhead(nowMs)
  for (const name of vault.names()) {
    for (const { version, createdMs, sinceMs } of vault.describe(name)?.versions ?? []) {
      ahead.add(Math.max(createdMs, sinceMs ?? 0), { what: `version ${version} of "${name}"` })
    }
  }
  return aheadFinding(ahead, { id: 'clock-vault', file: 'vault' })
}
