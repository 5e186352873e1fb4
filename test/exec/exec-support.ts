/** What the tests of `exec` share: homes with a vault in them, and the built program run in them. */

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { KEY, nativeWorld, succeed } from '../cli/commands/support.js'
import { launcher } from '../support/built.js'
import type { TestWorld } from '../support/context.js'

/** Long, and with characters that every encoder has something to do with. */
export const VALUE = 'sk-canary-7Hq2"x/y+z 4w9'

/** A home whose vault holds `key` and `other`; its temporary directory is its own. */
export class Home {
  readonly path: string
  readonly env: Record<string, string>
  /** The same home, for what starts no program and so needs no process of its own. */
  readonly world: TestWorld

  private constructor(world: TestWorld) {
    const path = world.directory
    this.path = path
    this.world = world
    world.env.TMPDIR = path
    this.env = { HOME: path, PATH: process.env.PATH ?? '', TMPDIR: path, MCP_ENCRYPTION_KEY: KEY, LANG: 'C.UTF-8' }
  }

  static async make(): Promise<Home> {
    const world = await nativeWorld({ nowMs: Date.now() })
    for (const [name, value] of [
      ['key', VALUE],
      ['other', 'another-secret-value'],
    ] as const) {
      world.stdin = value
      await succeed(world, 'store', name, '--stdin')
    }
    return new Home(world)
  }

  /** Runs mcpvault to its end. */
  run(argv: readonly string[], env: Record<string, string> = {}): Ended {
    const { status, stdout, stderr } = spawnSync(process.execPath, [launcher(), ...argv], {
      env: { ...this.env, ...env },
      cwd: this.path,
      encoding: 'utf8',
      input: '',
    })
    return { status, stdout, stderr }
  }

  /** Runs mcpvault inside this process, where nothing gets as far as a program. */
  async refuse(argv: readonly string[]): Promise<Ended> {
    const status = await this.world.run(...argv)
    return { status, stdout: this.world.stdout, stderr: this.world.stderr }
  }

  /** Starts mcpvault. */
  start(argv: readonly string[]): Running {
    const running = new Running(spawn(process.execPath, [launcher(), ...argv], { env: this.env, cwd: this.path }))
    onTestFinished(() => void running.process.kill('SIGKILL'))
    return running
  }

  /** Private directories that lie about. */
  folders(): readonly string[] {
    return readdirSync(this.path)
      .filter((name) => name.startsWith('mcpvault-exec-'))
      .map((name) => join(this.path, name))
  }
}

/** How a run has ended. */
export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A running mcpvault. */
export class Running {
  readonly process: ChildProcessWithoutNullStreams
  stdout = ''
  stderr = ''
  readonly #ended: Promise<number | null>
  #listeners: (() => void)[] = []

  constructor(process: ChildProcessWithoutNullStreams) {
    this.process = process
    process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      for (const listener of this.#listeners) listener()
    })
    process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#ended = new Promise((resolve) => process.on('close', (code) => resolve(code)))
  }

  /** Waits until stdout shows a pattern. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve) => {
      const look = (): void => {
        const match = pattern.exec(this.stdout)
        if (match) resolve(match)
      }
      this.#listeners.push(look)
      look()
    })
  }

  async end(): Promise<Ended> {
    return { status: await this.#ended, stdout: this.stdout, stderr: this.stderr }
  }
}
