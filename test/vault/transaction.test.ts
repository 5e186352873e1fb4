import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { FIRST_PREV, type LogRecord, sealRecord } from '../../src/log/record.js'
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

describe('a change that stands', () => {
  it('is recorded though the vault’s directory could not be synced, and said to be unconfirmed', async () => {
    for (const format of ['native', 'tutorial'] as const) {
      const world = await VaultWorld.create({ format })
      await world.put('a', '1')
      const access = world.meddled((real) => ({
        replace: (name, bytes, options) => {
          const revision = real.replace(name, bytes, options)
          if (name === 'vault') throw new VaultError('DURABILITY', 'cannot confirm it')
          return revision
        },
      }))
      await expectCode('DURABILITY', () => changeVault(access, 'store', (draft) => draft.store('b', secret('2'), {})))
      expect(world.text('b')).toBe('2')
      expect(world.history()).toEqual(['created a', 'created b'])
    }
  })

  it('is not run again when something is in the way of what follows it', async () => {
    const world = await VaultWorld.create()
    let runs = 0
    const access = world.meddled((real) => ({
      append: () => {
        throw new ConflictError('another program writes the log all the time')
      },
      replace: (name, bytes, options) => real.replace(name, bytes, options),
    }))
    await world.put('a', '1')
    const failure = await expectCode('DURABILITY', () =>
      changeVault(access, 'store', (draft) => {
        runs += 1
        return draft.store('b', secret('2'), {})
      }),
    )
    expect([runs, failure.message]).toEqual([1, expect.stringContaining('the change stands')])
  })

  it('is DURABILITY, not damage, when the mark was spoilt meanwhile', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    const path = join(world.stateDirectory, `${world.open().id}.json`)
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        const revision = real.replace(name, bytes, options)
        writeFileSync(path, 'spoilt')
        return revision
      },
    }))
    const failure = await expectCode('DURABILITY', () =>
      changeVault(access, 'store', (draft) => draft.store('b', secret('2'), {})),
    )
    expect(failure.message).toContain('the change stands, but cannot read the high-water mark')
    expect(world.history()).toEqual(['created a', 'created b'])
  })

  it('and takes a value out is made even where .bak cannot be deleted, which is said, and so are later ones', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    rmSync(world.path('vault', '.bak'), { force: true })
    mkdirSync(world.path('vault', '.bak'))
    await world.remove('a')
    expect(world.warnings).toEqual([expect.stringContaining('.bak" may still hold what was removed')])
    await world.put('b', '2')
    expect(world.text('b')).toBe('2')
    expect(world.history()).toEqual(['created a', 'removed a', 'created b'])
    expect(world.report()).toMatchObject(WHOLE)
  })
})

describe('a clock', () => {
  it('beyond the year 9999 is refused before anything is written', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    const before = world.read()
    world.nowMs = Date.UTC(10_000, 0)
    await expectCode('INPUT', () => world.rotate('a', '2'))
    expect(world.read().equals(before)).toBe(true)
    expect(world.text('a')).toBe('1')
  })

  it('shortly before it ends every grace with that year', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    world.nowMs = Date.UTC(9999, 11, 31)
    const { previousUntilMs } = await world.rotate('a', '2')
    expect(previousUntilMs).toBe(Date.UTC(10_000, 0) - 1)
    expect([world.text('a'), world.text('a', 'previous')]).toEqual(['2', '1'])
  })
})

