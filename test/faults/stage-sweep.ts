/**
 * The kill sweep of the stages: a rotation with a provider that counts, a probe, a target and a hook is killed before each
 * of its system calls that touches the vault's directory. Whatever is left must be one named stage, which the next command
 * says, and from which `--resume` makes no second key and `--abort` goes back.
 *
 * @module
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseRawKey } from '../../src/vault/key.js'
import { parseVault } from '../../src/vault/open.js'
import type { Rotation } from '../../src/vault/vault.js'
import { linesOf, placePrograms } from '../rotation/staged-support.js'
import type { Call } from '../support/strace.js'
import { killBefore } from './kill-sweep.js'
import { type Prepared, prepare, type SweptCommand } from './swept-commands.js'
import { KEY, type TrialPlace } from './trial-place.js'

/** How a sweep of the stages is done. */
export interface StageSweepOptions {
  /** Which provider: one that honours the idempotency key, one that says nothing of it, one that lies about it. */
  readonly provider: 'idempotent' | 'silent' | 'lying'
  readonly choose?: (calls: readonly Call[]) => readonly Call[]
}

/** What a sweep of the stages found. */
export interface StageReport {
  readonly points: number
  readonly kills: number
  /** How many kills left each stage; `old` and `new` where nothing was under way. */
  readonly stages: Readonly<Record<string, number>>
  readonly damage: readonly string[]
}

const POLICY =
  'policy set a --provider command:./provider --verify command:./probe --target file:key --on-rotate ./hook'

const ROTATE: SweptCommand = {
  format: 'native',
  before: ['init --format native', 'store a =one', POLICY, 'rotate a'],
  line: 'rotate a',
  again: 0,
}

const ANSWERS = { idempotent: ',"idempotent":true', silent: '', lying: ',"idempotent":true' } as const

/**
 * Chooses the calls before which the files are in another state than before the call that comes before: those that make,
 * write, rename or remove something, and the end. What only reads, closes or syncs leaves a state that is tried already.
 */
export function changing(calls: readonly Call[]): readonly Call[] {
  const isChange = ({ name, text }: Call): boolean =>
    !/^(close|fsync|fdatasync)$/.test(name) && (name !== 'openat' || text.includes('O_CREAT'))
  return calls.filter(isChange)
}

