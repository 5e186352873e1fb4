import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { parseOwner } from '../../src/storage/owner.js'
import {
  announceMissing,
  expectCode,
  leftovers,
  makeDirectory,
  openStore,
  put,
  removeDirectory,
  textOf,
} from '../storage/storage-support.js'
import { type Bundle, bundleScript } from '../support/bundle.js'

// Processes are started one after the other, on machines that do other things, too.
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

const start = (action: string, ...args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [bundle.path, action, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })

const run = (...args: readonly string[]): { readonly signal: string | null } =>
  spawnSync(process.execPath, [bundle.path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })

describe('a process that was killed in the middle of a commit (at every system call: npm run test:slow)', () => {
  test('leaves the old version; the next transaction breaks its lock and sweeps its file', async () => {
    const store = openStore(directory, { lockTimeoutMs: 0 })
    await put(store, 'one')
    expect(run('die-in-verify', directory, 'two').signal).toBe('SIGKILL')
    expect(textOf(store)).toBe('one')
    expect(leftovers(directory)).toHaveLength(2)
    expect(parseOwner(readFileSync(join(directory, 'vault.enc.lock'), 'utf8'))?.command).toBe('rotate')
    await put(store, 'three')
    expect(textOf(store)).toBe('three')
    expect(leftovers(directory)).toEqual([])
  })

  test('keeps its lock while it is only stopped, and is named to those who wait', async () => {
    const child = start('hold', directory, '60000')
    try {
      await once(child.stdout ?? child, 'data')
      child.kill('SIGSTOP')
      const failure = await expectCode('LOCKED', () => put(openStore(directory, { lockTimeoutMs: 50 }), 'mine'))
      expect(failure.message).toContain(`"upgrade" (process ${child.pid}) has held it since`)
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await put(openStore(directory, { lockTimeoutMs: 0 }), 'mine')
  })

  test('who waits gets the lock when the holder is done', async () => {
    const child = start('hold', directory, '150')
    await once(child.stdout ?? child, 'data')
    expect(existsSync(join(directory, 'vault.enc.lock'))).toBe(true)
    const store = openStore(directory)
    await put(store, 'mine')
    expect(textOf(store)).toBe('mine')
    expect(leftovers(directory)).toEqual([])
  })

  test('in a container is given a minute before its lock is broken', async () => {
    // The shell is the container's first process, which no signal from inside could kill.
    const shell = ['sh', '-c', '"$@"; echo "ended with $?"', 'sh']
    const child = [process.execPath, bundle.path, 'die-in-verify', directory, 'two']
    const command = ['-fpm', '--mount-proc', ...shell, ...child]
    const rights = process.geteuid?.() === 0 ? [] : ['-r']
    const outcome = spawnSync('unshare', [...rights, ...command], { stdio: 'pipe' })
    if (!String(outcome.stdout).includes('ended with')) {
      announceMissing(`unshare cannot make a process id namespace (${outcome.stderr})`)
      return
    }
    expect(leftovers(directory)).toContain('vault.enc.lock')
    await expectCode('LOCKED', () => put(openStore(directory, { lockTimeoutMs: 0 }), 'mine'))
    const later = openStore(directory, { lockTimeoutMs: 0, now: () => Date.now() + 61_000 })
    await put(later, 'mine')
    expect(textOf(later)).toBe('mine')
    expect(leftovers(directory)).toEqual([])
  })
})
