/**
 * Writes a vault as mcpvault does, or in place as a careless program does; run as a process of its own and killed.
 *
 * Usage: storage-child ACTION DIRECTORY [ARGUMENT]. Prints one JSON object a step.
 */

import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { VaultError } from '../../../src/errors.js'
import { createFileStore } from '../../../src/storage/file-store.js'
import { ConflictError, type Revision } from '../../../src/storage/store.js'

const [action = '', directory = '', argument = ''] = process.argv.slice(2)
const vault = join(directory, 'vault.enc')

const warnings: string[] = []

const store = createFileStore({
  paths: { vault, log: join(directory, 'log.json'), tokens: join(directory, 'tokens.jsonl') },
  stateDirectory: join(directory, 'state'),
  lockTimeoutMs: Number(process.env.LOCK_TIMEOUT_MS ?? 20_000),
  host: { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 },
  randomBytes,
  warn: (text) => warnings.push(text),
})

const report = (value: unknown): void => void writeSync(1, `${JSON.stringify(value)}\n`)

/** Two halves, each synced, over the old content: what the commit protocol is there to avoid. */
function writeInPlace(text: string): void {
  const bytes = Buffer.from(text)
  const half = Math.ceil(bytes.length / 2)
  const fd = openSync(vault, 'w')
  writeSync(fd, bytes, 0, half)
  fsyncSync(fd)
  writeSync(fd, bytes, half)
  fsyncSync(fd)
  closeSync(fd)
}

function replace(text: string, verify: () => void = () => {}): Promise<Revision> {
  return store.transaction('rotate', (tx) =>
    tx.replace('vault', Buffer.from(text), { expected: tx.read('vault')?.revision, verify, keepPrevious: '.bak' }),
  )
}

/** Adds `ID.N` to the vault's JSON array again and again, and acknowledges each on stdout. */
async function count(add: (change: (ids: string[]) => string[]) => Promise<void>): Promise<void> {
  report('ready')
  for (let n = 1; n <= 12; n++) {
    const id = `${argument}.${n}`
    await add((ids) => [...ids, id])
    report(id)
  }
}

async function addSafely(change: (ids: string[]) => string[]): Promise<void> {
  await store.transaction('rotate', (tx) => {
    const snapshot = tx.read('vault')
    const ids = JSON.parse(snapshot?.bytes.toString() ?? '[]') as string[]
    const bytes = Buffer.from(JSON.stringify(change(ids)))
    tx.replace('vault', bytes, {
      expected: snapshot?.revision,
      verify: (written) => void JSON.parse(written.toString()),
    })
  })
}

async function addInPlace(change: (ids: string[]) => string[]): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1))
  writeInPlace(JSON.stringify(change(JSON.parse(readFileSync(vault, 'utf8')) as string[])))
}

/**
 * Writes on a disk with less and less room, in steps of a page, over `old` and then in place of `old`. Each report says
 * what became of it.
 */
async function squeeze(write: (text: string) => Promise<unknown>): Promise<void> {
  const [old, young] = ['a'.repeat(20_000), 'b'.repeat(40_000)]
  for (let pages = 0; pages < 24; pages++) {
    rmSync(join(directory, 'filler'), { force: true })
    writeFileSync(vault, old, { mode: 0o600 })
    fillUpTo(pages)
    const outcome = await outcomeOf(() => write(young))
    const text = readFileSync(vault, 'utf8')
    const content = text === old ? 'old' : text === young ? 'new' : 'damaged'
    report({ pages, outcome, content, files: readdirSync(directory).sort() })
  }
}

/** Fills the disk, all but some pages of 4 KiB. */
function fillUpTo(pages: number): void {
  const reserve = join(directory, 'reserve')
  writeFileSync(reserve, Buffer.alloc(pages * 4096))
  const fd = openSync(join(directory, 'filler'), 'w')
  try {
    for (;;) writeSync(fd, Buffer.alloc(4096))
  } catch {
    // The disk is full now.
  }
  closeSync(fd)
  rmSync(reserve)
}

async function outcomeOf(run: () => Promise<unknown>): Promise<unknown> {
  try {
    await run()
    return 'done'
  } catch (error) {
    if (error instanceof VaultError) return { code: error.code, message: error.message, hints: error.hints }
    return error instanceof ConflictError ? { code: 'CONFLICT' } : { code: 'BUG', message: String(error) }
  }
}

const append = (text: string): Promise<Revision> =>
  store.transaction('rotate', (tx) => {
    const reader = tx.open('vault')
    if (!reader) throw new Error('there is no vault')
    reader.close()
    return tx.append('vault', Buffer.from(text), { expected: reader.revision, at: Math.max(0, reader.size - 2) })
  })

const ACTIONS: Readonly<Record<string, () => Promise<unknown>>> = {
  count: () => count(addSafely),
  'count-in-place': () => count(addInPlace),
  replace: async () => report(await outcomeOf(() => replace(argument))),
  'replace-in-place': async () => writeInPlace(argument),
  append: async () => report(await outcomeOf(() => append(argument))),
  'read-log': async () => report(await outcomeOf(async () => store.open('log')?.close())),
  'read-mark': async () => {
    for (const _ of [1, 2]) report((store.marks.read(argument) !== undefined).toString())
    report({ warnings })
  },
  'die-in-verify': () => replace(argument, () => process.kill(process.pid, 'SIGKILL')),
  hold: () =>
    store.transaction('upgrade', () => {
      report('holding')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(argument))
    }),
  squeeze: () => squeeze(replace),
  'squeeze-append': () => squeeze((text) => append(`aa${text}`)),
  'squeeze-in-place': () => squeeze(async (text) => writeFileSync(vault, text)),
}

await ACTIONS[action]?.()
