/**
 * Secrets in processes of the built program: every stream, every file and all that /proc shows of them is looked at
 * while they run and afterwards.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'vitest'
import type { BuiltCopy } from '../support/built.js'
import { findForms } from '../support/forms.js'
import { closedPort } from '../support/loopback.js'
import { TrialPlace } from './trial-place.js'

/** Every encoder writes these in another way. */
export const CANARY = `cAnArY-0e52%&+/"\\'<>{}~77ab-AlphaBravoCharlie`
const SECOND = `sEcOnD_c914{}<>~'\\"/+&%01fd.yankeezulusierra`
const WINDOW = 12

interface Watched {
  readonly status: number | null
  readonly stdout: string
  /** How often /proc was looked at while the process was there. */
  readonly looks: number
}

interface WatchOptions {
  /** Names the secrets that stdout is meant to have. */
  readonly prints?: readonly string[]
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** The user has put a secret into the command line; nothing more may come of it. */
  readonly isInArguments?: boolean
  readonly isStdoutFull?: boolean
  readonly status?: number
}

/** Runs processes and looks for secrets in all that others can see of them, then in every file. */
class Watch {
  readonly place: TrialPlace
  readonly secrets = new Map<string, string>()
  readonly hits: string[] = []

  constructor(place: TrialPlace) {
    this.place = place
  }

  run(line: string, options: WatchOptions = {}): Promise<Watched> {
    return this.runCommand(this.place.command(line.split(' ')), line, options)
  }

  async runCommand(command: readonly string[], what: string, options: WatchOptions = {}): Promise<Watched> {
    const [file = '', ...args] = command
    const temporary = this.place.path('tmp')
    mkdirSync(temporary, { recursive: true })
    const env = { ...this.place.env, TMPDIR: temporary, ...options.env }
    const output = options.isStdoutFull ? openSync('/dev/full', 'w') : 'pipe'
    const child = spawn(file, args, { cwd: '/', env, stdio: ['pipe', output, 'pipe'] })
    child.stdin?.on('error', () => {}).end(options.input ?? '')
    const streams = { stdout: '', stderr: '' }
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (streams.stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (streams.stderr += text))
    let [isOver, looks] = [false, 0]
    const closed = once(child, 'close').then(([status]) => {
      isOver = true
      return status as number | null
    })
    while (!isOver) {
      looks += this.#lookAtProcess(child.pid ?? 0, what, options)
      await nextTurn()
    }
    const status = await closed
    if (typeof output === 'number') closeSync(output)
    this.#look(streams.stderr, `stderr of ${what}`, [])
    this.#look(streams.stdout, `stdout of ${what}`, options.prints ?? [])
    this.#lookAtFiles(what)
    if (options.status !== undefined && status !== options.status)
      throw new Error(`${what} gave ${status}: ${streams.stderr}`)
    return { status, stdout: streams.stdout, looks }
  }

  /** What /proc shows of a process and its children to whoever may look. */
  #lookAtProcess(pid: number, what: string, options: WatchOptions): number {
    const children = read(`/proc/${pid}/task/${pid}/children`).toString('latin1').trim().split(' ').filter(Boolean)
    let looks = 0
    for (const id of [pid, ...children]) {
      for (const name of ['cmdline', 'environ', 'comm']) {
        const bytes = read(`/proc/${id}/${name}`)
        if (bytes.length > 0) looks++
        if (!(name === 'cmdline' && options.isInArguments)) this.#look(bytes, `${name} of ${what}`, [])
      }
    }
    return looks
  }

  #lookAtFiles(what: string): void {
    for (const name of this.place.files()) {
      this.#look(name, `name of a file after ${what}`, [])
      if (name !== '.config/mcpvault/key' && !name.startsWith('mine/'))
        this.#look(read(this.place.path(name)), `${name} after ${what}`, [])
    }
  }

  #look(bytes: Buffer | string, where: string, allowed: readonly string[]): void {
    const text = typeof bytes === 'string' ? bytes : bytes.toString('latin1')
    for (const [name, secret] of this.secrets) {
      if (allowed.includes(name)) continue
      const forms = findForms(bytes, secret)
      const hasPiece = Array.from({ length: secret.length - WINDOW }, (_, at) => secret.slice(at, at + WINDOW)).some(
        (piece) => text.includes(piece),
      )
      if (forms.length > 0 || hasPiece) this.hits.push(`${name} in ${where}: ${forms.join(', ') || 'a piece'}`)
    }
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    // The process has ended meanwhile.
    return Buffer.alloc(0)
  }
}

/** Runs a body with a watch in an empty place, and gives where secrets were seen. */
export async function watching<T>(program: BuiltCopy, body: (watch: Watch) => Promise<T>): Promise<readonly string[]> {
  const place = new TrialPlace(program)
  try {
    const watch = new Watch(place)
    await body(watch)
    return watch.hits
  } finally {
    place.remove()
  }
}

