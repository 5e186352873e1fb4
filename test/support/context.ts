/** A world for commands that run inside the test: files and programs are real, the streams, clock and answers are ours. */
import { fileURLToPath } from 'node:url'
import { VaultError } from '../../src/errors.js'
import type { Context, Output } from '../../src/cli/context.js'
import { main } from '../../src/cli/main.js'
import { systemContext } from '../../src/cli/system.js'
import { temporaryDirectory } from './directory.js'

/** The built program. */
const LAUNCHER = [process.execPath, fileURLToPath(new URL('../../bin/mcpvault.js', import.meta.url))] as const

/** The time in a test world unless told: 2026-11-22T12:00:00Z. */
export const TEST_NOW_MS = Date.UTC(2026, 10, 22, 12)

/** How a test world differs from a fresh one. */
export interface TestWorldOptions {
  /** Holds the home directory and is the working directory; a new one by default. */
  readonly directory?: string
  readonly env?: Record<string, string | undefined>
  readonly nowMs?: number
}

/** A context whose world the test can change and look at. */
export class TestWorld {
  readonly directory: string
  readonly env: Record<string, string | undefined>
  nowMs: number
  /** The working directory. */
  cwd: string
  /** What stdin gives; undefined is a closed stdin. */
  stdin: string | Buffer | undefined
  /** Which streams are terminals. */
  terminals: { stdin: boolean; stdout: boolean; stderr: boolean } = { stdin: false, stdout: false, stderr: false }
  /** Answers to questions, first to last; running out of them is Ctrl-C. */
  readonly answers: (string | boolean)[] = []
  /** The questions that were asked. */
  readonly questions: string[] = []
  #stdout: Buffer[] = []
  #stderr: Buffer[] = []

  constructor(options: TestWorldOptions = {}) {
    this.directory = options.directory ?? temporaryDirectory()
    this.cwd = this.directory
    this.env = { ...options.env }
    this.nowMs = options.nowMs ?? TEST_NOW_MS
  }

  /** Makes all three streams terminals, or none. */
  setTerminal(isTerminal: boolean): void {
    this.terminals = { stdin: isTerminal, stdout: isTerminal, stderr: isTerminal }
  }

  get stdout(): string {
    return this.stdoutBytes.toString('utf8')
  }

  get stdoutBytes(): Buffer {
    return Buffer.concat(this.#stdout)
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString('utf8')
  }

  /** Forgets what was written so far. */
  clear(): void {
    this.#stdout = []
    this.#stderr = []
  }

  /** Runs a command line in this world, from empty streams, and gives its exit status. */
  async run(...argv: readonly string[]): Promise<number> {
    this.clear()
    return main(argv, this.context())
  }

  async *#stdinChunks(): AsyncGenerator<Buffer> {
    if (this.stdin !== undefined) yield Buffer.from(this.stdin)
  }

  context(): Context {
    const real = systemContext()
    const { directory, env } = this
    const isTerminal = (name: 'stdin' | 'stdout' | 'stderr'): boolean => this.terminals[name]
    return {
      stdin: {
        get isTerminal() {
          return isTerminal('stdin')
        },
        readAll: async (maxBytes) => this.#readStdin(maxBytes),
        chunks: () => this.#stdinChunks(),
      },
      stdout: this.#output('stdout', (bytes) => this.#stdout.push(bytes)),
      stderr: this.#output('stderr', (bytes) => this.#stderr.push(bytes)),
      prompt: {
        hidden: async (question) => String(this.#answer(question)),
        text: async (question) => String(this.#answer(question)),
        search: async (question, choicesFor) => {
          const answer = String(this.#answer(question))
          if (!choicesFor(answer).includes(answer)) throw new Error(`"${answer}" is not offered for "${question}"`)
          return answer
        },
        confirm: async (question) => this.#answer(question) === true,
      },
      keychain: real.keychain,
      env,
      cwd: this.cwd,
      home: directory,
      host: {
        pid: real.host.pid,
        platform: real.host.platform,
        uid: real.host.uid,
        user: 'tester@machine',
        accountHome: directory,
        launcher: LAUNCHER,
      },
      now: () => this.nowMs,
      randomBytes: real.randomBytes,
      onSignal: real.onSignal,
      readDescriptor: real.readDescriptor,
      runProgram: real.runProgram,
      guardGroup: real.guardGroup,
      whenEnded: real.whenEnded,
    }
  }

  #output(name: 'stdout' | 'stderr', keep: (bytes: Buffer) => void): Output {
    const isTerminal = (): boolean => this.terminals[name]
    return {
      columns: 80,
      get isTerminal() {
        return isTerminal()
      },
      write: (text) => keep(Buffer.from(text)),
    }
  }

  #readStdin(maxBytes: number): Buffer {
    if (this.stdin === undefined) throw new VaultError('INPUT', 'cannot read stdin: it is closed')
    const bytes = Buffer.from(this.stdin)
    if (bytes.length > maxBytes) throw new VaultError('INPUT', `cannot read stdin: it is longer than ${maxBytes} bytes`)
    return bytes
  }

  #answer(question: string): string | boolean {
    this.questions.push(question)
    const answer = this.answers.shift()
    if (answer === undefined) throw new VaultError('CANCELLED', 'cancelled')
    return answer
  }
}
