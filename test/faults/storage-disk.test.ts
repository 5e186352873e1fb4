import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  announceMissing,
  HOST,
  leftovers,
  makeDirectory,
  openStore,
  openToAll,
  ownerRecord,
  put,
  removeDirectory,
  textOf,
} from '../storage/storage-support.js'
import { type Bundle, bundleScript } from '../support/bundle.js'

type Outcome = 'done' | { readonly code: string; readonly message: string; readonly hints: readonly string[] }

interface Squeezed {
  readonly pages: number
  readonly outcome: Outcome
  readonly content: 'old' | 'new' | 'damaged'
  readonly files: readonly string[]
}

// Hundreds of processes are started one after the other, on machines that do other things, too.
vi.setConfig({ testTimeout: 180_000 })

let bundle: Bundle
let directory: string

beforeAll(async () => {
  bundle = await bundleScript(new URL('./children/storage-child.ts', import.meta.url))
})
afterAll(() => bundle.remove())
beforeEach(() => {
  directory = makeDirectory()
})
afterEach(() => removeDirectory(directory))

const node = (...args: readonly string[]): readonly string[] => [process.execPath, bundle.path, ...args]

/** Runs a command and gives the JSON objects that it printed. */
function lines<T>(command: readonly string[]): readonly T[] {
  const [program = '', ...args] = command
  const { stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, LOCK_TIMEOUT_MS: '0' },
  })
  const found = stdout.split('\n').filter((line) => line.startsWith('{') || line.startsWith('"'))
  if (found.length === 0) throw new Error(`it printed nothing: ${stderr}`)
  return found.map((line) => JSON.parse(line) as T)
}

function outcome(command: readonly string[]): Exclude<Outcome, 'done'> {
  const [found] = lines<Outcome>(command)
  if (found === undefined || found === 'done') throw new Error('it succeeded')
  return found
}

/** Runs a shell script with its own mounts, and `"$@"` for the command; undefined where that is not possible. */
function withMounts(script: string, command: readonly string[]): readonly string[] | undefined {
  const rights = HOST.uid === 0 ? ['-m'] : ['-rm']
  if (spawnSync('unshare', [...rights, 'mount', '-t', 'tmpfs', 'none', directory]).status !== 0) {
    announceMissing('nothing can be mounted, not even in a namespace of its own')
    return undefined
  }
  return ['unshare', ...rights, 'sh', '-ec', `cd ${directory}; ${script}`, 'sh', ...command]
}

