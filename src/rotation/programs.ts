/**
 * Runs the programs of a policy: no shell, an environment without any key, a process group that can be ended whole, and
 * bounds on time and output.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { basename, isAbsolute, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isSystemError, VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { StorageHost } from '../storage/read-file.js'
import { LiveLines, MAX_PRINTED_BYTES, type Showing } from './printed.js'
import type { Argv } from './spec.js'

/** A program and all that it started, as far as they stayed in its process group. */
export interface ProgramGroup {
  /** Ends them with SIGKILL. */
  kill(): void
  /** Must be called once the program has ended; until then they are ended when a signal ends mcpvault. */
  release(): void
}

/** What providers, probes, targets and hooks need of the world. */
export interface RotationWorld {
  /** The vault's directory: programs run in it, relative files lie in it. */
  readonly directory: string
  readonly home: string
  /** PATH, HOME, LANG, TZ and TMPDIR as far as they are set, and nothing else. */
  readonly environment: Readonly<Record<string, string>>
  readonly host: StorageHost
  /** As in SCAVIO_BASE_URL. */
  readonly searchBaseUrl: string | undefined
  /** For each program and each call of a probe; 60 s unless told. */
  readonly timeoutMs?: number
  /** Milliseconds since the epoch. */
  now(): number
  randomBytes(length: number): Buffer
  guardGroup(start: () => number | undefined): ProgramGroup
  /** Shows a line that a program printed: untrusted text without the secrets of this rotation. */
  say(line: string): void
  /** Told when others can read a file that a secret is written to. */
  warn(sentence: string): void
}

/** Whose program it is, for messages. */
export type ProgramRole = 'provider' | 'probe' | 'hook'

/** How a program is run. */
export interface ProgramRequest {
  /** One JSON value; /dev/null when undefined. */
  readonly stdin: Buffer | undefined
  /** The most that it may answer on stdout, in bytes. Undefined when it answers nothing: stdout is then shown too. */
  readonly maxAnswerBytes?: number
  /** How what it prints is shown while it runs; without it, it is kept for the caller. */
  readonly showing?: Showing
}

/** How a program has ended. */
export interface ProgramEnd {
  /** In words, without anything that the program printed; undefined when it exited 0. */
  readonly failure: string | undefined
  /** What it answered on stdout; the caller wipes it. */
  readonly answer: Buffer
  /** What it printed for people and was not shown; may hold secrets. */
  readonly printed: Buffer
  /** Whether it printed more. */
  readonly isCut: boolean
}

const TIMEOUT_MS = 60_000
/** A daemon that a hook left behind may hold the pipes for ever; what the program itself wrote is there by then. */
const DRAIN_MS = 200
const NOTHING = { answer: Buffer.alloc(0), printed: Buffer.alloc(0), isCut: false }

/** How long a program or a call may take, in milliseconds. */
export function timeLimit(world: Pick<RotationWorld, 'timeoutMs'>): number {
  return world.timeoutMs ?? TIMEOUT_MS
}

/** Runs a program to its end. Never throws for what the program does. */
export async function runProgram(argv: Argv, request: ProgramRequest, world: RotationWorld): Promise<ProgramEnd> {
  const born: { child?: ChildProcess | undefined } = {}
  const group = world.guardGroup(() => {
    born.child = start(argv, request, world)
    return born.child?.pid
  })
  const { child } = born
  if (child === undefined) return { ...NOTHING, failure: 'could not be started: the system refused' }
  if (child.pid === undefined) return { ...NOTHING, failure: `could not be started: ${await startReason(child)}` }
  let stopped: string | undefined
  const stop = (reason: string): void => {
    stopped ??= reason
    group.kill()
  }
  const { maxAnswerBytes } = request
  const answer = new Collector(maxAnswerBytes ?? 0, () =>
    stop(`answered with more than ${maxAnswerBytes} bytes, and was ended`),
  )
  const printed = new Collector(MAX_PRINTED_BYTES)
  const lines = request.showing === undefined ? undefined : new LiveLines(request.showing)
  const forPeople = lines ?? printed
  forPeople.add(child.stderr)
  ;(maxAnswerBytes === undefined ? forPeople : answer).add(child.stdout)
  const limitMs = timeLimit(world)
  const timer = setTimeout(() => stop(`did not end within ${limitMs / 1000} s, and was ended`), limitMs)
  try {
    // A program that closes its stdin early has read all that it wanted.
    child.stdin?.on('error', () => {}).end(request.stdin)
    const failure = await untilEnded(child, [answer, forPeople])
    lines?.end()
    return { failure: stopped ?? failure, answer: answer.take(), printed: printed.take(), isCut: printed.isCut }
  } finally {
    clearTimeout(timer)
    group.release()
  }
}

