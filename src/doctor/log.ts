import { readBackward } from '../log/read.js'
import type { LogReport } from '../log/verify.js'
import { readLog } from '../rotation/ages.js'
import { parseTimestamp } from '../timestamp.js'
import { checkLog } from '../vault/check-log.js'
import { missingRecords, whenStill } from '../vault/outbox.js'
import type { VaultAccess } from '../vault/vault.js'
import { aheadFinding, LatestAhead } from './clock.js'
import { accessMend } from './files.js'
import { capFindings, type Finding, findingOf, hasCode } from './finding.js'
import type { AnyVault, Scene } from './scene.js'
import { shellWord } from '../shell-word.js'

const MOST_OF_A_KIND = 3
/** How many records' dates are looked at: what was written longer ago changes nothing any more. */
const NEWEST = 10_000

/** Checks the log's chain, its end against the vault, and its dates against the clock. */
export function examineLog(scene: Scene, vault: AnyVault | undefined): readonly Finding[] {
  const { access } = scene
  const path = access.store.locate('log')
  try {
    // A tutorial program writes in place: what does not parse at this moment may do so at the next.
    return whenStill(access.store, () => [
      ...examineAbsence(access, vault),
      ...judgeLog(checkLog(vault, access), path),
      ...examinePending(access, vault),
      ...examineDates(access),
    ])
  } catch (error) {
    if (hasCode(error, 'UNSAFE')) return []
    const word = shellWord(path)
    if (!hasCode(error, 'DAMAGED'))
      return [findingOf(error, { id: 'log-unreadable', mend: accessMend(path, scene.host) })]
    return [findingOf(error, { id: 'log-damaged', mend: `mv ${word} ${shellWord(`${path}.damaged`)}` })]
  }
}

/** Judges what the verification of a log has found. */
export function judgeLog(report: LogReport, path: string): readonly Finding[] {
  const problems = report.problems.map(({ kind, index, seq, text }): Finding => {
    const where = index === undefined ? 'it' : `record ${seq ?? '?'} (position ${index + 1})`
    const mend = kind === 'ahead' ? 'mcpvault log settle --accept-restore' : `cp -p BACKUP ${shellWord(path)}`
    return {
      id: `log-${kind}`,
      severity: 'error',
      what: `the rotation log does not hold together: ${where} ${text}`,
      mend,
    }
  })
  const gaps = report.gaps.map(({ after, before }): Finding => {
    const what = `the rotation log has no records ${after + 1} to ${before - 1}, as after a restore`
    return { id: 'log-gap', severity: 'note', what, mend: 'mcpvault log show' }
  })
  const torn: Finding = {
    id: 'log-torn',
    severity: 'note',
    what: 'an unfinished record lies at the end of the rotation log; the next command that writes cuts it off',
    mend: 'mcpvault log settle',
  }
  // One edit far back shows in several ways, and an old vault is behind by all that came since.
  const kinds = [...new Set(problems.map(({ id }) => id))]
  const listed = kinds.flatMap((kind) =>
    capFindings(
      problems.filter(({ id }) => id === kind),
      MOST_OF_A_KIND,
    ),
  )
  return [...listed, ...capFindings(gaps, MOST_OF_A_KIND), ...(report.torn ? [torn] : [])]
}

/** In the tutorial format only the log knows how old a value is. */
function examineAbsence({ store }: VaultAccess, vault: AnyVault | undefined): readonly Finding[] {
  if (vault?.format !== 'tutorial' || vault.names().length === 0) return []
  const reader = store.open('log')
  reader?.close()
  if (reader !== undefined) return []
  const what = `there is no rotation log "${store.locate('log')}", so every credential counts as due`
  return [{ id: 'log-missing', severity: 'note', what, mend: 'mcpvault rotation-due' }]
}

function examinePending({ store }: VaultAccess, vault: AnyVault | undefined): readonly Finding[] {
  const missing = missingRecords(vault?.logAnchor?.pending ?? [], store)
  if (missing.length === 0) return []
  const are = missing.length === 1 ? 'change is' : 'changes are'
  const what = `${missing.length} ${are} committed in the vault and not yet in the rotation log; the next command that writes appends them`
  return [{ id: 'log-pending', severity: 'warning', what, mend: 'mcpvault log settle' }]
}

function examineDates(access: VaultAccess): readonly Finding[] {
  const ahead = new LatestAhead(access.now())
  let odd = 0
  readLog(access, (reader) => {
    if (reader === undefined) return
    let seen = 0
    for (const record of readBackward(reader)) {
      if (++seen > NEWEST) break
      const at = parseTimestamp(record.rotated_at, access.zone)
      if (at === undefined) odd += 1
      else ahead.add(at.epochMs, { isNaive: at.isNaive, what: 'a record' })
    }
  })
  const unreadable: Finding = {
    id: 'log-date',
    severity: 'warning',
    what: `${odd} of the rotation log's dates cannot be read; what was last rotated then counts as due`,
    mend: 'mcpvault rotation-due',
  }
  return [...aheadFinding(ahead, { id: 'clock-log', file: 'rotation log' }), ...(odd > 0 ? [unreadable] : [])]
}
