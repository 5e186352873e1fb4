/**
 * The header's journal: one element for each rotation that is under way or was interrupted, sorted by name.
 *
 * `{"name":T,"ver":N,"stage":S,"id":H,"started":TIME,"owner":{…},"unknown":true,"provider":T,"verify":T,"targets":[T,…],
 * "on_rotate":T,"grace":N,"reason":T}`; docs/file-format.md has it in full.
 *
 * @module
 */

import { formatUtc, parseTimestamp } from '../timestamp.js'
import { isCount, isObject, isTime } from './canonical.js'
import { isNativeName, isTextList } from './native-entry.js'
import type { ProcessOwner, Rotation, RotationStage } from './vault.js'

/** An element of the journal. Members are in file order. */
export interface JournalEntry {
  readonly name: string
  readonly ver: number
  readonly stage: RotationStage
  readonly id: string
  readonly started: string
  readonly owner?: ProcessOwner
  readonly unknown?: true
  readonly provider: string
  readonly verify?: string
  readonly targets?: readonly string[]
  readonly on_rotate?: string
  readonly grace?: number
  readonly reason?: string
}

const STAGES: readonly unknown[] = ['obtain', 'verify', 'targets']
const PLACE = ['start', 'boot', 'machine', 'namespace'] as const

/** Rebuilds a whole journal; undefined unless it is one, sorted and without duplicates. */
export function rebuildJournal(value: unknown): readonly JournalEntry[] | undefined {
  if (!Array.isArray(value)) return undefined
  const entries: JournalEntry[] = []
  for (const element of value) {
    const entry = rebuildElement(element)
    const before = entries.at(-1)
    if (entry === undefined || (before !== undefined && compareNames(before, entry) >= 0)) return undefined
    entries.push(entry)
  }
  return entries
}

/** Orders by the UTF-8 bytes of the names, as entries are. */
export function compareNames(a: Pick<JournalEntry, 'name'>, b: Pick<JournalEntry, 'name'>): number {
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
}

function rebuildElement(value: unknown): JournalEntry | undefined {
  if (!isObject(value)) return undefined
  const { name, ver, stage, id, started, unknown, provider, verify, targets, on_rotate, grace, reason } = value
  const owner = value.owner === undefined ? undefined : rebuildOwner(value.owner)
  const isValid =
    typeof name === 'string' &&
    isNativeName(name) &&
    isCount(ver) &&
    ver > 0 &&
    STAGES.includes(stage) &&
    typeof id === 'string' &&
    /^[0-9a-f]{32}$/.test(id) &&
    isTime(started) &&
    (value.owner === undefined || owner !== undefined) &&
    (unknown === undefined || unknown === true) &&
    typeof provider === 'string' &&
    isOptionalText(verify) &&
    (targets === undefined || isTextList(targets)) &&
    isOptionalText(on_rotate) &&
    (grace === undefined || isCount(grace)) &&
    isOptionalText(reason)
  if (!isValid) return undefined
  return {
    ...{ name, ver, stage: stage as RotationStage, id, started },
    ...(owner === undefined ? {} : { owner }),
    ...(unknown === undefined ? {} : { unknown: true }),
    provider,
    ...(verify === undefined ? {} : { verify }),
    ...(targets === undefined ? {} : { targets }),
    ...(on_rotate === undefined ? {} : { on_rotate }),
    ...(grace === undefined ? {} : { grace }),
    ...(reason === undefined ? {} : { reason }),
  }
}

function rebuildOwner(value: unknown): ProcessOwner | undefined {
  if (!isObject(value) || !isCount(value.pid) || value.pid === 0) return undefined
  const { pid, start, boot, machine, namespace } = value
  if (!PLACE.every((member) => typeof value[member] === 'string')) return undefined
  return { pid, start, boot, machine, namespace } as ProcessOwner
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

/** Writes a rotation as an element of the journal. */
export function toJournal(rotation: Rotation): JournalEntry {
  const { name, version, stage, id, startedMs, owner, isCreateUnknown, plan } = rotation
  return {
    ...{ name, ver: version, stage, id, started: formatUtc(startedMs) },
    ...(owner === undefined ? {} : { owner: ownerMembers(owner) }),
    ...(isCreateUnknown ? { unknown: true } : {}),
    provider: plan.provider,
    ...(plan.verify === undefined ? {} : { verify: plan.verify }),
    ...(plan.targets.length === 0 ? {} : { targets: plan.targets }),
    ...(plan.onRotate === undefined ? {} : { on_rotate: plan.onRotate }),
    ...(plan.graceSeconds === undefined ? {} : { grace: plan.graceSeconds }),
    ...(plan.reason === undefined ? {} : { reason: plan.reason }),
  }
}

/** Whatever else the caller knows of the process is left out. */
function ownerMembers({ pid, start, boot, machine, namespace }: ProcessOwner): ProcessOwner {
  return { pid, start, boot, machine, namespace }
}

/** Reads a rotation from an element of the journal. */
export function fromJournal(entry: JournalEntry): Rotation {
  return {
    name: entry.name,
    version: entry.ver,
    stage: entry.stage,
    id: entry.id,
    startedMs: parseTimestamp(entry.started)?.epochMs ?? 0,
    owner: entry.owner,
    isCreateUnknown: entry.unknown === true,
    plan: {
      provider: entry.provider,
      verify: entry.verify,
      targets: entry.targets ?? [],
      onRotate: entry.on_rotate,
      graceSeconds: entry.grace,
      reason: entry.reason,
    },
  }
}
