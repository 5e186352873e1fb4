/**
 * Commands on a disk that fills up: at every page and every inode of a small tmpfs, and at every byte of a limit on the
 * length of files, which is the one way to have a write cut short at any place.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { expect, type TestContext } from 'vitest'
import { announceMissing } from '../storage/storage-support.js'
import type { BuiltCopy } from '../support/built.js'
import type { Bundle } from '../support/bundle.js'
import type { DiskAnswer, DiskTask } from './children/disk-child.js'
import { nameState, type Prepared, prepare, sayDone, type SweptCommand } from './swept-commands.js'
import { KEY, TrialPlace } from './trial-place.js'

const DOCUMENTS = ['mcp_credentials.enc', 'rotation_log.json', 'mcp_tokens.jsonl', 'mcp_credentials.enc.bak']

/** What trying every amount of room found. */
export interface RoomReport {
  readonly steps: number
  /** How often each outcome was seen, as `IO old`. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly damage: readonly string[]
}

/** Skips a test loudly where a program is missing. */
export function needProgram(context: TestContext, program: string, ...args: readonly string[]): void {
  if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) return
  process.stderr.write(`\nSKIPPED: ${context.task.name} needs ${program}\n`)
  announceMissing(`${program} does not run here (Debian: apt-get install util-linux)`)
  context.skip()
}

/** A directory on a disk that can be filled, and a process that works there. */
export class SmallDisk {
  readonly #work = mkdtempSync(join(realpathSync(tmpdir()), 'mcpvault-disk-'))
  readonly #child: ChildProcess
  readonly #ready: Promise<unknown>

  /** @param mount Options of a tmpfs; undefined for a plain directory. */
  constructor(child: Bundle, program: BuiltCopy, mount: string | undefined) {
    const node = [process.execPath, child.path, program.entry]
    const script = `mount -t tmpfs -o ${mount} none "$0"; exec "$@"`
    const rights = process.geteuid?.() === 0 ? ['-m'] : ['-rm']
    const [file = '', ...args] =
      mount === undefined ? node : ['unshare', ...rights, 'sh', '-ec', script, this.#work, ...node]
    this.#child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#ready = once(this.#child, 'message')
  }

  async run(task: Omit<DiskTask, 'work'>): Promise<DiskAnswer> {
    await this.#ready
    const answer = once(this.#child, 'message')
    this.#child.send({ ...task, work: this.#work })
    return (await answer)[0] as DiskAnswer
  }

  async remove(): Promise<void> {
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
    rmSync(this.#work, { recursive: true, force: true })
  }

  /** The vault's path as the process sees it. */
  get vault(): string {
    return join(this.#work, 'mcp_credentials.enc')
  }
}

/** Tries a command with every amount of room; `rooms` is told how long the longest file is afterwards, in bytes. */
export async function tryRooms(
  disk: SmallDisk,
  program: BuiltCopy,
  options: {
    readonly command: SweptCommand
    readonly rooms: (longest: number) => readonly DiskTask['free'][]
    /** Where the files that the command makes are kept for a program that writes them in its stead, for controls. */
    readonly youngIn?: string
  },
): Promise<RoomReport> {
  const place = new TrialPlace(program)
  const outcomes: Record<string, number> = {}
  const damage: string[] = []
  let steps = 0
  try {
    const prepared = await prepare(place, options.command, { isTraced: false })
    if (options.youngIn !== undefined) cpSync(place.directory, options.youngIn, { recursive: true })
    const before = documents(place.kept)
    const argv = [...place.words(options.command.line.split(' ')), '--vault', disk.vault, '--json']
    for (const free of options.rooms(longestOf(place.directory))) {
      steps++
      const hasKey = existsSync(join(place.kept, '.config/mcpvault/key'))
      const env = { HOME: join(disk.vault, '..'), ...(hasKey ? {} : { MCP_ENCRYPTION_KEY: KEY }) }
      const answer = await disk.run({ kept: place.kept, mirror: place.directory, argv, env, free })
      try {
        const outcome = await judge(place, prepared, { answer, before })
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      } catch (error) {
        damage.push(`${JSON.stringify(free)}: ${error instanceof Error ? error.message : error}`)
      }
    }
    return { steps, outcomes, damage }
  } finally {
    place.remove()
  }
}

/** The rooms that are tried, for files of which the longest has that many bytes. */
export type Rooms = (longest: number) => readonly DiskTask['free'][]

/** Limits on the length of files: at every byte, or every few. */
export const everyByte = (step: number): Rooms => {
  return (longest) =>
    Array.from({ length: Math.ceil((longest + 8) / step) + 1 }, (_, index) => ({ bytes: index * step }))
}

/** Tries a command with every room and fails the test unless each changed nothing or all. */
export async function expectRoomsHarmless(
  {
    child,
    program,
    mount,
  }: { readonly child: Bundle; readonly program: BuiltCopy; readonly mount?: string | undefined },
  command: SweptCommand,
  rooms: Rooms,
): Promise<void> {
  const disk = new SmallDisk(child, program, mount)
  try {
    const report = await tryRooms(disk, program, { command, rooms })
    const [kind] = Object.keys(rooms(1)[0] ?? {})
    sayDone(`full disk, ${kind}, ${command.format} ${command.line}`, { ...report, damage: report.damage.length })
    expect(report.damage).toEqual([])
    expect(report.outcomes['IO old']).toBeGreaterThan(0)
    expect(report.outcomes['done new']).toBeGreaterThan(0)
  } finally {
    await disk.remove()
  }
}

async function judge(
  place: TrialPlace,
  prepared: Prepared,
  { answer, before }: { readonly answer: DiskAnswer; readonly before: readonly (Buffer | undefined)[] },
): Promise<string> {
  const { status, stdout, stderr } = answer
  const code = status === 0 ? 'done' : codeOf(stderr)
  const leftovers = place.leftovers()
  if (leftovers.length > 0) throw new Error(`${code}, and there is left: ${leftovers.join(', ')}`)
  if (status !== 0 && (status !== 9 || stdout !== ''))
    throw new Error(`it gave ${status} and printed "${stdout}": ${stderr}`)
  const after = documents(place.directory)
  const touched = DOCUMENTS.filter((_, index) => !isDeepStrictEqual(after[index], before[index]))
  const isUntouched = touched.length === 0
  // Bytes that nobody touched verify as before; looking at everything else takes longer.
  const name = isUntouched ? 'old' : await nameState(place, prepared)
  const allowed: Readonly<Record<string, readonly string[]>> = {
    done: ['new'],
    IO: ['old'],
    DURABILITY: ['new', 'between'],
  }
  if (!allowed[code]?.includes(name)) throw new Error(`it is ${name} and said ${code}: ${stderr}`)
  // A rotation is journaled before it is done: what is left of it is named, with the way out.
  const isNamed = /; version \d+ is live.* --resume/.test(stderr)
  if (code === 'IO' && !isUntouched && !isNamed) throw new Error(`it changed ${touched.join(', ')} and said: ${stderr}`)
  return `${code} ${name}`
}

function documents(directory: string): readonly (Buffer | undefined)[] {
  return DOCUMENTS.map((name) => join(directory, name)).map((path) =>
    existsSync(path) ? readFileSync(path) : undefined,
  )
}

function longestOf(directory: string): number {
  return Math.max(...documents(directory).map((bytes) => bytes?.length ?? 0))
}

function codeOf(stderr: string): string {
  const line = stderr.split('\n').find((one) => one.startsWith('{"error"'))
  return line === undefined ? 'nothing' : (JSON.parse(line) as { error: { code: string } }).error.code
}
