/**
 * A program that speaks MCP over stdio: one JSON-RPC message a line (specification, "Transports"). What it writes is
 * untrusted: it is bounded, redacted before anything is read from it, and cannot hold up anybody else.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { StringDecoder } from 'node:string_decoder'
import { isSystemError, VaultError } from '../errors.js'

/** The longest message of a child, in bytes. */
const MAX_LINE_BYTES = 10 * 1024 * 1024
/** What may wait for a child that does not read, in bytes. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** How long a child may take to end by itself once nobody talks to it any more, and then after SIGTERM. */
const END_MS = 2000
/** How long its pipes are read after it has ended. */
const LAST_WORDS_MS = 500

/** A process and all that it started, to be ended at once. */
export interface ProcessGroup {
  /** Ends them with SIGKILL. */
  kill(): void
  /** To be called once the process has ended. */
  release(): void
}

/** How a child is started and who hears of it. */
export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Ends a process together with all that it started, and with us. */
  readonly guardGroup: (start: () => number | undefined) => ProcessGroup
  /** Takes one line of its stdout, without the line end. */
  readonly onLine: (line: string) => void
  /** Takes bytes of its stderr. */
  readonly onStderr: (chunk: Buffer) => void
  /** Told once when it has ended, in words: `it ended with status 1`. */
  readonly onEnd: (how: string) => void
}

/** A running child. */
export class Child {
  readonly pid: number
  readonly #process: ChildProcess
  readonly #group: ProcessGroup
  readonly #ended: Promise<void>
  #hasEnded = false
  #reason: string | undefined
  #isTold = false

  /** Starts a program without a shell. @throws {VaultError} UPSTREAM if it cannot be started */
  static async start(options: ChildOptions): Promise<Child> {
    const born: { spawned?: ChildProcess } = {}
    const group = options.guardGroup(() => {
      born.spawned = spawnQuietly(options)
      return born.spawned.pid
    })
    const { spawned } = born
    if (spawned === undefined) throw new TypeError('a guard starts what it guards')
    if (spawned.pid === undefined) throw await startError(spawned, options.command)
    return new Child(spawned, group, options)
  }

  private constructor(spawned: ChildProcess, group: ProcessGroup, options: ChildOptions) {
    this.#process = spawned
    this.pid = spawned.pid as number
    this.#group = group
    this.#ended = new Promise((resolve) => {
      spawned.once('exit', (code, signal) => {
        this.#hasEnded = true
        // What it started and left behind holds the credential too.
        this.#group.kill()
        this.#group.release()
        this.#reason ??= signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`
        resolve()
      })
    })
    void this.#tellEnd(spawned, options.onEnd)
    spawned.on('error', () => {})
    spawned.stdin?.on('error', () => {})
    spawned.stdout?.on('error', () => {})
    spawned.stderr?.on('error', () => {})
    spawned.stdout?.on(
      'data',
      lineReader(options.onLine, () => this.kill('a message of it was over 10 MiB')),
    )
    spawned.stderr?.on('data', options.onStderr)
  }

  /** Whether it has ended without being told to. */
  get hasEndedItself(): boolean {
    return this.#hasEnded && !this.#isTold
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Writes one message. @throws {VaultError} UPSTREAM if it does not read what it is sent, or has ended */
  write(line: string): void {
    const { stdin } = this.#process
    if (this.#hasEnded || stdin === null || !stdin.writable) throw new VaultError('UPSTREAM', 'it has ended')
    if (stdin.writableLength > MAX_WAITING_BYTES) throw new VaultError('UPSTREAM', 'it does not read its messages')
    stdin.write(`${line}\n`)
  }

  /** Ends it at once, with all that it started. */
  kill(reason: string): void {
    this.#isTold ||= !this.#hasEnded
    this.#reason ??= reason
    if (!this.#hasEnded) this.#group.kill()
  }

  /** Ends it as the specification says: its stdin is closed, then SIGTERM, then SIGKILL. */
  async end(): Promise<void> {
    this.#isTold ||= !this.#hasEnded
    this.#reason ??= 'it was ended'
    this.#process.stdin?.end()
    if (await this.#endsWithin(END_MS)) return
    this.#process.kill('SIGTERM')
    if (await this.#endsWithin(END_MS)) return
    this.#group.kill()
    await this.#ended
  }

  /** Slows down a child that writes too much to its stderr: reads nothing from it for some milliseconds. */
  pauseStderr(ms: number): void {
    this.#process.stderr?.pause()
    setTimeout(() => this.#process.stderr?.resume(), ms).unref()
  }

  /** Tells of the end when its last words have been read; whoever else holds its pipes is not waited for. */
  async #tellEnd(spawned: ChildProcess, onEnd: (how: string) => void): Promise<void> {
    const closed = new Promise<void>((resolve) => spawned.once('close', () => resolve()))
    await this.#ended
    const timer = setTimeout(() => this.#drop(), LAST_WORDS_MS)
    await closed
    clearTimeout(timer)
    onEnd(this.#reason ?? 'it has ended')
  }

  #drop(): void {
    const { stdin, stdout, stderr } = this.#process
    for (const stream of [stdin, stdout, stderr]) stream?.destroy()
  }

  async #endsWithin(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([this.#ended, late])
    clearTimeout(timer)
    return this.#hasEnded
  }
}

function spawnQuietly({ command, args, env }: ChildOptions): ChildProcess {
  try {
    // A group of its own, so that it can be ended whole; a signal that a terminal sends us is not meant for it.
    return spawn(command, args, { env, shell: false, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  } catch {
    // spawn's own messages quote the command line.
    throw new VaultError('UPSTREAM', `cannot start "${command}": it has an impossible argument or variable`)
  }
}

async function startError(spawned: ChildProcess, command: string): Promise<VaultError> {
  const error = await new Promise<Error>((resolve) => spawned.once('error', resolve))
  const reason = isSystemError(error, 'ENOENT')
    ? 'there is no such program'
    : isSystemError(error, 'EACCES')
      ? 'it may not be executed'
      : 'the system refused'
  return new VaultError('UPSTREAM', `cannot start "${command}": ${reason}`)
}

/** Cuts chunks into lines; a line that is too long ends the reading. */
function lineReader(onLine: (line: string) => void, onTooLong: () => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8')
  let pieces: string[] = []
  let length = 0
  return (chunk) => {
    if (length > MAX_LINE_BYTES) return
    const lines = decoder.write(chunk).split('\n')
    const last = lines.pop() ?? ''
    for (const line of lines) {
      const whole = [...pieces, line].join('')
      pieces = []
      length = 0
      if (whole.trim() !== '') onLine(whole)
    }
    pieces.push(last)
    length += last.length
    if (length > MAX_LINE_BYTES) onTooLong()
  }
}
