/**
 * The real world behind `Context`, and the only file in src/ that touches `process`.
 *
 * Everything is looked up on first use: what a hot command does not ask for costs it nothing. Streams are written with
 * `writeSync` on the descriptor, since touching `process.stdout` alone costs start-up time.
 *
 * @module
 */

import type { SpawnSyncReturns, StdioOptions } from 'node:child_process'
import { fstatSync, readSync, statSync, write, writeSync } from 'node:fs'
import { isSystemError, VaultError } from '../errors.js'
import type { Context, Host, Input, Output, ProgramResult, Prompter } from './context.js'
import { systemKeychain } from './keychain.js'
import { ProgramGroups } from './program-groups.js'
import type { Answer, TerminalPrompter } from './prompt.js'

const WAIT_MS = 5
const SILENCE_MS = 2000
const BLOCK_BYTES = 65_536

/** Makes the context of this process. */
export function systemContext(): Context {
  const stderr = new DescriptorOutput(2, 'stderr')
  const stdin = new StandardInput(stderr)
  return {
    stdin,
    stdout: new DescriptorOutput(1, 'stdout'),
    stderr,
    prompt: lazyPrompter(),
    keychain: systemKeychain(process.platform),
    env: process.env,
    get cwd() {
      return currentDirectory()
    },
    get home() {
      return homeDirectory()
    },
    host: systemHost(),
    now: () => Date.now(),
    randomBytes: (length) => process.getBuiltinModule('node:crypto').randomBytes(length),
    onSignal: (name, listener) => {
      process.on(name, listener)
      return () => void process.off(name, listener)
    },
    readDescriptor,
    runProgram,
    guardGroup: (start) => theGroups().guard(start),
    whenEnded: (listener) => theGroups().watch(listener),
  }
}

function currentDirectory(): string {
  try {
    return process.cwd()
  } catch (error) {
    throw new VaultError('IO', 'cannot find a file: the current directory is gone', { cause: error, hints: ['cd ~'] })
  }
}

/**
 * A HOME that is empty or relative would keep keys wherever a command happens to run. A user whom no database knows gets
 * the root, as containers have it.
 */
function homeDirectory(): string {
  const named = process.env.HOME
  return named?.startsWith('/') ? named : accountHome()
}

function accountHome(): string {
  try {
    return process.getBuiltinModule('node:os').userInfo().homedir || '/'
  } catch {
    return '/'
  }
}

function systemHost(): Host {
  return {
    pid: process.pid,
    platform: process.platform,
    get uid() {
      return process.geteuid?.() ?? -1
    },
    get user() {
      return `${userName()}@${process.getBuiltinModule('node:os').hostname()}`
    },
    get accountHome() {
      return accountHome()
    },
    get launcher(): Host['launcher'] {
      return [process.execPath, process.argv[1] ?? '']
    },
  }
}

/** A container may run under a number that no user database knows. */
function userName(): string {
  try {
    return process.getBuiltinModule('node:os').userInfo().username
  } catch {
    return process.env.USER ?? `uid-${process.geteuid?.() ?? 'unknown'}`
  }
}

/**
 * A descriptor that is written synchronously. After EPIPE the rest is dropped and the exit status stays what the command
 * makes it, so that `mcpvault list | head -1` succeeds under `set -o pipefail` too.
 */
class DescriptorOutput implements Output {
  readonly #fd: number
  readonly #name: string
  #isClosed = false
  #isTerminal: boolean | undefined

  constructor(fd: number, name: string) {
    this.#fd = fd
    this.#name = name
  }

