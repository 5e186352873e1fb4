import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { breakClaimPath } from '../../src/storage/break-lock.js'
import { tryLock } from '../../src/storage/lock.js'
import { isShared } from '../../src/storage/network-file-system.js'
import { type Owner, parseOwner } from '../../src/storage/owner.js'
import { findPlace, findProcess, type ProcessState } from '../../src/storage/process-table.js'
import type { Store } from '../../src/storage/store.js'
import {
  expectCode,
  HOST,
  leftovers,
  makeDirectory,
  openStore,
  ownerRecord,
  pathsIn,
  put,
  removeDirectory,
  textOf,
} from './storage-support.js'

let directory: string
let lock: string
let store: Store

beforeEach(() => {
  directory = makeDirectory()
  lock = `${pathsIn(directory).vault}.lock`
  store = openStore(directory, { lockTimeoutMs: 30 })
})
afterEach(() => removeDirectory(directory))

const leaveLock = (text: string): void => writeFileSync(lock, text, { mode: 0o600 })
const leaveOwner = (changes: Partial<Owner>): void => leaveLock(ownerRecord(changes))

/** Gives the id of a process that has ended and has been reaped. */
function deadPid(): number {
  return Number(execFileSync('sh', ['-c', 'echo $$']).toString())
}

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) await new Promise((resolve) => setTimeout(resolve, 5))
}

const isZombie = (state: ProcessState): boolean => typeof state !== 'string' && state.isZombie

async function expectBroken(): Promise<void> {
  await put(store, 'mine')
  expect(textOf(store)).toBe('mine')
  expect(leftovers(directory)).toEqual([])
}

async function expectRespected(): Promise<Error> {
  const before = readFileSync(lock)
  const failure = await expectCode('LOCKED', () => put(store, 'mine'))
  expect(textOf(store)).toBeUndefined()
  expect(readFileSync(lock)).toEqual(before)
  expect(leftovers(directory)).toEqual(['vault.enc.lock'])
  return failure
}

describe('while it is held', () => {
  test('the lock file names the process and the bare command, for nobody else to read', async () => {
    await store.transaction('token create', () => {
      const owner = parseOwner(readFileSync(lock, 'utf8'))
      expect(owner).toMatchObject({ pid: process.pid, command: 'token create' })
      expect(owner).toMatchObject(findPlace(HOST))
      expect(statSync(lock).mode & 0o777).toBe(0o600)
      expect(leftovers(directory)).toEqual(['vault.enc.lock'])
    })
    expect(existsSync(lock)).toBe(false)
  })

  test.each(['rotate api_key', 'store --stdin', 'rotate\u001b]52;c;x', '', 'a b c d e f'])(
    'never holds more than a subcommand: %j',
    async (command) => {
      await expectCode('INTERNAL', () => store.transaction(command, () => undefined))
      expect(leftovers(directory)).toEqual([])
    },
  )

  test('transactions of one process queue up like those of two', async () => {
    const patient = openStore(directory)
    await put(patient, '0')
    const increment = (): Promise<unknown> =>
      patient.transaction('store', (tx) => {
        const snapshot = tx.read('vault')
        const next = String(Number(snapshot?.bytes.toString()) + 1)
        tx.replace('vault', Buffer.from(next), { expected: snapshot?.revision, verify() {} })
      })
    await Promise.all(Array.from({ length: 20 }, increment))
    expect(textOf(patient)).toBe('20')
    expect(leftovers(directory)).toEqual([])
  })

  test('readers read', async () => {
    await put(store, 'one')
    leaveOwner({})
    expect(textOf(store)).toBe('one')
  })

  test('nothing is committed when somebody takes it away', async () => {
    await put(store, 'one')
    const failure = await expectCode('LOCKED', () => put(store, 'two', { verify: () => unlinkSync(lock) }))
    expect(failure.message).toContain('taken away')
    expect(textOf(store)).toBe('one')
    expect(leftovers(directory)).toEqual([])
  })

  test("another's lock in its place is neither used nor removed", async () => {
    await put(store, 'one')
    const theirs = ownerRecord({ nonce: 'a'.repeat(32) })
    const verify = (): void => {
      unlinkSync(lock)
      leaveLock(theirs)
    }
    await expectCode('LOCKED', () => put(store, 'two', { verify }))
    expect(readFileSync(lock, 'utf8')).toBe(theirs)
    expect(textOf(store)).toBe('one')
  })

  test('nothing is committed more than 30 s after it was taken', async () => {
    let skewMs = 0
    const aging = openStore(directory, { now: () => Date.now() + skewMs })
    const revision = await put(aging, 'one')
    const age = (by: number) => (): void => {
      skewMs = by
    }
    await put(aging, 'two', { verify: age(29_000) })
    skewMs = 0
    const failure = await expectCode('LOCKED', () => put(aging, 'three', { verify: age(30_001) }))
    expect(failure.message).toContain('over 30 s')
    skewMs = 0
    const append = aging.transaction('store', (tx) => {
      const expected = tx.read('vault')?.revision ?? revision
      skewMs = 30_001
      tx.append('vault', Buffer.from('x'), { expected, at: 3 })
    })
    await expectCode('LOCKED', () => append)
    expect(textOf(aging)).toBe('two')
  })

  test('a waiter whose record was swept writes it anew', async () => {
    const patient = openStore(directory)
    leaveOwner({})
    const waiting = put(patient, 'mine')
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (const name of leftovers(directory)) if (name !== 'vault.enc.lock') unlinkSync(join(directory, name))
    unlinkSync(lock)
    await waiting
    expect(textOf(patient)).toBe('mine')
    expect(leftovers(directory)).toEqual([])
  })
})

