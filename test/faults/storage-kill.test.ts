import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
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

// The careless writers of the controls die of the damage that they find: nobody needs to read how.
const start = (action: string, ...args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [bundle.path, action, ...args], {
    stdio: ['ignore', 'pipe', action.endsWith('in-place') ? 'ignore' : 'inherit'],
  })

const run = (...args: readonly string[]): { readonly signal: string | null } =>
  spawnSync(process.execPath, [bundle.path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })

describe('a process that was killed in the middle of a commit', () => {
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

describe('killed before every system call that changes a file', () => {
  const CALLS = ['fsync', 'link', 'linkat', 'rename', 'unlink', 'fchmod', 'ftruncate', 'pwrite64', 'write', 'mkdir']
  const hasStrace = (): boolean => {
    if (spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0) return true
    announceMissing('strace does not run here, so no kill between system calls was tried')
    return false
  }

  /** Runs a child once for each time that it makes a call, killed at that time; gives how often it was killed. */
  async function sweep(args: readonly string[], look: (call: string) => Promise<void>): Promise<number> {
    let kills = 0
    for (const call of CALLS) {
      for (let time = 1; ; time++) {
        const inject = `inject=${call}:signal=KILL:when=${time}`
        const options = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject]
        const { signal } = spawnSync('strace', [...options, process.execPath, bundle.path, ...args], { stdio: 'pipe' })
        await look(`${call} ${time}`)
        if (signal !== 'SIGKILL') break
        kills++
      }
    }
    return kills
  }

  test('a replacement leaves the old version or the new, and needs no hand', async () => {
    if (!hasStrace()) return
    const store = openStore(directory, { lockTimeoutMs: 0 })
    const seen = new Set<string | undefined>()
    await put(store, 'old')
    const kills = await sweep(['replace', directory, 'new'], async (call) => {
      const text = textOf(store)
      expect(['old', 'new'], call).toContain(text)
      seen.add(text)
      await put(store, 'old', { keepPrevious: '.bak' })
      expect(leftovers(directory), call).toEqual([])
      expect(readFileSync(join(directory, 'vault.enc.bak'), 'utf8'), call).toBe(text)
    })
    expect(seen).toEqual(new Set(['old', 'new']))
    expect(kills).toBeGreaterThan(10)
  })

  test('an append leaves everything before its position', async () => {
    if (!hasStrace()) return
    const store = openStore(directory, { lockTimeoutMs: 0 })
    const texts = new Set<string>()
    await put(store, 'records]\n')
    await sweep(['append', directory, ',more]\n'], async (call) => {
      const text = textOf(store) ?? ''
      expect(text.startsWith('records'), call).toBe(true)
      texts.add(text)
      await put(store, 'records]\n')
      expect(leftovers(directory), call).toEqual([])
    })
    expect(texts).toEqual(new Set(['records]\n', 'records,more]\n']))
  })

  test('(control) a write in place is seen to damage the file', async () => {
    if (!hasStrace()) return
    const vault = join(directory, 'vault.enc')
    const damaged: string[] = []
    await sweep(['replace-in-place', directory, 'new'], async (call) => {
      const text = readFileSync(vault, { encoding: 'utf8', flag: 'a+' })
      if (text !== 'old' && text !== 'new') damaged.push(call)
      writeFileSync(vault, 'old')
    })
    expect(damaged).toContain('fsync 1')
  })
})

describe('a crowd of 20 writers, killed at random and started again', () => {
  /** Gives what was acknowledged, and how many reads in between were no valid document. */
  async function crowd(action: string): Promise<{ acknowledged: string[]; badReads: number; kills: number }> {
    const acknowledged: string[] = []
    const running = new Map<ChildProcess, Promise<unknown>>()
    let [badReads, kills, started] = [0, 0, 0]
    const launch = (): void => {
      const child = start(action, directory, `w${started++}`)
      running.set(
        child,
        once(child, 'close').then(() => running.delete(child)),
      )
      if (child.stdout) {
        createInterface({ input: child.stdout }).on('line', (line) => {
          const id = JSON.parse(line) as string
          if (id !== 'ready') acknowledged.push(id)
        })
      }
    }
    for (let n = 0; n < 20; n++) launch()
    const store = openStore(directory)
    while (running.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30))
      if (!isDocument(textOf(store))) badReads++
      // Only those that have begun are worth killing; each is replaced until there have been enough.
      const victims = [...running.keys()]
      const victim = victims[Math.floor(Math.random() * victims.length)]
      if (kills < 30 && acknowledged.length > kills * 3 && victim?.kill('SIGKILL')) {
        kills++
        launch()
      }
    }
    return { acknowledged, badReads, kills }
  }

  const isDocument = (text: string | undefined): boolean => {
    try {
      return Array.isArray(JSON.parse(text ?? ''))
    } catch {
      return false
    }
  }

  test('loses no acknowledged write, and readers see one complete version', async () => {
    const store = openStore(directory)
    await put(store, '[]')
    const { acknowledged, badReads, kills } = await crowd('count')
    const ids = JSON.parse(textOf(store) ?? '') as string[]
    expect(acknowledged.filter((id) => !ids.includes(id))).toEqual([])
    expect(new Set(ids).size).toBe(ids.length)
    expect(badReads).toBe(0)
    expect(kills).toBe(30)
    expect(acknowledged.length).toBeGreaterThan(200)
    await put(store, 'end')
    expect(leftovers(directory)).toEqual([])
  })

  test('(control) writes in place are seen to be lost or to break the file', async () => {
    const store = openStore(directory)
    await put(store, '[]')
    const { acknowledged, badReads } = await crowd('count-in-place')
    const text = textOf(store)
    const ids = isDocument(text) ? (JSON.parse(text ?? '') as string[]) : []
    const lost = acknowledged.filter((id) => !ids.includes(id)).length
    expect(lost + badReads).toBeGreaterThan(0)
  })
})
