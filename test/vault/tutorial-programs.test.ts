import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import type { RawKey } from '../../src/vault/key.js'
import { openVault } from '../../src/vault/open.js'
import { expectCode, sealed, secret, START_MS, VaultWorld } from './vault-support.js'

describe('the log beside a tutorial vault', () => {
  it('has naive local times, the tutorial’s three members first, and hides what is no rotation from it', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    world.zone = 'Europe/Berlin'
    await world.put('a', '1')
    await world.rotate('a', '2')
    await world.remove('a')
    expect(world.records().map((record) => Object.keys(record).slice(0, 3))).toEqual(
      Array.from({ length: 3 }, () => ['credential', 'rotated_at', 'action']),
    )
    expect(world.records().map(({ credential, action, subject }) => [credential, action, subject])).toEqual([
      ['a', 'created', undefined],
      ['a', 'rotated', undefined],
      [null, 'removed', 'a'],
    ])
    for (const record of world.records()) expect(record.rotated_at).toBe('2026-11-22T13:00:00.000000')
    expect(world.report()).toMatchObject({ records: 3, problems: [], gaps: [] })
  })

  it('keeps an old value in .bak alone, and a removed one nowhere', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    const before = world.read()
    await world.rotate('a', 'new')
    expect(world.read('.bak').equals(before)).toBe(true)
    await world.remove('a')
    expect(world.has('.bak')).toBe(false)
  })

  it('is not touched when it cannot be read, and neither is the vault', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    const before = world.read()
    writeFileSync(world.path('log'), '[{"credential": "a"')
    await expectCode('DAMAGED', () => world.put('a', 'x'))
    expect(world.read().equals(before)).toBe(true)
    expect(readFileSync(world.path('log'), 'utf8')).toBe('[{"credential": "a"')
  })

  it('that cannot be appended to leaves the new value live, and says so', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    const access = world.meddled(() => ({
      append: () => {
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      },
    }))
    const failure = await expectCode('DURABILITY', () =>
      changeVault(access, 'rotate', (draft) => draft.rotate('a', secret('new'), { graceSeconds: 0 })),
    )
    expect(failure.message).toContain('the change stands')
    expect(world.text('a')).toBe('new')
    expect(world.history()).toEqual(['created a'])
  })
})

describe('another program that writes without the lock', () => {
  it('between our reading and our commit is noticed, and its write is kept', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    let writes = 0
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (name === 'vault' && ++writes <= 3) writeTheirs(world, `theirs_${writes}`)
        return real.replace(name, bytes, options)
      },
    }))
    await changeVault(access, 'rotate', (draft) => draft.rotate('a', secret('new'), { graceSeconds: 0 }))
    expect(writes).toBe(4)
    expect(world.open().names()).toEqual(['a', 'theirs_1', 'theirs_2', 'theirs_3'])
    expect([world.text('a'), world.text('theirs_2')]).toEqual(['new', 'value of theirs_2'])
    expect(world.history()).toEqual(['created a', 'rotated a'])
  })

  it('without end makes the command give up, having overwritten nothing', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    let writes = 0
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        writeTheirs(world, `theirs_${++writes}`)
        return real.replace(name, bytes, options)
      },
    }))
    const failure = await expectCode('LOCKED', () => changeVault(access, 'remove', (draft) => draft.remove('a', {})))
    expect(failure.message).toContain('another program keeps writing it')
    expect(world.open().names()).toHaveLength(writes + 1)
    expect(world.text('a')).toBe('old')
  })

  it('may take the name that we wanted to store: then it exists', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    let writes = 0
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (writes++ === 0) writeTheirs(world, 'a')
        return real.replace(name, bytes, options)
      },
    }))
    await expectCode('EXISTS', () => changeVault(access, 'store', (draft) => draft.store('a', secret('ours'), {})))
    expect(world.text('a')).toBe('value of a')
  })

  it('is waited for while its file is half-written, by readers and writers', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    const whole = world.read()
    const halves = [whole.subarray(0, 0), whole.subarray(0, 1), whole.subarray(0, whole.length / 2)]
    const restart = (): (() => void) => {
      const steps = [...halves, whole]
      world.write(steps.shift() ?? '')
      // Every look at the file finds it a little farther.
      return () => void (steps.length > 0 && world.write(steps.shift() ?? ''))
    }
    let step = restart()
    const store = world.store()
    const reader = world.access({
      store: {
        ...store,
        read: (name, maxBytes) => {
          const found = store.read(name, maxBytes)
          step()
          return found
        },
      },
    })
    expect(openVault(reader).load('a', { nowMs: START_MS }).revealText()).toBe('old')
    step = restart()
    const writer = world.meddled((real) => ({
      read: (name, maxBytes) => {
        const found = real.read(name, maxBytes)
        step()
        return found
      },
    }))
    await changeVault(writer, 'rotate', (draft) => draft.rotate('a', secret('new'), { graceSeconds: 0 }))
    expect(world.text('a')).toBe('new')
  })

  it('may append to the log at the same time: both records stand, and the chain holds', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'old')
    let appends = 0
    const interfere = (): void => {
      if (appends++ >= 2) return
      const theirs = { credential: 'theirs', rotated_at: '2026-11-22T12:00:01.000001', action: 'rotated' }
      writeFileSync(world.path('log'), JSON.stringify([...world.records(), theirs], null, 2))
    }
    const access = world.meddled((real) => ({
      append: (name, bytes, options) => {
        interfere()
        return real.append(name, bytes, options)
      },
      replace: (name, bytes, options) => {
        if (name === 'log') interfere()
        return real.replace(name, bytes, options)
      },
    }))
    await changeVault(access, 'rotate', (draft) => draft.rotate('a', secret('new'), { graceSeconds: 0 }))
    expect(appends).toBe(3)
    expect(world.history()).toEqual(['created a', 'rotated theirs', 'rotated theirs', 'rotated a'])
    expect(world.report()).toMatchObject({ sealed: 2, checkpoints: [1, 2], problems: [] })
  })
})

/** Adds a member in place, as a tutorial program does. */
function writeTheirs(world: VaultWorld, name: string): void {
  const value = sealed(world.key as RawKey, 'fernet', `value of ${name}`)
  world.write(JSON.stringify({ ...world.json(), [name]: value }, null, 2))
}
