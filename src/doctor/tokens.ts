import { parseHeader } from '../tokens/record-line.js'
import { TokenRecords } from '../tokens/records.js'
import { aheadFinding, LatestAhead } from './clock.js'
import { accessMend } from './files.js'
import { type Finding, findingOf, hasCode } from './finding.js'
import { type AnyVault, lookingOnly, type Scene } from './scene.js'
import { shellWord } from '../shell-word.js'

/** Longest header line that mcpvault writes, with room to spare. */
const HEADER_BYTES = 256
const LINE_FEED = 0x0a

/** Checks the token records; without the key only that their first line is theirs. */
export function examineTokens(scene: Scene, unlocked: AnyVault | undefined): readonly Finding[] {
  const path = scene.access.store.locate('tokens')
  try {
    return unlocked === undefined ? examineHeader(scene, path) : examineRecords(scene, unlocked)
  } catch (error) {
    // A mode that others can write under is the files' matter.
    if (hasCode(error, 'UNSAFE')) return []
    if (hasCode(error, 'DAMAGED')) return [findingOf(error, { id: 'tokens-damaged', mend: startOver(path) })]
    if (!hasCode(error, 'RESTORED')) {
      return [findingOf(error, { id: 'tokens-unreadable', mend: accessMend(path, scene.host) })]
    }
    const mend = 'mcpvault token revoke --all --accept-restore'
    return [findingOf(error, { id: 'tokens-restored', mend })]
  }
}

function startOver(path: string): string {
  const aside = `mv ${shellWord(path)} ${shellWord(`${path}.damaged`)}`
  return `${aside} && mcpvault token revoke --all --accept-restore`
}

function examineRecords({ access }: Scene, unlocked: AnyVault): readonly Finding[] {
  const records = TokenRecords.open(lookingOnly(access.store), unlocked)
  try {
    const ahead = new LatestAhead(access.now())
    for (const { id, label, createdMs } of records.all()) ahead.add(createdMs, { what: `token "${label ?? id}"` })
    return aheadFinding(ahead, { id: 'clock-tokens', file: 'token records' })
  } finally {
    records.close()
  }
}

function examineHeader({ access }: Scene, path: string): readonly Finding[] {
  const reader = access.store.open('tokens')
  if (reader === undefined) return []
  try {
    const head = reader.read(0, HEADER_BYTES)
    const end = head.indexOf(LINE_FEED)
    if (end >= 0 && parseHeader(head.subarray(0, end)) !== undefined) return []
    const what = `cannot use the token records "${path}": their first line is not a header of token records; every token is refused`
    return [{ id: 'tokens-damaged', severity: 'error', what, mend: startOver(path) }]
  } finally {
    reader.close()
  }
}
