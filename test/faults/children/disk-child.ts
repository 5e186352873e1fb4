/**
 * Runs commands of the built program on a disk with less and less room, and copies what they left to where others can
 * look at it: the disk may be mounted for this process alone.
 *
 * Usage: disk-child ENTRY, where ENTRY is the built file that exports `main` and `systemContext`. Each message is a
 * {@link DiskTask}; each answer is a {@link DiskAnswer}.
 */

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Context, Output } from '../../../src/cli/context.js'

/** What is to be run, and on how little room. */
export interface DiskTask {
  /** The files to begin with, the directory to work in, and where to copy them afterwards. */
  readonly kept: string
  readonly work: string
  readonly mirror: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** How much is free: pages of 4 KiB, inodes, or the length up to which any file may grow. */
  readonly free: { readonly pages: number } | { readonly inodes: number } | { readonly bytes: number }
}

/** How a command ended. */
export interface DiskAnswer {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

interface Entry {
  main(argv: readonly string[], context: Context): Promise<number>
  systemContext(): Context
}

const PAGE = 4096
const { main, systemContext } = createRequire(import.meta.url)(process.argv[2] ?? '') as Entry

let isFresh = false

process.on('message', async (task: DiskTask) => {
  if (!isFresh) {
    for (const name of readdirSync(task.work)) rmSync(join(task.work, name), { recursive: true, force: true })
    cpSync(task.kept, task.work, { recursive: true })
  }
  const give = takeRoom(task)
  let answer: DiskAnswer
  try {
    answer = await run(task)
  } finally {
    give()
  }
  isFresh = isAsBefore(task)
  rmSync(task.mirror, { recursive: true, force: true })
  cpSync(isFresh ? task.kept : task.work, task.mirror, { recursive: true })
  process.send?.(answer)
})
process.send?.('ready')

/** Most commands change nothing on a full disk, and then nothing has to be laid out anew. */
function isAsBefore({ kept, work }: DiskTask): boolean {
  const [before, after] = [kept, work].map((root) => readdirSync(root, { recursive: true, encoding: 'utf8' }).sort())
  const isSame = (name: string): boolean => {
    const [old, young] = [join(kept, name), join(work, name)]
    return statSync(old).isDirectory() || readFileSync(old).equals(readFileSync(young))
  }
  return before?.join('\n') === after?.join('\n') && before?.every(isSame) === true
}

/** Leaves as little room as the task says, and gives what undoes that. */
function takeRoom({ free, work }: DiskTask): () => void {
  if ('bytes' in free) {
    limitFiles(String(free.bytes))
    return () => limitFiles('unlimited')
  }
  const filler = join(work, 'filler')
  if ('pages' in free) fillPages(filler, free.pages)
  else fillInodes(filler, free.inodes)
  return () => {
    for (const name of readdirSync(work)) if (name.startsWith('filler')) rmSync(join(work, name))
  }
}

/** Only the soft limit, so that it can be raised again. */
function limitFiles(length: string): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${length}:`])
}

function fillPages(filler: string, pages: number): void {
  const fd = openSync(filler, 'w')
  try {
    for (;;) writeSync(fd, Buffer.alloc(PAGE))
  } catch {
    // The disk is full now.
  }
  ftruncateSync(fd, Math.max(0, fstatSync(fd).size - pages * PAGE))
  closeSync(fd)
}

function fillInodes(filler: string, inodes: number): void {
  let made = 0
  try {
    for (;;) writeFileSync(`${filler}.${made++}`, '')
  } catch {
    // There is none left.
  }
  for (let n = 0; n < inodes; n++) rmSync(`${filler}.${made - 2 - n}`)
}

async function run({ argv, env, work }: DiskTask): Promise<DiskAnswer> {
  const written: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
  const output = (name: 'stdout' | 'stderr'): Output => ({
    isTerminal: false,
    columns: 80,
    write: (text) => void written[name].push(Buffer.from(text)),
  })
  const context: Context = {
    ...systemContext(),
    stdout: output('stdout'),
    stderr: output('stderr'),
    env,
    cwd: '/',
    home: work,
  }
  const status = await main(argv, context)
  return { status, stdout: Buffer.concat(written.stdout).toString(), stderr: Buffer.concat(written.stderr).toString() }
}