/** Where a commit counts; each step of a rotation has one. */
export const isCommit = ({ text }: Call): boolean => /^rename\(.*\/mcp_credentials\.enc"\)/.test(text)

/** Chooses those of {@link changing} up to the first state in which the new value is in the vault. */
export function untilHeld(calls: readonly Call[]): readonly Call[] {
  const chosen = changing(calls)
  const [, held] = chosen.filter(isCommit)
  return held === undefined ? chosen : chosen.slice(0, chosen.indexOf(held) + 2)
}

/** Sweeps a rotation in an empty place. */
export async function sweepStages(place: TrialPlace, options: StageSweepOptions): Promise<StageReport> {
  const choose = options.choose ?? ((calls) => calls)
  let { prepared, old } = await setUp(place, options)
  const points = choose(prepared.calls)
  const stages: Record<string, number> = {}
  const damage: string[] = []
  let kills = 0
  for (const [index, point] of points.entries()) {
    let killed = killBefore(point, prepared)
    // How many calls a rotation makes differs a little from run to run; a chosen one can be looked for anew.
    for (let attempt = 0; killed === undefined && options.choose && attempt < 3; attempt++) {
      prepared = { ...prepared, calls: prepared.run().calls }
      const same = choose(prepared.calls)[index]
      killed = same && killBefore(same, prepared)
    }
    if (killed === undefined) continue
    kills++
    try {
      // It makes another key at each call from now on.
      if (options.provider === 'lying') writeFileSync(place.path('forgets-keys'), '')
      const stage = await judge(place, { old, isSilent: options.provider === 'silent', isResumed: kills % 2 === 1 })
      stages[stage] = (stages[stage] ?? 0) + 1
    } catch (error) {
      damage.push(`${point.text}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return { points: points.length, kills, stages, damage }
}

/** Where a program of the policy kills mcpvault; the key is made between the first two. */
const MOMENTS = ['create', 'made', 'probe', 'hook'] as const

/** Lets the programs of the policy kill mcpvault in the middle of their step; each rotation is resumed once and aborted once. */
export async function sweepPrograms(place: TrialPlace, options: StageSweepOptions): Promise<StageReport> {
  const { prepared, old } = await setUp(place, options)
  const stages: Record<string, number> = {}
  const damage: string[] = []
  let kills = 0
  const points = MOMENTS.flatMap((moment) => [
    { moment, isResumed: true },
    { moment, isResumed: false },
  ])
  for (const { moment, isResumed } of points) {
    place.restore()
    writeFileSync(place.path(`kill-at-${moment}`), '')
    if (place.run(prepared.command.line.split(' ')).signal !== 'SIGKILL') continue
    kills++
    try {
      if (options.provider === 'lying') writeFileSync(place.path('forgets-keys'), '')
      const stage = await judge(place, { old, isSilent: options.provider === 'silent', isResumed })
      stages[stage] = (stages[stage] ?? 0) + 1
    } catch (error) {
      damage.push(`${moment}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return { points: points.length, kills, stages, damage }
}

async function setUp(
  place: TrialPlace,
  { provider }: StageSweepOptions,
): Promise<{ readonly prepared: Prepared; readonly old: string }> {
  placePrograms(place.directory)
  writeFileSync(place.path('answers'), ANSWERS[provider])
  const { run, ...prepared } = await prepare(place, ROTATE)
  place.restore()
  const steady: Prepared = {
    ...prepared,
    calls: prepared.calls.filter(isSteady),
    run(inject) {
      const traced = run(inject)
      return { ...traced, calls: traced.calls.filter(isSteady) }
    },
  }
  return { prepared: steady, old: look(place).current }
}

/**
 * Node wakes itself through pipes while programs run, not equally often in every run: counted along, those calls let
 * nearly every kill hit another place than was meant, and be tried again and again.
 */
function isSteady({ text }: Call): boolean {
  return !/^write\(<(pipe|\/dev\/)/.test(text)
}

interface Judging {
  /** The value that was live before. */
  readonly old: string
  readonly isSilent: boolean
  /** Whether the rotation is resumed, or given up where that is possible. */
  readonly isResumed: boolean
}

async function judge(place: TrialPlace, { old, isSilent, isResumed }: Judging): Promise<string> {
  await place.state()
  const { rotation, current, previous } = look(place)
  if (rotation === undefined) {
    const isNew = current !== old
    if (isNew && previous !== old) throw new Error('the old value is lost')
    if (!isNew) expectStatus(place, 'rotate a', 0)
    return finish(place, { old, name: isNew ? 'new' : 'old', keys: 2 })
  }
  const { stage } = rotation
  const isLive = stage === 'targets'
  if ((current !== old) !== isLive) throw new Error(`at the stage ${stage} the wrong value is live`)
  expectNaming(place, rotation)
  if (stage === 'obtain' && isSilent) {
    expectStatus(place, 'rotate a --resume', 8)
    expectStatus(place, 'rotate a --abort', 8)
    expectStatus(place, 'rotate a --abort --confirmed-clean', 0)
    return goneBack(place, old, 'create-unknown')
  }
  if (isResumed || isLive) {
    expectStatus(place, 'rotate a --resume', 0)
    return finish(place, { old, name: stage, keys: 2 })
  }
  expectStatus(place, 'rotate a --abort', 0)
  return goneBack(place, old, stage)
}

/** What is run next must say where the rotation stands and which way leads out. */
function expectNaming(place: TrialPlace, { stage, isCreateUnknown }: Rotation): void {
  const due = place.run(['rotation-due', 'a'])
  if (due.status !== 0 || !due.stdout.includes('stuck rotation')) throw new Error(`rotation-due says: ${due.stdout}`)
  const { status, stderr } = place.run(['rotate', 'a'])
  const named = `stopped at the stage "${isCreateUnknown ? 'create-unknown' : stage}"`
  if (status !== 8 || !stderr.includes(named) || !stderr.includes('is live')) throw new Error(`rotate says: ${stderr}`)
  if (!/hint: .*mcpvault rotate a --(resume|abort)/.test(stderr)) throw new Error(`no way out: ${stderr}`)
}

function expectStatus(place: TrialPlace, line: string, expected: number): void {
  const { status, stderr } = place.run(line.split(' '))
  if (status !== expected) throw new Error(`${line} gave ${status} instead of ${expected}: ${stderr}`)
}

interface Finished {
  readonly old: string
  readonly name: string
  /** How many keys the provider may have made, the one before included. */
  readonly keys: number
}

async function finish(place: TrialPlace, { old, name, keys }: Finished): Promise<string> {
  const { rotation, current, previous } = look(place)
  if (rotation !== undefined) throw new Error(`${name}, and a rotation is left: ${rotation.stage}`)
  if (previous !== old) throw new Error(`${name}, and the old value is lost`)
  const made = linesOf(place.directory, 'made')
  if (made.length !== keys) throw new Error(`${name}, and the provider has made ${made.length} keys`)
  if (current !== `sk_${made.at(-1)}`) throw new Error(`${name}, and another value than the last key is live`)
  if (readFileSync(place.path('key'), 'utf8') !== current)
    throw new Error(`${name}, and the target holds another value`)
  await place.state()
  return name
}

async function goneBack(place: TrialPlace, old: string, name: string): Promise<string> {
  const { rotation, current, hasPending } = look(place)
  if (rotation !== undefined || hasPending || current !== old) throw new Error(`${name}, and it did not go back`)
  if (existsSync(`${place.vault}.bak`) && /"stage":"pending"/.test(readFileSync(`${place.vault}.bak`, 'utf8'))) {
    throw new Error(`${name}, and .bak holds the value that was given up`)
  }
  await place.state()
  return name
}

interface Sight {
  readonly rotation: Rotation | undefined
  readonly current: string
  readonly previous: string | undefined
  readonly hasPending: boolean
}

function look(place: TrialPlace): Sight {
  const key = place.keyFor([]).MCP_ENCRYPTION_KEY ?? readFileSync(place.path('.config/mcpvault/key'), 'utf8').trim()
  const vault = parseVault(readFileSync(place.vault), parseRawKey(key === '' ? KEY : key))
  const versions = vault.describe('a')?.versions ?? []
  const read = (stage: 'previous' | undefined): string =>
    vault.load('a', { version: stage, nowMs: 0 }).reveal().toString('utf8')
  return {
    rotation: vault.rotations.find(({ name }) => name === 'a'),
    current: read(undefined),
    previous: versions.some(({ stage }) => stage === 'previous') ? read('previous') : undefined,
    hasPending: versions.some(({ stage }) => stage === 'pending'),
  }
}