/** Plays every command that works and every mistake, and sees that no secret was anywhere. */
export async function expectNoSecretSeen(program: BuiltCopy, format: string, init: string): Promise<void> {
  let runs = 0
  const hits = await watching(program, async (watch) => {
    const { place, secrets } = watch
    const keyPath = place.path('.config/mcpvault/key')
    const run = async (line: string, options: WatchOptions = {}): Promise<string> => {
      const { stdout, looks } = await watch.run(line.replaceAll('KEY', keyPath), options)
      expect(looks, line).toBeGreaterThan(0)
      runs++
      return stdout
    }
    secrets.set('value', CANARY).set('second', SECOND)
    await run(init, { status: 0 })
    const key = readFileSync(keyPath, 'utf8').trim()
    secrets.set('key', key)

    await run('store a --stdin', { input: CANARY, status: 0 })
    await run(`store b =${SECOND}`, { status: 0 })
    await run('load a', { prints: ['value'], status: 0 })
    await run('rotate a --stdin', { input: SECOND, status: 0 })
    // A value that is still kept comes back by a rollback alone.
    if (format === 'native') await run('rollback a', { status: 0 })
    else await run('rotate a --stdin', { input: CANARY, status: 0 })
    for (const line of [
      'list',
      'list --json',
      'history a',
      'log show',
      'log show --json',
      'log verify',
      'rotation-due --max-age 0',
    ])
      await run(line, { status: 0 })
    const token = (await run('token create --tools x --label first', { status: 0 })).trim()
    secrets.set('token', token)
    const tokenFile = place.path('mine/token')
    mkdirSync(place.path('mine'))
    writeFileSync(tokenFile, token, { mode: 0o600 })
    for (const line of ['token check --tool x', 'token check --tool y', 'token show'])
      await run(`${line} --token-file ${tokenFile}`)
    await run('token list --all', { status: 0 })
    await run('token list --all --json', { status: 0 })
    await run('export', { prints: ['value', 'second'], status: 0 })
    await run('load b', {
      prints: ['second'],
      env: { MCP_ENCRYPTION_KEY_COMMAND: JSON.stringify(['cat', keyPath]) },
      status: 0,
    })
    await run('load b --key-file KEY', { prints: ['second'], status: 0 })
    if (format === 'native') await run('rollback a', { status: 0 })

    // What goes wrong.
    const port = await closedPort()
    await run('store a --stdin', { input: CANARY, status: 4 })
    await run('store scavio_api_key --stdin', { input: CANARY.replaceAll('"', ''), status: 0 })
    const searchToken = (await run('token create --tools web_search', { prints: ['token'], status: 0 })).trim()
    writeFileSync(tokenFile, searchToken, { mode: 0o600 })
    await run(`search query --token-file ${tokenFile}`, { env: { SCAVIO_BASE_URL: port }, status: 8 })
    writeFileSync(tokenFile, `${searchToken.slice(0, -2)}AA`, { mode: 0o600 })
    await run(`search query --token-file ${tokenFile}`)
    await run('store long --stdin', { input: CANARY.repeat(30_000), status: 2 })
    await run('store nul --stdin', { input: `${CANARY}\0${CANARY}`, status: 2 })
    await run(`store typed ${CANARY.replaceAll(' ', '')}`, { isInArguments: true, status: 2 })
    await run(`rotate a --value=${SECOND}`, { isInArguments: true, status: 2 })
    await run(`load ${CANARY.slice(0, 20)}`, { isInArguments: true, status: 3 })
    await run('load a --json', { isStdoutFull: true, status: 9 })
    await run('rotate a --stdin --json', {
      input: CANARY,
      env: { MCP_ENCRYPTION_KEY: `${Buffer.alloc(32, 9).toString('base64url')}=` },
      status: 5,
    })
    await run('list', { env: { MCP_ENCRYPTION_KEY: key.slice(0, 20) }, status: 5 }).catch(() => undefined)
    if (format === 'tutorial') await run('upgrade', { status: 0 })
    await run('remove b --yes', { status: 0 })
    const damaged = readFileSync(place.vault)
    writeFileSync(place.vault, damaged.subarray(0, damaged.length - 9))
    for (const line of ['list', 'load a', 'rotate a --generate', 'token list']) await run(line, { status: 6 })
    writeFileSync(place.vault, damaged)
    writeFileSync(place.path('rotation_log.json'), `[\n{"x":"${'y'.repeat(99)}`)
    for (const line of ['log show', 'log verify', 'rotate a --generate']) await run(line)
  })
  // The shortened key was put into the environment by the test itself; so was what it typed as a name.
  expect(hits.filter((hit) => !/environ of list|load cAnArY/.test(hit))).toEqual([])
  expect(runs).toBeGreaterThan(40)
}
