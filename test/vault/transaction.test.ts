import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConflictError } from '../../src/storage/store.js'
import { changeVault } from '../../src/vault/change.js'
import { missingRecords } from '../../src/vault/outbox.js'
import type { RawKey } from '../../src/vault/key.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { expectCode, type Meddle, secret, VaultWorld } from './vault-support.js'

const WHOLE = { problems: [], gaps: [], anchored: true, torn: false }

const noAppend: Meddle = (real) => ({
  append: () => {
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
  },
  replace: (name, bytes, options) => {
    if (name === 'log') throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    return real.replace(name, bytes, options)
  },
})

describe('a change of a native vault', () => {
  it('is committed in the vault and recorded in the log, which the vault’s word holds', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.change((draft) => draft.rotate('a', secret('2'), { graceSeconds: 60, reason: 'why not' }))
    await world.rollback('a')
    await world.remove('a')
    expect(world.history()).toEqual(['created a', 'rotated a', 'rolled-back a', 'removed a'])
    expect(world.records().map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    expect(world.records()[1]).toMatchObject({
      rotated_at: '2026-11-22T12:00:00.000Z',
      version: 2,
      by: 'tester@machine',
      reason: 'why not',
    })
    expect(world.report()).toMatchObject(WHOLE)
    expect(new Set(world.records().map(({ id }) => id)).size).toBe(4)
  })

  it('may hold several events: all or none', async () => {
    const world = await VaultWorld.create()
    await world.change((draft) => {
      draft.store('a', secret('1'), {})
      draft.store('b', secret('2'), {})
    })
    await expectCode('NOT_FOUND', () =>
      world.change((draft) => {
        draft.remove('a', {})
        draft.remove('c', {})
      }),
    )
    expect(world.open().names()).toEqual(['a', 'b'])
    expect(world.history()).toEqual(['created a', 'created b'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('whose record does not reach the log is DURABILITY: the value is live, and the next change replays it once', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'old')
    const access = world.meddled(noAppend)
    const failure = await expectCode('DURABILITY', () =>
      changeVault(access, 'rotate', (draft) => draft.rotate('a', secret('new'), { graceSeconds: 60 })),
    )
    expect(failure.message).toContain('the change stands')
    expect([world.text('a'), world.text('a', 'previous')]).toEqual(['new', 'old'])
    expect(world.history()).toEqual(['created a'])
    expect(world.report()).toMatchObject(WHOLE)
    const pending = world.open().logAnchor?.pending ?? []
    expect(missingRecords(pending, world.store())).toEqual(pending)
    // A change that fails of itself replays, too, and does not replay twice.
    for (const _ of [1, 2]) await expectCode('NOT_FOUND', () => world.remove('b'))
    expect(world.history()).toEqual(['created a', 'rotated a'])
    expect(missingRecords(pending, world.store())).toEqual([])
    await world.put('b', 'x')
    expect(world.history()).toEqual(['created a', 'rotated a', 'created b'])
    expect(world.records().map(({ seq }) => seq)).toEqual([1, 2, 3])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('that is the first of all and does not reach the log is replayed as well', async () => {
    const world = await VaultWorld.create()
    const access = world.meddled(noAppend)
    await expectCode('DURABILITY', () => changeVault(access, 'store', (draft) => draft.store('a', secret('x'), {})))
    expect(world.records()).toEqual([])
    await world.put('b', 'y')
    expect(world.history()).toEqual(['created a', 'created b'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('of several events, of which the log got the first alone, is replayed from there', async () => {
    const world = await VaultWorld.create()
    for (const value of ['1', '2']) await (value === '1' ? world.put('a', value) : world.rotate('a', value))
    const before = readFileSync(world.path('log'), 'utf8')
    await world.rotate('a', '3')
    const [, , retired] = world.records()
    writeFileSync(world.path('log'), before.replace(/\]\n$/, `,${JSON.stringify(retired)}\n]\n`))
    expect(world.history()).toEqual(['created a', 'rotated a', 'retired a'])
    await world.put('b', 'x')
    expect(world.history()).toEqual(['created a', 'rotated a', 'retired a', 'rotated a', 'created b'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('is not begun when the log cannot be read', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const before = world.read()
    writeFileSync(world.path('log'), 'not a log')
    await expectCode('DAMAGED', () => world.rotate('a', 'y'))
    expect(world.read().equals(before)).toBe(true)
    expect(readFileSync(world.path('log'), 'utf8')).toBe('not a log')
  })

  it('starts again when the vault was exchanged meanwhile, and runs its body anew', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    let attempts = 0
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (name === 'vault' && ++attempts < 3) throw new ConflictError('meanwhile')
        return real.replace(name, bytes, options)
      },
    }))
    let runs = 0
    await changeVault(access, 'rotate', (draft) => {
      runs++
      return draft.rotate('a', secret('y'), { graceSeconds: 60 })
    })
    expect(runs).toBe(3)
    expect(world.history()).toEqual(['created a', 'rotated a'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('needs a key, and says so before it touches anything', async () => {
    const world = await VaultWorld.create()
    await expectCode('NO_KEY', () => changeVault(world.access({ key: undefined }), 'store', () => undefined))
  })
})

describe('a log that is not where the vault left it', () => {
  it('when it is gone is gone on with: numbers go on from the vault, a warning says so, verification names the gap', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.put('b', '2')
    rmSync(world.path('log'))
    await world.put('c', '3')
    expect(world.warnings).toEqual([
      `the rotation log "${world.path('log')}" ends at record 0, but the vault has committed 1: run mcpvault log verify`,
    ])
    // The last record was still in the vault; the first is lost for good.
    expect(world.records().map(({ seq }) => seq)).toEqual([2, 3])
    const report = world.report()
    expect(report.gaps).toEqual([{ after: 0, before: 2 }])
    expect(report.problems).toMatchObject([{ kind: 'chain', seq: 2 }])
    await world.put('d', '4')
    expect(world.warnings).toHaveLength(1)
  })

  it('when its end was cut off is named before anything is written over it', async () => {
    const world = await VaultWorld.create()
    for (const name of ['a', 'b', 'c', 'd']) await world.put(name, name)
    const cut = readFileSync(world.path('log'), 'utf8').split('\n').slice(0, 2)
    writeFileSync(world.path('log'), `${cut.join('\n')}\n]\n`)
    expect(world.report().problems).toMatchObject([{ kind: 'behind', seq: 4 }])
    await world.put('e', 'e')
    expect(world.warnings).toHaveLength(1)
    expect(world.warnings[0]).toContain('ends at record 1, but the vault has committed 3')
    expect(world.report().gaps).toEqual([{ after: 1, before: 4 }])
  })
})

describe('a process that is killed', () => {
  let child: Bundle

  beforeAll(async () => {
    child = await bundleScript(new URL('./killed-child.ts', import.meta.url))
  })
  afterAll(() => child.remove())

  it('before the vault takes its place has changed nothing', async () => {
    const world = await vaultWithA()
    expect(await run(child, world, 'verify vault')).toBe('SIGKILL')
    expect(world.text('a')).toBe('old')
    expect(world.history()).toEqual(['created a'])
    await world.rotate('a', 'new')
    expect(world.history()).toEqual(['created a', 'rotated a'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it.each(['replaced vault', 'append log'])(
    'after the vault, before the log (%s) has its record replayed once',
    async (place) => {
      const world = await vaultWithA()
      expect(await run(child, world, place)).toBe('SIGKILL')
      expect([world.text('a'), world.history()]).toEqual(['from the child', ['created a']])
      await world.put('b', 'x')
      await world.put('c', 'x')
      expect(world.history()).toEqual(['created a', 'rotated a', 'created b', 'created c'])
      expect(world.records()[1]).toMatchObject({ by: 'child@machine', seq: 2 })
      expect(world.report()).toMatchObject(WHOLE)
      expect(world.warnings).toEqual([])
    },
  )

  it('as soon as a value was retired has left no generation that still has it', async () => {
    const world = await vaultWithA()
    await world.put('b', 'x')
    await world.rotate('a', 'second')
    const held = world.read('.bak')
    expect(await run(child, world, 'verify vault')).toBe('SIGKILL')
    expect(world.read('.bak').equals(held)).toBe(true)
    expect(await run(child, world, 'replaced vault')).toBe('SIGKILL')
    expect(world.has('.bak')).toBe(false)
    // A power cut may bring it back, since directories are not written in order.
    writeFileSync(world.path('vault', '.bak'), held, { mode: 0o600 })
    await expectCode('EXISTS', () => world.put('b', 'y'))
    expect(world.has('.bak')).toBe(false)
    await world.put('c', 'x')
    expect(world.has('.bak')).toBe(true)
  })

  it.each(['appended log', 'mark'])('after the log (%s) has its record there once', async (place) => {
    const world = await vaultWithA()
    expect(await run(child, world, place)).toBe('SIGKILL')
    expect(world.text('a')).toBe('from the child')
    await world.put('b', 'x')
    expect(world.history()).toEqual(['created a', 'rotated a', 'created b'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('nowhere at all finishes: the harness kills only where it is told to', async () => {
    const world = await vaultWithA()
    expect(await run(child, world, 'nowhere')).toBe('exit 0')
    expect(world.history()).toEqual(['created a', 'rotated a'])
  })

  it('or not, a writer never makes a reader see an old vault, in or out of a git work tree', async () => {
    const world = await vaultWithA()
    for (const isInGit of [false, true]) {
      world.isInGit = isInGit
      const writing = run(child, world, 'nowhere', 'rotate-often')
      let isDone = false
      void writing.finally(() => {
        isDone = true
      })
      let reads = 0
      while (!isDone) {
        expect(world.text('a')).toMatch(/^(old|round \d+)$/)
        if (++reads % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      expect(await writing).toBe('exit 0')
      expect(world.warnings).toEqual([])
    }
    expect(world.report()).toMatchObject(WHOLE)
  })
})

async function vaultWithA(): Promise<VaultWorld> {
  const world = await VaultWorld.create()
  await world.put('a', 'old')
  return world
}

/** Runs the child to its end and tells what that was. */
function run(child: Bundle, world: VaultWorld, place: string, action = 'rotate'): Promise<string> {
  const key = (world.key as RawKey).bytes.reveal().toString('base64url')
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [child.path, world.directory, key, action, place], (error, _stdout, stderr) => {
      if (stderr !== '') reject(new Error(stderr))
      else resolve(error?.signal ?? `exit ${error?.code ?? 0}`)
    })
  })
}