function withStrace(inject: string, command: readonly string[]): readonly string[] | undefined {
  if (spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status !== 0) {
    announceMissing(`strace does not run here (Debian: apt-get install strace), so ${inject} was not tried`)
    return undefined
  }
  const call = inject.split(':')[0] ?? ''
  return ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${inject}`, ...command]
}

describe('on a disk that is full at every page', () => {
  const tmpfs = 'mount -t tmpfs -o size=256k none .; cd .; exec "$@"'

  test('a replacement leaves the old version and says so, or the new', () => {
    const command = withMounts(tmpfs, node('squeeze', directory))
    if (!command) return
    const steps = lines<Squeezed>(command)
    expect(steps).toHaveLength(24)
    for (const { pages, outcome, content, files } of steps) {
      expect(content, `${pages} pages`).toBe(outcome === 'done' ? 'new' : 'old')
      if (outcome !== 'done')
        expect(outcome).toMatchObject({ code: 'IO', message: expect.stringMatching(/: the disk is full$/) })
      expect(files.filter((name) => !/^(filler|vault\.enc(\.bak)?)$/.test(name))).toEqual([])
    }
    expect(new Set(steps.map((step) => step.content))).toEqual(new Set(['old', 'new']))
  })

  test('an append puts back what it had begun to overwrite', () => {
    const command = withMounts(tmpfs, node('squeeze-append', directory))
    if (!command) return
    const steps = lines<Squeezed>(command)
    for (const { pages, outcome, content } of steps) {
      // What is appended makes another text than the new one, so the child calls a success damaged.
      expect(content, `${pages} pages`).toBe(outcome === 'done' ? 'damaged' : 'old')
      if (outcome !== 'done')
        expect(outcome).toMatchObject({ code: 'IO', message: expect.stringMatching(/: the disk is full$/), hints: [] })
    }
    expect(new Set(steps.map((step) => step.content))).toEqual(new Set(['old', 'damaged']))
  })

  test('(control) a write in place is seen to damage the file', () => {
    const command = withMounts(tmpfs, node('squeeze-in-place', directory))
    if (!command) return
    expect(lines<Squeezed>(command).filter((step) => step.content === 'damaged').length).toBeGreaterThan(3)
  })
})

describe('when the disk fails', () => {
  const replaceUnder = (inject: string): readonly string[] | undefined =>
    withStrace(inject, node('replace', directory, 'new'))

  test.each([
    ['fsync of the lock', 'fsync:error=EIO:when=1', 'the disk reported an I/O error'],
    ['fsync of the new file', 'fsync:error=EIO:when=2', 'the disk reported an I/O error'],
    ['fsync with a full quota', 'fsync:error=EDQUOT:when=2', 'the disk quota is used up'],
    ['the lock, without hard links', 'link:error=EPERM:when=1', 'the file system allows no hard link here'],
    [
      'the kept previous one, without hard links',
      'link:error=EOPNOTSUPP:when=2',
      'the file system allows no hard link',
    ],
    ['the rename', 'rename:error=EIO:when=2', 'the disk reported an I/O error'],
    ['the rename over a mount point', 'rename:error=EBUSY:when=2', 'it is a mount point'],
  ])('at %s, nothing has changed', async (_, inject, reason) => {
    await put(openStore(directory), 'old')
    const command = replaceUnder(inject)
    if (!command) return
    const failure = outcome(command)
    expect(failure.code).toBe('IO')
    expect(failure.message).toContain(reason)
    expect(textOf(openStore(directory))).toBe('old')
    expect(leftovers(directory)).toEqual([])
  })

  test('at the fsync of the directory, it has changed and says that this is not confirmed', async () => {
    await put(openStore(directory), 'old')
    const command = replaceUnder('fsync:error=EIO:when=3')
    if (!command) return
    const failure = outcome(command)
    expect(failure.code).toBe('DURABILITY')
    expect(failure.message).toMatch(/^cannot confirm .*though it was written: the disk reported an I\/O error$/)
    expect(textOf(openStore(directory))).toBe('new')
    expect(leftovers(directory)).toEqual([])
  })

  test('at the fsync of an append, it was written and says that this is not confirmed', async () => {
    await put(openStore(directory), 'old]\n')
    const command = withStrace('fsync:error=EIO:when=2', node('append', directory, ',new]\n'))
    if (!command) return
    expect(outcome(command).code).toBe('DURABILITY')
    expect(textOf(openStore(directory))).toBe('old,new]\n')
  })

  test('no fsync is tried again', async () => {
    await put(openStore(directory), 'old')
    const command = replaceUnder('fsync:error=EIO:when=2+')
    if (!command) return
    const log = join(directory, 'tokens.jsonl')
    spawnSync('strace', ['-f', '-qq', '-o', log, ...command.slice(5)])
    expect(readFileSync(log, 'utf8').match(/fsync\(/g)).toHaveLength(2)
  })
})

describe('where nothing can be written', () => {
  test('a read-only file system is named', async () => {
    const command = withMounts('mount -t tmpfs -o ro none .; exec "$@"', node('replace', directory, 'new'))
    if (!command) return
    expect(outcome(command)).toMatchObject({
      code: 'IO',
      message: expect.stringMatching(/^cannot lock .*: the file system is read-only$/),
    })
  })

  test('a single file that is a mount is IO, with the way out', async () => {
    await put(openStore(directory), 'old')
    const command = withMounts('mount --bind vault.enc vault.enc; exec "$@"', node('replace', directory, 'new'))
    if (!command) return
    const failure = outcome(command)
    expect(failure).toMatchObject({ code: 'IO', message: expect.stringMatching(/: it is a mount point$/) })
    expect(failure.hints).toEqual(['mount the directory that holds the file, not the single file'])
    expect(textOf(openStore(directory))).toBe('old')
    expect(leftovers(directory)).toEqual([])
  })

  test('a limit on file size is named, at a replacement and at an append', async () => {
    const store = openStore(directory)
    await put(store, 'old]\n')
    const limited = (...args: readonly string[]): readonly string[] => [
      'sh',
      '-c',
      'ulimit -f 8; exec "$@"',
      'sh',
      ...node(...args),
    ]
    for (const action of ['replace', 'append']) {
      const failure = outcome(limited(action, directory, 'x'.repeat(20_000)))
      expect(failure).toMatchObject({
        code: 'IO',
        message: expect.stringMatching(/: the limit on file size is reached$/),
      })
      expect(textOf(store)).toBe('old]\n')
      expect(leftovers(directory)).toEqual([])
    }
  })

  /** Runs a command as a user without rights. */
  function asNobody(command: readonly string[]): readonly string[] | undefined {
    if (HOST.uid === 0) return ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', ...command]
    announceMissing('only root can try what another user may do')
    return undefined
  }

  test('a directory without write permission is named', async () => {
    await put(openStore(directory), 'old')
    chmodSync(directory, 0o755)
    chownSync(join(directory, 'vault.enc'), 65534, 65534)
    const command = asNobody(node('replace', directory, 'new'))
    if (!command) return
    expect(outcome(command)).toMatchObject({
      code: 'IO',
      message: expect.stringMatching(/^cannot lock .*: permission denied$/),
    })
    expect(textOf(openStore(directory))).toBe('old')
  })

  test("another user's file is UNSAFE to replace, since its owner could not be kept", async () => {
    await put(openStore(directory), 'old')
    chmodSync(join(directory, 'vault.enc'), 0o644)
    openToAll(directory)
    const command = asNobody(node('replace', directory, 'new'))
    if (!command) return
    const failure = outcome(command)
    expect(failure).toMatchObject({
      code: 'UNSAFE',
      message: expect.stringMatching(/: its mode 644 and owner 0:0 cannot be kept$/),
    })
    expect(textOf(openStore(directory))).toBe('old')
    expect(statSync(join(directory, 'vault.enc')).mode & 0o777).toBe(0o644)
    expect(leftovers(directory)).toEqual([])
  })

  test("another user's log cannot be read, and the hint says whose it is", () => {
    openToAll(directory)
    writeFileSync(join(directory, 'log.json'), '[]', { mode: 0o600 })
    const command = asNobody(node('read-log', directory))
    if (!command) return
    const failure = outcome(command)
    expect(failure).toMatchObject({ code: 'IO', message: expect.stringMatching(/: permission denied$/) })
    expect(failure.hints).toEqual([
      `it belongs to the user with the id 0; to take it over: sudo chown "$(id -u):$(id -g)" ${join(directory, 'log.json')}`,
    ])
  })

  test("another user's mark is told once, since an old copy would not be noticed", () => {
    openToAll(directory)
    openStore(directory).marks.raise('abc', () => ({ tokens: { seq: 1, mac: 'x' } }))
    chmodSync(join(directory, 'state'), 0o755)
    const command = asNobody(node('read-mark', directory, 'abc'))
    if (!command) return
    const [first, second, last] = lines<unknown>(command)
    expect([first, second]).toEqual(['false', 'false'])
    const warning = expect.stringMatching(
      /permission denied, so an older copy of the vault would not be noticed; it belongs/,
    )
    expect(last).toEqual({ warnings: [warning] })
    expect(lines<unknown>(node('read-mark', directory, 'abc')).at(-1)).toEqual({ warnings: [] })
  })

  test("a dead lock of root's is respected by others, who cannot read it", async () => {
    openToAll(directory)
    writeFileSync(join(directory, 'vault.enc.lock'), ownerRecord({ start: 'another' }), { mode: 0o600 })
    const command = asNobody(node('replace', directory, 'new'))
    if (!command) return
    expect(outcome(command)).toMatchObject({ code: 'LOCKED', message: expect.stringMatching(/: it cannot be read$/) })
    expect(existsSync(join(directory, 'vault.enc'))).toBe(false)
  })
})

test('a dead lock on a network file system is never broken', async () => {
  await put(openStore(directory), 'old')
  writeFileSync(join(directory, 'vault.enc.lock'), ownerRecord({ start: 'another' }), { mode: 0o600 })
  // The f_type member of statfs(2) is overwritten with that of NFS.
  const command = withStrace('statfs:poke_exit=@arg2=6969000000000000', node('replace', directory, 'new'))
  if (!command) return
  expect(outcome(command).code).toBe('LOCKED')
  expect(textOf(openStore(directory))).toBe('old')
  expect(lines(node('replace', directory, 'new'))).toEqual(['done'])
})