describe('it is broken when its owner is provably dead', () => {
  test('by another boot of this machine', async () => {
    leaveOwner({ boot: '00000000-0000-4000-8000-000000000000' })
    await (findPlace(HOST).machine === '' ? expectRespected() : expectBroken())
  })

  test('by a process id that nobody has', async () => {
    leaveOwner({ pid: deadPid() })
    await expectBroken()
  })

  test('by a process id that somebody else has by now', async () => {
    leaveOwner({ start: 'another' })
    await expectBroken()
  })

  test('by a zombie', async () => {
    // The child ends when its input does, by when its parent has become a program that waits for no child.
    const parent = spawn('sh', ['-c', 'exec 3<&0; cat <&3 & echo $!; exec sleep 60'])
    try {
      const pid = Number(String((await once(parent.stdout, 'data'))[0]))
      await until(() =>
        execFileSync('ps', ['-o', 'comm=', '-p', String(parent.pid)])
          .toString()
          .includes('sleep'),
      )
      parent.stdin.end()
      await until(() => isZombie(findProcess(pid, HOST)))
      const state = findProcess(pid, HOST)
      if (typeof state === 'string') throw new Error('nobody waits for it, so it is still there')
      leaveOwner({ pid, start: state.start })
      await expectBroken()
    } finally {
      parent.kill('SIGKILL')
    }
  })

  test('by its age, when it is in another namespace of this boot', async () => {
    leaveOwner({ namespace: 'pid:[1] time:[1]' })
    await expectRespected()
    store = openStore(directory, { lockTimeoutMs: 30, now: () => Date.now() + 59_000 })
    await expectRespected()
    store = openStore(directory, { lockTimeoutMs: 30, now: () => Date.now() + 60_001 })
    await expectBroken()
  })
})