function start([file = '', ...args]: Argv, request: ProgramRequest, world: RotationWorld): ChildProcess | undefined {
  try {
    return spawn(file, args, {
      cwd: world.directory,
      env: { ...world.environment },
      // A session of its own: it can be ended whole, and finds no terminal to ask on.
      detached: true,
      shell: false,
      stdio: [request.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
  } catch {
    // spawn's own messages quote the command line.
    return undefined
  }
}

async function startReason(child: ChildProcess): Promise<string> {
  const error = await new Promise<Error>((resolve) => child.once('error', resolve))
  if (isSystemError(error, 'ENOENT')) return 'there is no such program'
  if (isSystemError(error, 'EACCES')) return 'it may not be executed'
  return 'the system refused'
}

/** Keeps what streams give, up to a limit; the rest is read and dropped. */
class Collector {
  readonly #most: number
  readonly #onCut: (() => void) | undefined
  readonly #streams: Readable[] = []
  #chunks: Buffer[] = []
  #length = 0
  /** Bytes that came, kept or not. */
  seen = 0
  isCut = false

  constructor(most: number, onCut?: () => void) {
    this.#most = most
    this.#onCut = onCut
  }

  add(stream: Readable | null): void {
    if (stream === null) return
    this.#streams.push(stream)
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => this.#keep(chunk))
  }

  #keep(chunk: Buffer): void {
    this.seen += chunk.length
    const room = this.#most - this.#length
    if (chunk.length > room && !this.isCut) {
      this.isCut = true
      this.#onCut?.()
    }
    const kept = Buffer.from(chunk.subarray(0, Math.max(0, room)))
    chunk.fill(0)
    this.#length += kept.length
    if (kept.length > 0) this.#chunks.push(kept)
  }

  /** Gives what was kept and listens no longer. */
  take(): Buffer {
    for (const stream of this.#streams) stream.destroy()
    const whole = Buffer.concat(this.#chunks)
    for (const chunk of this.#chunks) chunk.fill(0)
    this.#chunks = []
    return whole
  }
}

/** Waits until a program has ended and what it wrote is read; gives its failure in words. */
function untilEnded(child: ChildProcess, streams: readonly { readonly seen: number }[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    let drain: NodeJS.Timeout | undefined
    const finish = (code: number | null, signal: string | null): void => {
      clearTimeout(drain)
      resolve(endReason(code, signal))
    }
    child.once('close', finish)
    child.once('exit', (code, signal) => {
      const seen = (): number => streams.reduce((sum, stream) => sum + stream.seen, 0)
      const wait = (before: number): void => {
        // The second step lets a machine that slept or was busy read first what lies in the pipe.
        drain = setTimeout(() => setImmediate(() => (seen() > before ? wait(seen()) : finish(code, signal))), DRAIN_MS)
      }
      wait(seen())
    })
  })
}

function endReason(code: number | null, signal: string | null): string | undefined {
  if (code === 0) return undefined
  return code === null ? `was ended by ${signal ?? 'a signal'}` : `exited with status ${code}`
}

/** A program that did not do its part, and how. */
export interface FailedProgram {
  readonly role: ProgramRole
  readonly argv: Argv
  readonly reason: string
}

/** Builds the error for a program that did not do its part; its arguments are not repeated. */
export function programError(action: string, { role, argv, reason }: FailedProgram): VaultError {
  return new VaultError('ROTATION', `cannot ${action}: the ${role} "${basename(argv[0] ?? '')}" ${reason}`)
}

/** Writes one JSON value for a program's stdin. */
export function jsonLine(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`, 'utf8')
}

/** A secret as a member of such a value: `NAME`, or `NAME_base64` when it is not UTF-8. */
export function secretMember(name: string, secret: Secret | undefined): Record<string, string> {
  if (secret === undefined) return {}
  const text = secret.revealText()
  return text === undefined ? { [`${name}_base64`]: secret.reveal().toString('base64') } : { [name]: text }
}

/** Finds a file of a policy: relative ones lie in the vault's directory, `~/` is the home directory. */
export function locateFile(file: string, { directory, home }: Pick<RotationWorld, 'directory' | 'home'>): string {
  if (file.startsWith('~/')) return join(home, file.slice(2))
  return isAbsolute(file) ? file : join(directory, file)
}
