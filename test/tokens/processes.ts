/**
 * Trials of the token records with several processes at once: revocations that race with checks, and budgets that are
 * spent by processes which are killed.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { mintMacaroon } from '../../src/crypto/macaroon.js'
import { encodeCaveat } from '../../src/tokens/caveats.js'
import { changeRecords, createToken } from '../../src/tokens/change.js'
import { deriveRootKey, encodeToken, toolsCaveat } from '../../src/tokens/token.js'
import { seededRandom } from '../faults/mutations.js'
import { bundleScript } from '../support/bundle.js'
import { temporaryDirectory } from '../support/directory.js'
import { NOW, openAccess, type TestAccess } from './tokens-support.js'

/** What a race of revocations found. */
export interface RaceReport {
  readonly rounds: number
  /** Judgements after an acknowledged revocation that were no refusal for it, and odd ones before. */
  readonly failures: readonly string[]
}

/** What spending with kills found. */
export interface SpendReport {
  readonly limit: number
  /** Calls that a process was allowed to make. */
  readonly calls: number
  readonly kills: number
}

const BATCH = 1000
/** How many calls a process makes at most before it is killed. */
const MOST_CALLS = 60

/**
 * In each round one process revokes a token that all others judge over and over; once it has said that the token is
 * revoked, each is asked once more.
 */
export async function raceRevocations(options: {
  readonly rounds: number
  readonly processes: number
  readonly kind?: 'stale'
}): Promise<RaceReport> {
  const access = openAccess(temporaryDirectory())
  const directory = access.recordsPath.replace(/\/[^/]*$/, '')
  const script = await bundleScript(new URL('./children/race-child.ts', import.meta.url))
  const failures: string[] = []
  let tokens = await createMany(access, Math.min(BATCH, options.rounds))
  const children = Array.from(
    { length: options.processes },
    () => new Speaker([script.path, directory, options.kind ?? '']),
  )
  try {
    for (let round = 0; round < options.rounds; round++) {
      if (tokens.length === 0) tokens = await createMany(access, Math.min(BATCH, options.rounds - round))
      const { id, token } = tokens.pop() ?? fail()
      const revoker = children[round % children.length] ?? fail()
      const watchers = children.filter((child) => child !== revoker)
      await Promise.all(watchers.map((child) => child.ask(`watch ${token}`, failures)))
      await revoker.ask(`revoke ${id}`, failures)
      const outcomes = await Promise.all(children.map((child) => child.ask(`check ${token}`, failures)))
      for (const outcome of outcomes) if (outcome !== 'revoked') failures.push(`round ${round}: ${outcome}`)
    }
  } finally {
    for (const child of children) child.end()
    script.remove()
  }
  return { rounds: options.rounds, failures }
}

/**
 * Processes spend one budget; each is killed somewhere and another takes its place, until nothing is left.
 *
 * When one is killed is counted in calls that it has made, never in time since its start: on a busy machine that would
 * kill all of them before their first call, for ever.
 */
export async function spendWithKills(options: {
  readonly limit: number
  readonly processes: number
  readonly seed: number
  readonly kind?: 'careless'
}): Promise<SpendReport> {
  const access = openAccess(temporaryDirectory())
  const directory = access.recordsPath.replace(/\/[^/]*$/, '')
  const { token } = await createToken(access, { tools: ['web_search'], calls: options.limit })
  const script = await bundleScript(new URL('./children/budget-child.ts', import.meta.url))
  const random = seededRandom(options.seed)
  let [calls, kills, isOver] = [0, 0, false]
  const spendOnce = async (): Promise<void> => {
    const child = spawn(process.execPath, [script.path, directory, token, options.kind ?? ''], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    // 'ready' is a line as well, so that some die before their first call, in the middle of its reservation.
    let linesToLive = Math.floor(random() * MOST_CALLS)
    const delayMs = Math.floor(random() * 6)
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'end') isOver = true
      if (line === 'call') calls += 1
      if (linesToLive-- === 0) setTimeout(() => child.kill('SIGKILL'), delayMs)
    }
    await ended
    if (child.signalCode === 'SIGKILL') kills += 1
    else if (child.exitCode !== 0) throw new Error(`a process ended with ${child.exitCode ?? child.signalCode}`)
  }
  const spendOn = async (): Promise<void> => {
    while (!isOver && calls <= options.limit * 2) await spendOnce()
  }
  try {
    await Promise.all(Array.from({ length: options.processes }, spendOn))
  } finally {
    script.remove()
  }
  return { limit: options.limit, calls, kills }
}

/** Creates tokens with one record after the other and one write for all. */
async function createMany(access: TestAccess, count: number): Promise<{ id: string; token: string }[]> {
  const caveats = [toolsCaveat(['web_search'])]
  const identifiers = Array.from({ length: count }, () => randomBytes(16))
  return changeRecords(access, 'token create', () => ({
    entries: identifiers.map((id) => ({
      type: 'create',
      id: id.toString('hex'),
      atMs: NOW,
      label: undefined,
      caveats,
    })),
    finish: (tokensKey) =>
      identifiers.map((id) => {
        const macaroon = mintMacaroon(deriveRootKey(tokensKey, id), id, caveats.map(encodeCaveat))
        return { id: id.toString('hex'), token: encodeToken(macaroon) }
      }),
  }))
}

/** A child that answers a line with a line. */
class Speaker {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(argv: readonly string[]) {
    this.#child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout ?? fail() })[Symbol.asyncIterator]()
  }

  /** Gives the answer; what is odd beside it goes to `failures`. */
  async ask(line: string, failures: string[]): Promise<string> {
    this.#child.stdin?.write(`${line}\n`)
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`a process ended with ${this.#child.exitCode ?? this.#child.signalCode}`)
      if (!value.startsWith('odd ')) return value
      failures.push(value)
    }
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

function fail(): never {
  throw new Error('the trial itself is broken')
}
