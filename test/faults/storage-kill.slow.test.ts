import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { leftovers, makeDirectory, openStore, put, removeDirectory, textOf } from '../storage/storage-support.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { needStrace } from '../support/strace.js'

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

describe('killed before every system call that changes a file', () => {
  const CALLS = ['fsync', 'link', 'linkat', 'rename', 'unlink', 'fchmod', 'ftruncate', 'pwrite64', 'write', 'mkdir']
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

  test('a replacement leaves the old version or the new, and needs no hand', async (context) => {
    needStrace(context)
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

  test('an append leaves everything before its position', async (context) => {
    needStrace(context)
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

  test('(control) a write in place is seen to damage the file', async (context) => {
    needStrace(context)
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
