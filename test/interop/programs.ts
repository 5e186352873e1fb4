/**
 * The two programs written from the tutorial, as real processes beside the built mcpvault on the same files.
 *
 * @module
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url))

/** Where the programs and fixtures lie. */
export const PROGRAM_DIRECTORY = join(FIXTURES, 'tutorial')

/** What a run gave. */
export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A language that the tutorial was published in. */
export interface Tutorial {
  readonly language: 'Python' | 'Node'
  readonly fixture: string
  readonly codec: 'fernet' | 'aes-256-gcm'
  readonly command: readonly string[]
}

/** What is said where there is none. */
export const NO_PYTHON = 'no python3 here has the package "cryptography" (Debian: apt-get install python3-cryptography)'

/** Finds a Python that has the package `cryptography`; undefined when there is none. */
export function findPython(): string | undefined {
  return ['python3', '/usr/bin/python3'].find(
    (python) => spawnSync(python, ['-c', 'import cryptography.fernet'], { stdio: 'ignore' }).status === 0,
  )
}

/** The programs that can run here. */
export function tutorials(): readonly Tutorial[] {
  const node: Tutorial = {
    language: 'Node',
    fixture: 'tutorial-node',
    codec: 'aes-256-gcm',
    command: [process.execPath, join(PROGRAM_DIRECTORY, 'mcp-server.mjs')],
  }
  const python = findPython()
  if (python === undefined) return [node]
  const command = [python, join(PROGRAM_DIRECTORY, 'mcp_server.py')]
  return [{ language: 'Python', fixture: 'tutorial-python', codec: 'fernet', command }, node]
}

/** A directory in which a tutorial program and mcpvault work on the same vault with the same key. */
export class Place {
  readonly directory = temporaryDirectory()
  readonly tutorial: Tutorial
  readonly key: string
  readonly values: Readonly<Record<string, string>>
  readonly env: Record<string, string>

  constructor(tutorial: Tutorial, options: { readonly isEmpty?: boolean; readonly zone?: string } = {}) {
    this.tutorial = tutorial
    const { fixture } = tutorial
    const expected = JSON.parse(readFileSync(join(FIXTURES, fixture, 'expected.json'), 'utf8'))
    this.key = expected.MCP_ENCRYPTION_KEY
    this.values = options.isEmpty ? {} : expected.values
    this.env = {
      PATH: process.env.PATH ?? '',
      HOME: this.directory,
      MCP_ENCRYPTION_KEY: this.key,
      ...(options.zone === undefined ? {} : { TZ: options.zone }),
    }
    if (options.isEmpty) return
    for (const name of ['mcp_credentials.enc', 'rotation_log.json']) {
      const source = join(FIXTURES, fixture, name)
      if (existsSync(source)) copyFileSync(source, this.path(name))
    }
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Runs the tutorial's program, which must succeed, and gives its stdout. */
  program(action: 'store' | 'load' | 'rotate' | 'due', name: string, input = ''): string {
    const [file = '', ...args] = this.tutorial.command
    return execFileSync(file, [...args, action, name], {
      cwd: this.directory,
      env: this.env,
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    })
  }

  /** Runs the built mcpvault, which must succeed, and gives its stdout. */
  mcpvault(argv: readonly string[], input?: string): string {
    const ran = this.tryMcpvault(argv, input)
    if (ran.status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${ran.status}: ${ran.stderr}`)
    return ran.stdout
  }

  tryMcpvault(argv: readonly string[], input?: string): Ran {
    const { status, stdout, stderr } = spawnSync(process.execPath, [launcher(), ...argv], {
      cwd: this.directory,
      env: this.env,
      encoding: 'utf8',
      ...(input === undefined ? { stdio: ['ignore', 'pipe', 'pipe'] } : { input }),
      maxBuffer: 64 * 1024 * 1024,
    })
    return { status, stdout, stderr }
  }

  /** Runs something while the test goes on, and gives its stdout; rejects when it fails. */
  async run(file: string, args: readonly string[], input = ''): Promise<string> {
    const running = promisify(execFile)(file, [...args], { cwd: this.directory, env: this.env, encoding: 'utf8' })
    running.child.stdin?.end(input)
    return (await running).stdout
  }

  /** Whether the tutorial's program and mcpvault hold a credential to be due; they must agree. */
  due(name: string): boolean {
    const theirs = this.program('due', name).trim()
    const { status, stderr } = this.tryMcpvault(['rotation-due', name])
    const ours = status === 0 ? 'True' : status === 1 ? 'False' : stderr
    if (ours !== theirs) throw new Error(`"${name}": the program says ${theirs}, mcpvault says ${ours}`)
    return ours === 'True'
  }

  readVault(): string {
    return readFileSync(this.path('mcp_credentials.enc'), 'utf8')
  }

  readLog(): LogEntry[] {
    return JSON.parse(readFileSync(this.path('rotation_log.json'), 'utf8')) as LogEntry[]
  }

  /** Writes the log as the tutorial's programs do. */
  writeLog(entries: readonly LogEntry[]): void {
    writeFileSync(this.path('rotation_log.json'), JSON.stringify(entries, null, 2))
  }
}

export interface LogEntry {
  readonly credential: string | null
  readonly rotated_at: string
  readonly action: string
  readonly subject?: string
}
