/**
 * A crowd of processes of the built program on one vault: writers that are killed at random, and readers in a loop.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { seededRandom } from './mutations.js'
import type { TrialPlace } from './trial-place.js'

/** How large a crowd is. */
export interface CrowdOptions {
  readonly writers: number
  readonly readers: number
  /** How many commands each writer runs, one after the other. */
  readonly rounds: number
  /** How likely a command is to be killed while it runs. */
  readonly killRate: number
  readonly seed: number
  /** Writes as a careless program does, without the lock; for controls. */
  readonly isCareless?: boolean
}

/** What a crowd did, and what was wrong afterwards. */
export interface CrowdReport {
  readonly acknowledged: number
  readonly kills: number
  readonly reads: number
  readonly failures: readonly string[]
}

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Writes JSON over JSON, as programs do that know of no lock; the value is no sealed one, since nobody reads it. */
const CARELESS = `
  const { readFileSync, writeFileSync } = require('node:fs')
  const [path, name] = process.argv.slice(1)
  const vault = JSON.parse(readFileSync(path, 'utf8'))
  vault[name] = 'gAAAAA'
  writeFileSync(path, JSON.stringify(vault, null, 2))`

const READS = ['list', 'log verify', 'token list --all', 'rotation-due --exit-zero', 'load kept']

/** Lets a crowd loose on a place that has a vault with the credential `kept`, and looks at what is left. */
export async function runCrowd(place: TrialPlace, options: CrowdOptions): Promise<CrowdReport> {
  const crowd = new Crowd(place, options)
  const writers = Array.from({ length: options.writers }, (_, index) => crowd.write(index))
  const reading = Array.from({ length: options.readers }, (_, index) => crowd.read(index))
  await Promise.all(writers)
  crowd.isOver = true
  await Promise.all(reading)
  await crowd.compare()
  return { acknowledged: crowd.acknowledged, kills: crowd.kills, reads: crowd.reads, failures: crowd.failures }
}

class Crowd {
  isOver = false
  acknowledged = 0
  kills = 0
  reads = 0
  readonly failures: string[] = []
  readonly #place: TrialPlace
  readonly #options: CrowdOptions
  readonly #random: () => number
  /** The value that each name must have; several where a killed command may or may not have come through. */
  readonly #values = new Map<string, Set<string>>()
  readonly #tokens = new Map<string, Set<string>>()

  constructor(place: TrialPlace, options: CrowdOptions) {
    this.#place = place
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  /** One writer has names and labels of its own, so that what it was told can be held against the files. */
  async write(index: number): Promise<void> {
    const [name, label] = [`w${index}`, `t${index}`]
    for (let round = 0; round < this.#options.rounds; round++) {
      if (this.#options.isCareless) {
        await this.#writeCarelessly(`${name}.${round}`)
      } else if (round % 3 === 2) await this.#changeToken(label)
      else await this.#changeValue(name, `${name} value ${round}`)
    }
  }

  async read(index: number): Promise<void> {
    for (let turn = index; !this.isOver; turn++) {
      const line = READS[turn % READS.length] ?? ''
      const { status, stderr } = await this.#run(line.split(' '), false)
      this.reads++
      if (status !== 0) this.failures.push(`${line} gave ${status}: ${stderr}`)
    }
  }

  async compare(): Promise<void> {
    try {
      const { values, tokens } = await this.#place.state()
      for (const [name, possible] of this.#values) {
        const found = values[name]?.[0] ?? ''
        if (!possible.has(found))
          this.failures.push(`"${name}" is "${found}" and should be ${[...possible].join(' or ')}`)
      }
      for (const [label, possible] of this.#tokens) {
        const found = tokens.find((token) => token.startsWith(`${label} `))?.split(' ')[1] ?? ''
        if (!possible.has(found))
          this.failures.push(`token "${label}" is "${found}" and should be ${[...possible].join(' or ')}`)
      }
    } catch (error) {
      this.failures.push(`at the end: ${error instanceof Error ? error.message : error}`)
    }
  }

  async #changeValue(name: string, value: string): Promise<void> {
    const before = this.#values.get(name) ?? new Set([''])
    this.#values.set(name, await this.#change(['rotate', name, '--create', `=${value}`], before, value))
  }

  async #changeToken(label: string): Promise<void> {
    const before = this.#tokens.get(label) ?? new Set([''])
    // A token that may or may not be there is made certain first.
    if (!before.has('')) {
      this.#tokens.set(label, await this.#change(['token', 'revoke', label], before, 'revoked'))
      return
    }
    const possible = await this.#change(['token', 'create', '--tools', 'x', '--label', label], before, 'live', [4])
    this.#tokens.set(label, possible)
  }

  /** Runs a command; gives the states that are possible afterwards. */
  async #change(
    argv: readonly string[],
    before: ReadonlySet<string>,
    after: string,
    alsoFine: readonly number[] = [],
  ): Promise<Set<string>> {
    const { status, stderr } = await this.#run(argv, this.#random() < this.#options.killRate)
    if (status === null) return new Set([...before, after])
    if (status === 0) this.acknowledged++
    // A rotation to the value that a killed one has set already is refused: then it is there.
    const isThere = status === 2 && before.has(after)
    if (status !== 0 && !isThere && !alsoFine.includes(status)) {
      this.failures.push(`${argv.join(' ')} gave ${status}: ${stderr}`)
      return new Set([...before, after])
    }
    return new Set([after])
  }

  async #writeCarelessly(name: string): Promise<void> {
    const { status } = await this.#spawn([process.execPath, '-e', CARELESS, this.#place.vault, name], false)
    if (status !== 0) return
    this.acknowledged++
    this.#values.set(name, new Set(['anything']))
  }

  #run(argv: readonly string[], isToBeKilled: boolean): Promise<Ended> {
    return this.#spawn(this.#place.command(argv), isToBeKilled)
  }

  async #spawn(command: readonly string[], isToBeKilled: boolean): Promise<Ended> {
    const [file = '', ...args] = command
    const env = { ...this.#place.env, ...this.#place.keyFor([]) }
    const child = spawn(file, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr] = [collect(child, 'stdout'), collect(child, 'stderr')]
    const timer = isToBeKilled ? setTimeout(() => child.kill('SIGKILL'), 40 + this.#random() * 400) : undefined
    const [status] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    if (status === null) this.kills++
    return { status, stdout: stdout.join(''), stderr: stderr.join('') }
  }
}

function collect(child: ChildProcess, stream: 'stdout' | 'stderr'): string[] {
  const parts: string[] = []
  child[stream]?.setEncoding('utf8').on('data', (part: string) => parts.push(part))
  return parts
}
