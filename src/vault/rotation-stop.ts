/**
 * What is to be said of a rotation that stands in the journal: where it is, which version is live, which way leads out.
 *
 * @module
 */

import { shellWord } from '../shell-word.js'
import { formatUtc } from '../timestamp.js'
import type { Rotation, RotationStage } from './vault.js'

const MEANINGS: Readonly<Record<RotationStage, string>> = {
  obtain: 'there is no new value yet',
  verify: 'the new value is kept and not yet in use',
  targets: 'the new value is in use, and what follows a rotation is not all done',
}

/** Says which value is live: every message about a rotation does. */
export function liveVersion({ stage, version }: Pick<Rotation, 'stage' | 'version'>): string {
  // Nothing else changes a credential that is being rotated, so the one before is the current one.
  return `version ${stage === 'targets' ? version : version - 1} is live`
}

/** Says where a rotation stands, without a full stop. */
export function describeStop(rotation: Rotation): string {
  const { stage, isCreateUnknown } = rotation
  const meaning = isCreateUnknown ? 'the provider may have made a key that nobody has' : MEANINGS[stage]
  return `stopped at the stage "${isCreateUnknown ? 'create-unknown' : stage}" (${meaning}); ${liveVersion(rotation)}`
}

/** Gives the commands that lead out, the most useful first. */
export function waysOut({ name, stage, startedMs, isCreateUnknown }: Rotation): readonly string[] {
  const rotate = `mcpvault rotate ${shellWord(name)}`
  if (isCreateUnknown) {
    return [
      `look at the provider for a key made since ${formatUtc(startedMs)} and delete it, then: ${rotate} --abort --confirmed-clean`,
    ]
  }
  if (stage === 'targets') return [`${rotate} --resume`, `mcpvault rollback ${shellWord(name)}`]
  return [`${rotate} --resume`, `${rotate} --abort`]
}
