import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { inspectAncestors, inspectPath } from '../../src/storage/inspect.js'
import { breakLock, inspectLock, tryLock } from '../../src/storage/lock.js'
import { isShared } from '../../src/storage/network-file-system.js'
import { type Owner, parseOwner } from '../../src/storage/owner.js'
import { openFileChecked } from '../../src/storage/read-file.js'
import { expectCode, HOST, leftovers, makeDirectory, ownerRecord, removeDirectory } from './storage-support.js'

let directory: string
let lock: string
beforeEach(() => {
  directory = makeDirectory()
  lock = join(directory, 'vault.enc.lock')
})
afterEach(() => removeDirectory(directory))

const inspect = (now = Date.now) => inspectLock(lock, { host: HOST, now })
const leave = (changes: Partial<Owner>): void => writeFileSync(lock, ownerRecord(changes), { mode: 0o600 })

describe('a path', () => {
  test('is told by what it leads to, whatever that is', () => {
    const at = (name: string): string => join(directory, name)
    writeFileSync(at('file'), 'x')
    mkdirSync(at('folder'))
    execFileSync('mkfifo', [at('fifo')])
    symlinkSync('file', at('link'))
    symlinkSync('loop', at('loop'))
    expect(
      ['file', 'folder', 'fifo', 'link', 'loop', 'missing', 'file/below'].map((name) => inspectPath(at(name)).kind),
    ).toEqual(['file', 'directory', 'other', 'file', 'hidden', 'absent', 'hidden'])
    expect(inspectPath(at('loop')).reason).toBe('too many symbolic links')
  })

  test('lets others write exactly where reading it is refused', () => {
    const path = join(directory, 'file')
    writeFileSync(path, 'x')
    for (const mode of [0o600, 0o640, 0o660, 0o620, 0o604, 0o602, 0o666, 0o400]) {
      chmodSync(path, mode)
      let warned = false
      let refused = false
      try {
        openFileChecked(path, { what: 'file', host: HOST, warn: () => (warned = true) })?.close()
      } catch {
        refused = true
      }
      const fact = inspectPath(path)
      expect(fact.canOthersWrite, mode.toString(8)).toBe(refused)
      if (!refused) expect(fact.canOthersRead, mode.toString(8)).toBe(warned)
    }
  })

  test('has ancestors, nearest first, up to the root', () => {
    mkdirSync(join(directory, 'a'))
    const paths = inspectAncestors(join(directory, 'a', 'missing', 'file')).map(({ path }) => path)
    expect(paths.slice(0, 2)).toEqual([join(directory, 'a'), directory])
    expect(paths.at(-1)).toBe('/')
  })
})

describe('a lock that is looked at', () => {
  test('is not there, or is held by this process', () => {
    expect(inspect()).toBeUndefined()
    const held = tryLock(lock, { command: 'rotate', host: HOST, randomBytes, now: Date.now })
    expect(inspect()).toMatchObject({ standing: 'live', owner: { pid: process.pid, command: 'rotate' } })
    held?.release()
    expect(inspect()).toBeUndefined()
  })

  test('is left by a process that is gone', async () => {
    const child = spawn('true')
    await once(child, 'exit')
    leave({ pid: child.pid ?? 0, start: '1' })
    expect(inspect()?.standing).toBe('dead')
  })

  test('belongs to another machine or container', () => {
    leave({ machine: 'f'.repeat(32) })
    expect(inspect()?.standing).toBe('foreign')
    leave({ namespace: 'pid:[1]' })
    expect(inspect()?.standing).toBe('foreign')
    expect(inspect(() => Date.now() + 61_000)?.standing).toBe('dead')
    expect(inspectLock(lock, { host: { ...HOST, platform: 'plan9' }, now: Date.now })?.standing).toBe('foreign')
  })

  test('is none', () => {
    writeFileSync(lock, 'mine!')
    expect(inspect()).toMatchObject({ standing: 'unreadable', owner: undefined })
    unlinkSync(lock)
    mkdirSync(lock)
    expect(inspect()).toMatchObject({ standing: 'unreadable', found: undefined })
  })

  test('says nothing about locks where other machines write', () => {
    if (!existsSync('/proc/self') || !isShared('/nowhere', HOST.platform)) return
    expect(inspectLock('/nowhere/vault.lock', { host: HOST, now: Date.now })).toBeUndefined()
  })
})

describe('a lock that is broken by hand', () => {
  test('is gone, with nothing left behind, and its holder commits nothing', async () => {
    const held = tryLock(lock, { command: 'rotate', host: HOST, randomBytes, now: Date.now })
    const sight = inspect()
    if (sight === undefined || held === undefined) throw new Error('no lock')
    held.assertHeld()
    expect(breakLock(sight, { randomBytes })).toBe(true)
    expect(leftovers(directory)).toEqual([])
    await expectCode('LOCKED', () => held.assertHeld())
  })

  test('is left alone when it is another one by now', () => {
    leave({ pid: 1, machine: 'f'.repeat(32) })
    const sight = inspect()
    if (sight === undefined) throw new Error('no lock')
    unlinkSync(lock)
    expect(breakLock(sight, { randomBytes })).toBe(false)
    leave({ nonce: 'b'.repeat(32) })
    expect(breakLock(sight, { randomBytes })).toBe(false)
    expect(parseOwner(readFileSync(lock, 'utf8'))?.nonce).toBe('b'.repeat(32))
    expect(leftovers(directory)).toEqual(['vault.enc.lock'])
  })

  test('is not, when it is no file', async () => {
    mkdirSync(lock)
    const sight = inspect()
    if (sight === undefined) throw new Error('no lock')
    await expectCode('IO', () => breakLock(sight, { randomBytes }))
    expect(existsSync(lock)).toBe(true)
  })
})