  write(text: string | Buffer): void {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text
    for (let done = 0; done < bytes.length && !this.#isClosed; ) done += this.#writeSome(bytes, done)
  }

  async writeLater(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length && !this.#isClosed; ) {
      const { count, error } = await writeOnce(this.#fd, bytes, done)
      if (error) this.#judge(error)
      if (isSystemError(error, 'EAGAIN')) await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
      done += count
    }
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get isTerminal(): boolean {
    this.#isTerminal ??= isTerminal(this.#fd)
    return this.#isTerminal
  }

  get columns(): number {
    if (!this.isTerminal) return 80
    return (this.#fd === 1 ? process.stdout : process.stderr).columns || 80
  }

  get rows(): number | undefined {
    if (!this.isTerminal) return undefined
    return (this.#fd === 1 ? process.stdout : process.stderr).rows || undefined
  }

  #writeSome(bytes: Buffer, from: number): number {
    try {
      return writeSync(this.#fd, bytes, from)
    } catch (error) {
      this.#judge(error)
      return isSystemError(error, 'EAGAIN') ? sleepSync(WAIT_MS) : 0
    }
  }

  /** Throws unless nobody reads any more, which is remembered, or nobody reads yet. */
  #judge(error: unknown): void {
    if (isSystemError(error, 'EPIPE')) this.#isClosed = true
    else if (!isSystemError(error, 'EAGAIN')) {
      const reason = isSystemError(error, 'ENOSPC') ? 'the disk is full' : 'the system refused'
      throw new VaultError('IO', `cannot write to ${this.#name}: ${reason}`, { cause: error })
    }
  }
}

interface Written {
  readonly count: number
  readonly error: Error | null
}

function writeOnce(fd: number, bytes: Buffer, from: number): Promise<Written> {
  return new Promise((resolve) => {
    write(fd, bytes, from, bytes.length - from, null, (error, count) => resolve({ count: error ? 0 : count, error }))
  })
}

/** Only a character device other than /dev/null can be a terminal, and looking is cheaper than loading node:tty. */
function isTerminal(fd: number): boolean {
  try {
    const stats = fstatSync(fd)
    if (!stats.isCharacterDevice() || stats.rdev === statSync('/dev/null').rdev) return false
    return process.getBuiltinModule('node:tty').isatty(fd)
  } catch {
    return false
  }
}

function sleepSync(ms: number): 0 {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  return 0
}

class StandardInput implements Input {
  readonly #stderr: Output

  constructor(stderr: Output) {
    this.#stderr = stderr
  }

  get isTerminal(): boolean {
    return isTerminal(0)
  }

  chunks(): AsyncIterable<Buffer> {
    return process.stdin as AsyncIterable<Buffer>
  }

  async readAll(maxBytes: number): Promise<Buffer> {
    requireOpenInput()
    const timer = setTimeout(() => this.#stderr.write('mcpvault: waiting for the value on stdin\n'), SILENCE_MS)
    try {
      return await readStream(maxBytes, () => clearTimeout(timer))
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Node puts /dev/null in the place of a descriptor that was closed when it started; nobody means that as a value. */
function requireOpenInput(): void {
  const stat = fstatSync(0)
  if (stat.isCharacterDevice() && stat.rdev === statSync('/dev/null', { throwIfNoEntry: false })?.rdev) {
    throw new VaultError('INPUT', 'cannot read stdin: it is closed')
  }
}

async function readStream(maxBytes: number, onFirst: () => void): Promise<Buffer> {
  const blocks: Buffer[] = []
  let length = 0
  try {
    for await (const block of process.stdin as AsyncIterable<Buffer>) {
      onFirst()
      length += block.length
      if (length > maxBytes) throw tooLong('stdin', maxBytes)
      blocks.push(block)
    }
  } catch (error) {
    if (error instanceof VaultError) throw error
    throw new VaultError('INPUT', 'cannot read stdin: the system refused', { cause: error })
  }
  return joinAndWipe(blocks)
}

function readDescriptor(fd: number, maxBytes: number): Buffer {
  const blocks: Buffer[] = []
  for (let length = 0; ; ) {
    const block = Buffer.alloc(Math.min(BLOCK_BYTES, maxBytes + 1))
    const count = readSome(fd, block)
    if (count === 0) return joinAndWipe(blocks)
    length += count
    if (length > maxBytes) throw tooLong(`descriptor ${fd}`, maxBytes)
    blocks.push(block.subarray(0, count))
  }
}

function readSome(fd: number, block: Buffer): number {
  for (;;) {
    try {
      return readSync(fd, block)
    } catch (error) {
      if (isSystemError(error, 'EAGAIN')) sleepSync(WAIT_MS)
      else if (isSystemError(error, 'EOF')) return 0
      else throw new VaultError('INPUT', `cannot read descriptor ${fd}: it is not open for reading`, { cause: error })
    }
  }
}

function joinAndWipe(blocks: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(blocks)
  for (const block of blocks) block.fill(0)
  return whole
}

function tooLong(name: string, maxBytes: number): VaultError {
  return new VaultError('INPUT', `cannot read ${name}: it is longer than ${maxBytes} bytes`)
}

function runProgram(
  argv: readonly string[],
  options: { readonly timeoutMs: number; readonly maxBytes: number },
): ProgramResult {
  const result = spawnQuietly(argv, options)
  if (result.error) throw new VaultError('INPUT', `cannot run a program: ${spawnReason(result.error)}`)
  return { exitCode: result.status, signal: result.signal, stdout: result.stdout }
}

let groups: ProgramGroups | undefined

function theGroups(): ProgramGroups {
  groups ??= new ProgramGroups(process)
  return groups
}

type SpawnResult = Pick<SpawnSyncReturns<Buffer>, 'error' | 'status' | 'signal' | 'stdout'>

function spawnQuietly(
  argv: readonly string[],
  { timeoutMs, maxBytes }: { readonly timeoutMs: number; readonly maxBytes: number },
): SpawnResult {
  const [file = '', ...args] = argv
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit']
  try {
    return spawnSync(file, args, { stdio, timeout: timeoutMs, maxBuffer: maxBytes, shell: false })
  } catch {
    // A word with a NUL is not even tried.
    return { error: new Error('refused'), status: null, signal: null, stdout: Buffer.alloc(0) }
  }
}

/** spawn's own messages quote the command line, so its error is not even kept as the cause. */
function spawnReason(error: Error): string {
  if (isSystemError(error, 'ENOENT')) return 'there is no such file'
  if (isSystemError(error, 'EACCES')) return 'it may not be executed'
  if (isSystemError(error, 'ETIMEDOUT')) return 'it took too long'
  if (isSystemError(error, 'ENOBUFS')) return 'it printed too much'
  return 'the system refused'
}

function lazyPrompter(): Prompter {
  const load = async (): Promise<TerminalPrompter> => (await import('./prompt.js')).createPrompter(process)
  return {
    hidden: async (question) => requireAnswer(await (await load()).hidden(question)),
    text: async (question) => requireAnswer(await (await load()).text(question)),
    search: async (question, choicesFor) => requireAnswer(await (await load()).search(question, choicesFor)),
    confirm: async (question) => requireAnswer(await (await load()).confirm(question)),
  }
}

function requireAnswer<T>(given: Answer<T>): T {
  if ('answer' in given) return given.answer
  if ('isPaste' in given) {
    throw new VaultError('INPUT', 'cannot take the answer: several lines were pasted', {
      hints: ['a value of several lines comes from --stdin or --from-file FILE'],
    })
  }
  throw new VaultError('CANCELLED', 'cancelled', { exitCode: 128 + given.signal })
}
