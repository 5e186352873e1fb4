/**
 * The kill sweep: a command of the built program is killed before each of its system calls that touches the vault's
 * directory, and after each kill the files must hold exactly the old state or the new, and work on without a hand.
 *
 * @module
 */

import { expect } from 'vitest'
import type { BuiltCopy } from '../support/built.js'
import type { Call } from '../support/strace.js'
import {
  expectNoHand,
  nameState,
  type Prepared,
  type PrepareOptions,
  prepare,
  sayDone,
  type StateName,
  type SweptCommand,
} from './swept-commands.js'
import { type Ran, TrialPlace } from './trial-place.js'

/** What a sweep found. */
export interface SweepReport {
  /** Calls that the command was to be killed before, and how many of those kills hit. */
  readonly points: number
  readonly kills: number
  /** How many kills left each state. */
  readonly states: Readonly<Partial<Record<StateName, number>>>
  /** What was wrong, each with the call that was about to be made. */
  readonly damage: readonly string[]
}

/** How a sweep is done. */
export interface SweepOptions extends Pick<PrepareOptions, 'calls' | 'isCareless'> {
  /** Chooses the calls to kill before; all of them by default. */
  readonly choose?: (calls: readonly Call[]) => readonly Call[]
}

/** Sweeps a command in an empty place. */
export async function sweepKills(
  place: TrialPlace,
  command: SweptCommand,
  { choose = (calls) => calls, ...options }: SweepOptions = {},
): Promise<SweepReport> {
  const prepared = await prepare(place, command, options)
  const points = choose(prepared.calls)
  const states: Partial<Record<StateName, number>> = {}
  const damage: string[] = []
  const judged = new Map<string, StateName>()
  let kills = 0
  for (const point of points) {
    const killed = killBefore(point, prepared)
    if (killed === undefined) continue
    kills++
    try {
      const view = place.untouchedView()
      const isKnown = view !== undefined && killed.stdout + killed.stderr === ''
      const name = (isKnown && judged.get(view)) || (await judge(place, prepared, killed))
      if (isKnown) judged.set(view, name)
      states[name] = (states[name] ?? 0) + 1
    } catch (error) {
      damage.push(`${point.text}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return { points: points.length, kills, states, damage }
}

/**
 * Kills a run before a call. Node writes to its own descriptors, too, not equally often in every run: so where a run was
 * killed is known from the calls that it had made, and a kill elsewhere is tried again with another count.
 */
export function killBefore(point: Call, { calls, run }: Prepared): Ran | undefined {
  const wanted = calls.indexOf(point)
  for (let attempt = 0, count = point.count; attempt < 30; attempt++) {
    const killed = run(`${point.name}:signal=KILL:when=${Math.max(1, count)}`)
    const made = killed.calls.filter(({ isDone }) => isDone).length
    if (killed.ran.signal === 'SIGKILL' && made === wanted) return killed.ran
    count += Math.sign(wanted - made) || 1
  }
  return undefined
}

/** Sweeps a command and fails the test unless every kill hit, and left the old state or the new. */
export async function expectKillsHarmless(
  program: BuiltCopy,
  command: SweptCommand,
  options: SweepOptions = {},
): Promise<void> {
  const place = new TrialPlace(program)
  try {
    const report = await sweepKills(place, command, options)
    const what = `kill sweep, ${command.format} ${command.line}`
    sayDone(what, { ...report, damage: report.damage.length })
    expect(report.damage).toEqual([])
    expect(report.kills).toBe(report.points)
    expect(report.states.old).toBeGreaterThan(options.choose ? 0 : 5)
    expect(report.states.new).toBeGreaterThan(options.choose ? 0 : 5)
  } finally {
    place.remove()
  }
}

async function judge(place: TrialPlace, prepared: Prepared, ran: Ran): Promise<StateName> {
  const name = await nameState(place, prepared)
  const success = /^(stored|rotated|rolled|removed|renamed|upgraded|created|revoked|made|sealed|added) /m
  const isAcknowledged = ran.stdout !== '' || success.test(ran.stderr)
  if (isAcknowledged && name !== 'new') throw new Error(`it was acknowledged and is ${name}`)
  await expectNoHand(place, prepared, name)
  return name
}