describe('a change that cannot be read back', () => {
  it('is not committed, though its MAC fits', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    const before = world.read()
    const odd = { note: 5 as unknown as string }
    await expectCode('DAMAGED', () => world.change((draft) => draft.store('b', secret('2'), odd)))
    expect(world.read().equals(before)).toBe(true)
    expect(world.history()).toEqual(['created a'])
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
    expect(report.problems).toMatchObject([
      { kind: 'chain', seq: 2 },
      { kind: 'gap', seq: 2 },
    ])
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
    // The write that went on over it has not made it good.
    expect(world.report().problems.map(({ kind }) => kind)).toEqual(['chain', 'gap'])
  })

  it('when its end was cut off may be gone on from as it is: a record says so, and verification is content', async () => {
    const world = await VaultWorld.create()
    for (const name of ['a', 'b', 'c']) await world.put(name, name)
    layLog(world, world.records().slice(0, 1))
    world.acceptRestore = true
    await world.put('d', 'd')
    expect(world.history()).toEqual(['created a', 'restored -', 'created c', 'created d'])
    expect(world.records()[1]?.reason).toBe('the log ends at record 1, but the vault has committed 2')
    expect(world.report()).toMatchObject({ problems: [], gaps: [{ after: 1, before: 4 }], anchored: true })
  })

  it('when a record in it was exchanged and the chain made anew is not written to, so that nothing is laundered', async () => {
    const { world, forged } = await forgedWorld()
    const vault = world.read()
    const failure = await expectCode('DAMAGED', () => world.put('d', 'd'))
    expect(failure.message).toBe(
      `the rotation log "${world.path('log')}" was changed: it does not hold record 3 as the vault has committed it`,
    )
    expect(failure.hints[0]).toBe('mcpvault log verify')
    expect(failure.hints[1]).toContain('--accept-restore')
    expect([world.read().equals(vault), world.records()]).toEqual([true, forged])
    expect(world.report().problems.map(({ kind }) => kind)).toEqual(['forked'])
  })

  it('is not written to either when records by others hide the exchange', async () => {
    const { world, forged } = await forgedWorld()
    const foreign = { credential: 'x', rotated_at: '2026-11-22T12:00:00.000000', action: 'rotated' }
    layLog(world, [...forged, foreign, foreign])
    await expectCode('DAMAGED', () => world.put('d', 'd'))
    // The control: such records behind the true end are no harm.
    layLog(world, [...world.sealed, foreign, foreign])
    await world.put('d', 'd')
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
  })

  it('is not written to either when an old record was put behind the true end', async () => {
    const { world } = await forgedWorld()
    layLog(world, [...world.sealed, world.sealed[0]])
    await expectCode('DAMAGED', () => world.put('d', 'd'))
  })

  it('when it was changed may be gone on from as it is, and a record says so for ever', async () => {
    const { world, forged } = await forgedWorld()
    world.acceptRestore = true
    await world.put('d', 'd')
    const [, , , restored, replayed, last] = world.records()
    expect(world.records().slice(0, 3)).toEqual(forged)
    expect(restored).toMatchObject({ seq: 4, action: 'restored', credential: null })
    expect(restored?.reason).toBe('the log was changed: it does not hold record 3 as the vault has committed it')
    expect([replayed, last]).toMatchObject([{ credential: 'c' }, { credential: 'd' }])
    expect(world.warnings).toHaveLength(1)
    world.acceptRestore = false
    await world.put('e', 'e')
    expect(world.report()).toMatchObject({ problems: [], restored: [4], anchored: true })
  })

  it('is not written to when it was changed before a committed record reached it', async () => {
    const world = await VaultWorld.create()
    for (const name of ['a', 'b']) await world.put(name, name)
    const access = world.meddled(noAppend)
    await expectCode('DURABILITY', () => changeVault(access, 'store', (draft) => draft.store('c', secret('c'), {})))
    const whole = world.records()
    layLog(world, forge(whole))
    await expectCode('DAMAGED', () => world.put('d', 'd'))
    layLog(world, whole)
    await world.put('d', 'd')
    expect(world.report()).toMatchObject(WHOLE)
  })
})

/** A vault with three records, and its log with the first one exchanged and every hash behind it made to fit. */
async function forgedWorld(): Promise<{
  readonly world: VaultWorld & { readonly sealed: readonly LogRecord[] }
  readonly forged: readonly LogRecord[]
}> {
  const world = await VaultWorld.create()
  for (const name of ['a', 'b', 'c']) await world.put(name, name)
  const sealed = world.records()
  const forged = forge(sealed)
  layLog(world, forged)
  return { world: Object.assign(world, { sealed }), forged }
}

function forge(records: readonly LogRecord[]): readonly LogRecord[] {
  let prev = FIRST_PREV
  return records.map((record, index) => {
    const { seq = 0, id = '', hash: _, ...fields } = record
    const credential = index === 0 ? 'forged' : record.credential
    const next = sealRecord({ ...fields, credential }, { seq, prev, id })
    prev = next.hash
    return next
  })
}

function layLog(world: VaultWorld, records: readonly unknown[]): void {
  writeFileSync(world.path('log'), `[\n${records.map((record) => JSON.stringify(record)).join('\n,')}\n]\n`)
}

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
