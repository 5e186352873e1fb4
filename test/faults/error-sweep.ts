/**
 * The error sweep: each system call of a command that touches the vault's directory fails once, as on a full disk, a
 * used-up quota or a broken one. Nothing may have changed unless the command says so, and everything goes on working.
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

/** How each system call can fail. */
const ERRORS: Readonly<Record<string, readonly string[]>> = {
  openat: ['EIO'],
  write: ['ENOSPC', 'EDQUOT'],
  pwrite64: ['ENOSPC', 'EIO'],
  ftruncate: ['EIO'],
  fsync: ['EIO'],
  fdatasync: ['EIO'],
  rename: ['EIO'],
  link: ['EDQUOT'],
  unlink: ['EIO'],
  mkdir: ['ENOSPC'],
  fchmod: ['EIO'],
  fchown: ['EIO'],
}

/** What a sweep found. */
export interface ErrorReport {
  readonly points: number
  readonly faults: number
  /** How often each outcome was seen: the error code or `done`, and the state that it left. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly damage: readonly string[]
}

/** How a sweep is done. */
export interface ErrorSweepOptions extends Pick<PrepareOptions, 'isCareless'> {
  /** Picks the calls that fail; all of them by default. */
  readonly choose?: (calls: readonly Call[]) => readonly Call[]
}

/** Sweeps a command in an empty place. */
export async function sweepErrors(
  place: TrialPlace,
  command: SweptCommand,
  { choose = (calls) => calls, ...options }: ErrorSweepOptions = {},
): Promise<ErrorReport> {
  const traced = [...Object.keys(ERRORS), 'exit_group']
  const prepared = await prepare(place, command, { ...options, flags: ['--json'], calls: traced })
  const calls = prepared.calls.filter(({ name, text }) => name in ERRORS && !/^write\(<(pipe|\/dev\/)/.test(text))
  const points = choose(calls).flatMap((call) => (ERRORS[call.name] ?? []).map((error) => ({ call, error })))
  const outcomes: Record<string, number> = {}
  const damage: string[] = []
  let faults = 0
  for (const { call, error } of points) {
    const ran = failAt(call, error, prepared)
    if (ran === undefined) continue
    faults++
    try {
      const outcome = await judge(place, prepared, ran)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    } catch (failure) {
      damage.push(`${error} at ${call.text}: ${failure instanceof Error ? failure.message : failure}`)
    }
  }
  return { points: points.length, faults, outcomes, damage }
}

/** Sweeps a command and fails the test unless every fault hit and left what the command said. */
export async function expectErrorsHarmless(
  program: BuiltCopy,
  command: SweptCommand,
  options: ErrorSweepOptions = {},
): Promise<void> {
  const place = new TrialPlace(program)
  try {
    const report = await sweepErrors(place, command, options)
    sayDone(`error sweep, ${command.format} ${command.line}`, { ...report, damage: report.damage.length })
    expect(report.damage).toEqual([])
    expect(report.faults).toBe(report.points)
    expect(report.outcomes['IO old']).toBeGreaterThan(options.choose ? 0 : 5)
  } finally {
    place.remove()
  }
}

/**
 * Lets a call fail. Node makes calls of the same names for itself, not equally often in every run: a fault that hits an
 * earlier or later call of ours says where to try next, one that hits a call of Node's own does not.
 */
function failAt(point: Call, error: string, { calls, run }: Prepared): Ran | undefined {
  const wanted = calls.indexOf(point)
  for (let attempt = 0, count = point.count; attempt < 40; attempt++) {
    const failed = run(`${point.name}:error=${error}:when=${Math.max(1, count)}`)
    const at = failed.calls.findIndex(({ isInjected }) => isInjected)
    if (at === wanted) return failed.ran
    count = at < 0 ? point.count + spiral(attempt) : count + Math.sign(wanted - at)
  }
  return undefined
}

/** 0, -1, 1, -2, 2, and from 0 again after 5: which way the counts were shifted changes from run to run. */
function spiral(attempt: number): number {
  const step = attempt % 11
  return step % 2 === 1 ? -(step + 1) / 2 : step / 2
}

async function judge(place: TrialPlace, prepared: Prepared, { status, stdout, stderr }: Ran): Promise<string> {
  const name = await nameState(place, prepared)
  const code = status === 0 ? 'done' : codeOf(stderr)
  const allowed: Readonly<Record<string, readonly StateName[]>> = {
    done: ['new'],
    IO: ['old'],
    DURABILITY: ['new', 'between'],
    // A lock that cannot be read any more may be somebody else's by now.
    LOCKED: ['old'],
  }
  // The key of a new vault is a file of its own, and may be all that there is.
  const isKeyOnly = code === 'DURABILITY' && prepared.command.line === 'init' && name === 'old'
  // A rotation is journaled before it is done, and what is journaled is named with the way out.
  const isNamed = code === 'DURABILITY' && name === 'old' && /; version \d+ is live.* --resume/.test(stderr)
  if (!isKeyOnly && !isNamed && !allowed[code]?.includes(name))
    throw new Error(`it is ${name} and said ${code}, ${status}: ${stderr}`)
  const expected = code === 'LOCKED' ? 7 : 9
  if (status !== 0 && (status !== expected || stdout !== ''))
    throw new Error(`it gave ${status} and printed "${stdout}"`)
  // What cannot be deleted stays, and is told of.
  const { removes: _, ...command } = prepared.command
  const isTold = stderr.includes('may still hold what was removed')
  await expectNoHand(place, isTold ? { ...prepared, command } : prepared, name)
  return `${code} ${name}`
}

function codeOf(stderr: string): string {
  const line = stderr.split('\n').find((one) => one.startsWith('{'))
  return line === undefined ? 'nothing' : (JSON.parse(line) as { error: { code: string } }).error.code
}