describe('it is never broken', () => {
  test('while its owner lives, who is named', async () => {
    leaveOwner({})
    const failure = await expectRespected()
    expect(failure.message).toMatch(/"rotate" \(process \d+\) has held it since \d{4}-\d\d-\d\dT/)
    expect(failure.message).toContain(`process ${process.pid}`)
  })

  test.each<[string, Partial<Owner>]>([
    ['on another machine', { machine: 'f'.repeat(32) }],
    ['on another machine, on another boot', { machine: 'f'.repeat(32), boot: 'another' }],
    ['on a machine without an id, on another boot', { machine: '', boot: 'another' }],
    ['in another namespace of another boot', { namespace: 'pid:[1]', boot: 'another' }],
  ])('when its owner was %s', async (_, changes) => {
    leaveOwner({ pid: deadPid(), start: '1', ...changes })
    store = openStore(directory, { lockTimeoutMs: 30, now: () => Date.now() + 1e9 })
    await expectRespected()
  })

  test.each([
    ['empty', ''],
    ['no JSON', 'mine!'],
    ['a number', '1234\n'],
    ['incomplete', '{"pid":1}\n'],
    ['cut short', ownerRecordOf().slice(0, 60)],
    ['with a command that would draw on the terminal', ownerRecordOf('\u001b[2J')],
    ['of NULs', '\0'.repeat(300)],
    ['huge', 'x'.repeat(100_000)],
  ])('when it is %s', async (_, text) => {
    leaveLock(text)
    const failure = await expectRespected()
    expect(failure.message).toContain('it is not a lock that mcpvault wrote')
    expect(failure).toHaveProperty('hints', ['if no mcpvault is writing, remove it: mcpvault doctor --break-lock'])
  })

  test.each([
    ['a directory', () => mkdirSync(lock)],
    ['a link', () => symlinkSync('elsewhere', lock)],
    ['a FIFO', () => execFileSync('mkfifo', [lock])],
  ])('when it is %s', async (_, make) => {
    make()
    const failure = await expectCode('LOCKED', () => put(store, 'mine'))
    expect(failure.message).toContain('it cannot be read')
    expect(leftovers(directory)).toEqual(['vault.enc.lock'])
  })

  test('when it was not the one that was judged: it is put back', () => {
    leaveOwner({ pid: deadPid() })
    const theirs = ownerRecord({ nonce: 'a'.repeat(32) })
    let calls = 0
    const racing = (length: number): Buffer => {
      // The third draw names the file that the dead lock is moved to: another breaker is faster just then.
      if (++calls === 3) {
        unlinkSync(lock)
        leaveLock(theirs)
      }
      return randomBytes(length)
    }
    expect(tryLock(lock, { command: 'store', host: HOST, randomBytes: racing, now: Date.now })).toBeUndefined()
    expect(calls).toBe(3)
    expect(readFileSync(lock, 'utf8')).toBe(theirs)
    expect(leftovers(directory)).toEqual(['vault.enc.lock'])
  })

  test('when it was taken by another process after the dead one was judged: it is not even moved', () => {
    leaveOwner({ pid: deadPid() })
    const theirs = ownerRecord({ nonce: 'a'.repeat(32) })
    let [draws, looks] = [0, 0]
    const counting = (length: number): Buffer => {
      draws++
      return randomBytes(length)
    }
    // The second look at the clock is for the age of the dead lock: another breaker is faster just then.
    const racing = (): number => {
      if (++looks === 2) {
        unlinkSync(lock)
        leaveLock(theirs)
      }
      return Date.now()
    }
    expect(tryLock(lock, { command: 'store', host: HOST, randomBytes: counting, now: racing })).toBeUndefined()
    expect(looks).toBe(2)
    // A third draw would name the file that it is moved to.
    expect(draws).toBe(2)
    expect(readFileSync(lock, 'utf8')).toBe(theirs)
    expect(leftovers(directory)).toEqual(['vault.enc.lock'])
  })
})

describe('of several that would break a dead one', () => {
  const claimFor = (text: string): string => breakClaimPath(lock, { text, inode: 0n, sinceMs: 0 })
  const take = () => tryLock(lock, { command: 'store', host: HOST, randomBytes, now: Date.now })

  test('only one does, and the others leave it alone', () => {
    const dead = ownerRecord({ pid: deadPid() })
    leaveLock(dead)
    writeFileSync(claimFor(dead), ownerRecord({ nonce: 'a'.repeat(32) }))
    expect(take()).toBeUndefined()
    expect(readFileSync(lock, 'utf8')).toBe(dead)
    unlinkSync(claimFor(dead))
    take()?.release()
    expect(leftovers(directory)).toEqual([])
  })

  test('one that was killed is in nobody’s way', () => {
    const dead = ownerRecord({ pid: deadPid() })
    leaveLock(dead)
    writeFileSync(claimFor(dead), ownerRecord({ pid: deadPid(), nonce: 'b'.repeat(32) }))
    const held = take()
    expect(held).toBeDefined()
    held?.release()
    expect(leftovers(directory)).toEqual([])
  })
})

describe('the machine', () => {
  test('is not asked when /proc does not show this process', async () => {
    if (HOST.platform !== 'linux') return
    const failure = await expectCode('UNSAFE', () => findPlace({ ...HOST, pid: HOST.pid + 1 }))
    expect(failure.message).toContain('another process id namespace')
  })

  test('tells a process whose name holds spaces and parentheses', async () => {
    if (HOST.platform !== 'linux') return
    const path = join(directory, 'a) Z 1 (b')
    execFileSync('cp', ['/bin/sleep', path])
    const child = spawn(path, ['60'])
    try {
      await once(child, 'spawn')
      const state = findProcess(child.pid ?? 0, HOST)
      expect(state).toMatchObject({ isZombie: false, start: expect.stringMatching(/^\d+$/) })
      expect(findProcess(child.pid ?? 0, HOST)).toEqual(state)
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('knows local file systems, and takes what it cannot ask for shared', () => {
    expect(isShared(directory, HOST.platform)).toBe(false)
    expect(isShared(join(directory, 'missing'), HOST.platform)).toBe(true)
  })
})

function ownerRecordOf(command = 'rotate'): string {
  return `${JSON.stringify({ pid: 1, start: '1', boot: 'b', machine: 'm', namespace: 'n', nonce: 'n', command })}\n`
}
