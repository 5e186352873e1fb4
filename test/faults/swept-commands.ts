/**
 * The commands that write, as the sweeps run them, and what their files must mean after any fault.
 *
 * @module
 */

import { isDeepStrictEqual } from 'node:util'
import { type Call, readCalls, traced } from '../support/strace.js'
import type { Ran, State, TrialPlace } from './trial-place.js'

/** System calls that change files, and `exit_group` for the moment when all is done. */
export const CHANGING = [
  ...['openat', 'open', 'creat', 'close', 'write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'sendfile'],
  ...['copy_file_range', 'fallocate', 'ftruncate', 'truncate', 'fsync', 'fdatasync', 'sync_file_range'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat', 'unlink', 'unlinkat', 'mkdir'],
  ...['mkdirat', 'rmdir', 'fchmod', 'chmod', 'fchmodat', 'fchown', 'chown', 'lchown', 'fchownat', 'utimensat'],
  'exit_group',
]

/** A command that is swept. */
export interface SweptCommand {
  readonly format: 'native' | 'tutorial'
  /** Command lines that lead up to it, `=VALUE` standing for a value. */
  readonly before: readonly string[]
  readonly line: string
  /** Its exit status once it has taken effect: a second `store` finds the name taken. */
  readonly again: number
  /** Whether there is a state between: a tutorial vault is written before the log, and the log errs to due. */
  readonly hasBetween?: boolean
  /** The credential of which nothing may be left, not even in `.bak`. */
  readonly removes?: string
  /** Whether it commits as another does that is swept: then the long trials sample it, and test:sweeps has the whole. */
  readonly isLikeAnother?: boolean
  /** Whether a lock lies there whose owner was killed, so that the command has to break it. */
  readonly hasDeadLock?: boolean
}

const NATIVE = ['init', 'store a =one', 'rotate a =two', 'store b =other', 'token create --tools x --label first']
/** The recipient of an identity that nobody has kept. */
const ADD_MEMBER = 'key add --label leaver --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const TUTORIAL = ['init --format fernet', 'store a =one', 'store b =other', 'token create --tools x --label first']

/** Every command that writes, in both formats. */
export const SWEPT: readonly SweptCommand[] = [
  { format: 'native', before: [], line: 'init', again: 4 },
  { format: 'native', before: NATIVE, line: 'store c =three', again: 4 },
  { format: 'native', before: NATIVE, line: 'rotate a =three', again: 2 },
  { format: 'native', before: NATIVE, line: 'rollback a', again: 0 },
  { format: 'native', before: NATIVE, line: 'remove a --yes', again: 3, removes: 'a' },
  { format: 'native', before: NATIVE, line: 'token create --tools y --label second', again: 4 },
  { format: 'native', before: NATIVE.slice(0, -1), line: 'token create --tools y --label second', again: 4 },
  { format: 'native', before: NATIVE, line: 'token revoke first', again: 0 },
  { format: 'native', before: NATIVE, line: 'rename b c', again: 3, hasDeadLock: true, isLikeAnother: true },
  {
    format: 'native',
    before: [...NATIVE, ADD_MEMBER],
    line: 'key rotate',
    again: 0,
    removes: 'a',
    isLikeAnother: true,
  },
  {
    format: 'native',
    before: [...NATIVE, ADD_MEMBER],
    line: 'key remove leaver --yes',
    again: 3,
    removes: 'a',
    isLikeAnother: true,
  },
  { format: 'native', before: NATIVE, line: ADD_MEMBER, again: 4, isLikeAnother: true },
  { format: 'tutorial', before: [], line: 'init --format fernet', again: 4 },
  { format: 'tutorial', before: TUTORIAL, line: 'store c =three', again: 4, hasBetween: true },
  { format: 'tutorial', before: TUTORIAL, line: 'rotate a =three', again: 2, hasBetween: true },
  { format: 'tutorial', before: TUTORIAL, line: 'remove a --yes', again: 3, hasBetween: true, removes: 'a' },
  { format: 'tutorial', before: TUTORIAL, line: 'upgrade', again: 2 },
  {
    format: 'tutorial',
    before: TUTORIAL,
    line: 'token create --tools y --label second',
    again: 4,
    isLikeAnother: true,
  },
  { format: 'tutorial', before: TUTORIAL.slice(0, -1), line: 'token create --tools y --label second', again: 4 },
  { format: 'tutorial', before: TUTORIAL, line: 'token revoke first', again: 0 },
]

/** Finds a swept command by its line. */
export function sweptCommand(format: SweptCommand['format'], line: string): SweptCommand {
  const found = SWEPT.find((command) => command.format === format && command.line.startsWith(line))
  if (!found) throw new Error(`no such swept command: ${line}`)
  return found
}

/** A traced run. */
export interface Traced {
  readonly ran: Ran
  /** The calls that touch the place's files, standard output or standard error, and the end. */
  readonly calls: readonly Call[]
}

/** A command ready to be swept: its place is as it was before it. */
export interface Prepared {
  readonly command: SweptCommand
  readonly old: State
  readonly young: State
  /** What it does when nothing goes wrong. */
  readonly calls: readonly Call[]
  /** Goes back to the beginning and runs it, with a fault as strace has it. */
  run(inject?: string): Traced
}

/** How a command is prepared. */
export interface PrepareOptions {
  /** More flags for the command. */
  readonly flags?: readonly string[]
  /** The system calls to be traced. */
  readonly calls?: readonly string[]
  /** False where no call is to be looked at: then strace is not needed, and `calls` stays empty. */
  readonly isTraced?: boolean
  /** Brings the same new files about as a careless program does, for controls: over the old ones, in two halves. */
  readonly isCareless?: boolean
}

const CARELESS = `
  const { closeSync, fsyncSync, openSync, readFileSync, writeSync } = require('node:fs')
  const [from, to, ...names] = process.argv.slice(1)
  for (const name of names) {
    const bytes = readFileSync(from + '/' + name)
    const fd = openSync(to + '/' + name, 'w')
    writeSync(fd, bytes, 0, bytes.length >> 1)
    writeSync(fd, bytes, bytes.length >> 1)
    fsyncSync(fd)
    closeSync(fd)
  }`

/** Leads up to a command and runs it once. */
export async function prepare(
  place: TrialPlace,
  command: SweptCommand,
  options: PrepareOptions = {},
): Promise<Prepared> {
  for (const line of command.before) place.succeed(line.split(' '))
  if (command.hasDeadLock) place.leaveDeadLock()
  place.keep()
  const old = await place.state()
  const argv = [...command.line.split(' '), ...(options.flags ?? [])]
  let words = place.command(argv)
  const run = (inject?: string): Traced => {
    place.restore()
    const log = `${place.directory}.strace`
    const trace = { calls: options.calls ?? CHANGING, log, ...(inject === undefined ? {} : { inject }) }
    if (options.isTraced === false) return { ran: place.run(argv), calls: [] }
    const env = place.keyFor(argv)
    const ran = place.runCommand(words, { env, wrap: (inner) => traced(inner, trace) })
    return { ran, calls: relevant(readCalls(log), place.directory) }
  }
  let { ran, calls } = run()
  if (ran.status !== 0) throw new Error(`${command.line} gave ${ran.status}: ${ran.stderr}`)
  const young = await place.state()
  if (isDeepStrictEqual(old, young)) throw new Error(`${command.line} changes nothing`)
  if (options.isCareless) {
    const from = place.keepAs('young')
    words = [process.execPath, '-e', CARELESS, from, place.directory, 'mcp_credentials.enc', 'rotation_log.json']
    calls = run().calls
  }
  return { command, old, young, calls, run }
}

function relevant(calls: readonly Call[], directory: string): readonly Call[] {
  const isRelevant = ({ name, text }: Call): boolean =>
    name === 'exit_group' ||
    text.includes(`"${directory}`) ||
    text.includes(`<${directory}`) ||
    /^write\(<(pipe|\/dev\/)/.test(text)
  return calls.filter(isRelevant).map((call) => ({ ...call, text: call.text.replaceAll(directory, '') }))
}

/** The states that a fault may leave; `between` in the tutorial format only. */
export type StateName = 'old' | 'new' | 'between'

/** Names the state of a place. Throws when anything there does not verify, or the state is neither old nor new. */
export async function nameState(place: TrialPlace, { old, young, command }: Prepared): Promise<StateName> {
  const state = await place.state()
  if (isDeepStrictEqual(state, old)) return 'old'
  if (isDeepStrictEqual(state, young)) return 'new'
  if (command.hasBetween && isDeepStrictEqual(state, { ...young, log: old.log })) return 'between'
  throw new Error(`neither old nor new: ${JSON.stringify(state)}`)
}

/** Sees that the next run of the same command needs no hand, and that nothing is left behind when work has gone on. */
export async function expectNoHand(place: TrialPlace, prepared: Prepared, name: StateName): Promise<void> {
  const { command, young } = prepared
  const next = place.run(command.line.split(' '))
  const expected = name === 'old' ? 0 : command.again
  if (next.status !== expected) throw new Error(`${name}, and the next run gave ${next.status}: ${next.stderr}`)
  const after = await place.state()
  if (name === 'old' && !isDeepStrictEqual(after, young)) throw new Error('the next run made something else')
  if (command.removes !== undefined && place.previousNames().includes(command.removes)) {
    throw new Error(`${name}, and the removed value is still in .bak`)
  }
  await place.workOn()
  const leftovers = place.leftovers()
  if (leftovers.length > 0) throw new Error(`${name}, and there is left: ${leftovers.join(', ')}`)
}

/** Says in a line what a sweep did, for whoever reads the output of a long run. */
export function sayDone(what: string, counts: Readonly<Record<string, unknown>>): void {
  process.stderr.write(`${what}: ${JSON.stringify(counts)}\n`)
}
