import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MAX_VALUE_BYTES } from '../../src/vault/vault.js'
import { readNativeVault } from './independent-reader.js'
import { DAY_MS, expectCode, rawKey, START_MS, VaultWorld, WEEK_SECONDS } from './vault-support.js'

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

describe('a native vault keeps values', () => {
  it('of 0 bytes to 1 MiB, of every byte, exactly', async () => {
    const world = await VaultWorld.create()
    const values: Record<string, Buffer> = {
      empty: Buffer.alloc(0),
      one: Buffer.of(0),
      every_byte: EVERY_BYTE,
      not_utf8: Buffer.from('c3280aff', 'hex'),
      line_ends: Buffer.from('\r\n\n\r'),
      largest: Buffer.alloc(MAX_VALUE_BYTES, EVERY_BYTE),
    }
    for (const [name, value] of Object.entries(values)) await world.put(name, value)
    for (const [name, value] of Object.entries(values)) expect(world.bytes(name).equals(value), name).toBe(true)
  })

  it('but none over 1 MiB, and says so without a piece of it', async () => {
    const world = await VaultWorld.create()
    const before = world.read()
    const failure = await expectCode('INPUT', () => world.put('large', Buffer.alloc(MAX_VALUE_BYTES + 1, 'x')))
    expect(failure.message).toBe('cannot keep the value of "large": it is over 1 MiB')
    expect(world.read().equals(before)).toBe(true)
    expect(world.history()).toEqual([])
  })

  it('and hides them: no value stands in any file', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'canary-0123456789')
    await world.rotate('a', 'canary-abcdefghij')
    for (const suffix of ['', '.bak']) {
      for (const form of ['utf8', 'hex', 'base64', 'base64url'] as const) {
        expect(world.read(suffix).includes(Buffer.from('canary').toString(form)), `${suffix} ${form}`).toBe(false)
      }
    }
  })
})

describe('a change to a native vault', () => {
  it('changes the lines of its entry, the header and the MAC alone', async () => {
    const world = await VaultWorld.create()
    for (const name of ['a', 'b', 'c', 'd']) await world.put(name, `value of ${name}`)
    const before = world.lines()
    await world.rotate('c', 'another value')
    const after = world.lines()
    const changed = after.flatMap((line, index) => (line === before[index] ? [] : [index]))
    expect(after).toHaveLength(before.length)
    expect(changed).toEqual([1, 4, 6])
    expect(after[4]).toMatch(/^\["c",/)
  })

  it('that stores adds one line, sorted by the UTF-8 bytes of the names', async () => {
    const world = await VaultWorld.create()
    for (const name of ['b', 'a/b', 'a', 'Z', '_', '10', '9', '__proto__', 'constructor']) await world.put(name, name)
    const names = world.open().names()
    expect(names).toEqual(['10', '9', 'Z', '_', '__proto__', 'a', 'a/b', 'b', 'constructor'])
    for (const name of names) expect(world.text(name)).toBe(name)
  })

  it('raises the generation by one and counts what the data key has encrypted', async () => {
    const world = await VaultWorld.create()
    const read = () => readNativeVault(world.read(), { raw: keyOf(world) })
    expect([read().gen, read().count]).toEqual([1, 0])
    await world.put('a', '1')
    await world.rotate('a', '2')
    await world.rollback('a')
    await world.remove('a')
    expect([read().gen, read().count]).toEqual([5, 3])
  })

  it('that changes nothing writes nothing', async () => {
    const world = await VaultWorld.create()
    const before = world.read()
    expect(await world.change((draft) => draft.names())).toEqual([])
    expect(world.read().equals(before)).toBe(true)
  })

  it('uses a fresh nonce for the same value', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'same')
    await world.put('b', 'same')
    const [a, b] = world.lines().slice(2, 4)
    expect(/"n":"([^"]+)"/.exec(a ?? '')?.[1]).not.toBe(/"n":"([^"]+)"/.exec(b ?? '')?.[1])
    expect(/"c":"([^"]+)"/.exec(a ?? '')?.[1]).not.toBe(/"c":"([^"]+)"/.exec(b ?? '')?.[1])
  })
})

describe('versions', () => {
  it('are numbered from 1, and the one before stays loadable until its grace is over', async () => {
    const world = await VaultWorld.create()
    expect(await world.put('a', 'first')).toMatchObject({ version: 1, previous: undefined })
    world.nowMs += DAY_MS
    const rotated = await world.rotate('a', 'second')
    const untilMs = world.nowMs + WEEK_SECONDS * 1000
    expect(rotated).toEqual({ version: 2, previous: 1, previousUntilMs: untilMs, retired: undefined })
    expect([world.text('a'), world.text('a', 'previous'), world.text('a', 1), world.text('a', 2)]).toEqual([
      'second',
      'first',
      'first',
      'second',
    ])
    expect(world.open().describe('a')?.versions).toMatchObject([
      { version: 2, stage: 'current', createdMs: world.nowMs, sinceMs: world.nowMs, untilMs: undefined },
      { version: 1, stage: 'previous', createdMs: START_MS, sinceMs: START_MS, untilMs },
    ])
    world.nowMs = untilMs - 1
    expect(world.text('a', 'previous')).toBe('first')
    world.nowMs = untilMs
    const late = await expectCode('NOT_FOUND', () => world.text('a', 'previous'))
    expect(late.message).toBe('version 1 of "a" was loadable until 2026-11-30T12:00:00.000Z')
    expect(late.hints).toEqual(['to make it current again: mcpvault rollback a'])
  })

  it('of which a second rotation retires the older, and takes it out of .bak too', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'first')
    await world.rotate('a', 'second')
    expect(world.has('.bak')).toBe(true)
    expect(await world.rotate('a', 'third')).toMatchObject({ version: 3, previous: 2, retired: 1 })
    expect(world.has('.bak')).toBe(false)
    await expectCode('NOT_FOUND', () => world.text('a', 1))
    expect(world.text('a', 'previous')).toBe('second')
    expect(world.history()).toEqual(['created a', 'rotated a', 'retired a', 'rotated a'])
    expect(world.records().map((record) => record.version)).toEqual([1, 2, 1, 3])
    const held = readNativeVault(world.read(), { raw: keyOf(world) }).entries.get('a')?.versions
    expect(held?.map(({ value }) => value.toString())).toEqual(['third', 'second'])
  })

  it('go back by rollback, which keeps the date that the value was first used', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'good')
    world.nowMs += DAY_MS
    await world.rotate('a', 'bad')
    world.nowMs += DAY_MS
    expect(await world.rollback('a')).toMatchObject({ version: 3, previous: 2, retired: undefined })
    expect([world.text('a'), world.text('a', 'previous')]).toEqual(['good', 'bad'])
    const [current, previous] = world.open().describe('a')?.versions ?? []
    expect(current).toMatchObject({ version: 3, createdMs: world.nowMs, sinceMs: START_MS })
    expect(previous).toMatchObject({ version: 2, sinceMs: START_MS + DAY_MS })
    await expectCode('NOT_FOUND', () => world.text('a', 1))
    expect(world.history()).toEqual(['created a', 'rotated a', 'rolled-back a'])
    await world.rollback('a')
    expect([world.text('a'), world.text('a', 'previous')]).toEqual(['bad', 'good'])
  })

  it('can be rolled back to after the grace is over, as long as they are kept', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'good')
    await world.rotate('a', 'bad', 0)
    await expectCode('NOT_FOUND', () => world.text('a', 'previous'))
    await world.rollback('a', 1)
    expect(world.text('a')).toBe('good')
  })

  it('that are not there are named with those that are', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'only')
    const missing = await expectCode('NOT_FOUND', () => world.text('a', 7))
    expect([missing.message, missing.hints]).toEqual(['"a" has not kept version 7', ['kept: 1 (current)']])
    await expectCode('NOT_FOUND', () => world.text('a', 'previous'))
    const none = await expectCode('NOT_FOUND', () => world.rollback('a'))
    expect([none.message, none.hints]).toEqual([
      'cannot roll back "a": that version was not kept',
      ['mcpvault history a'],
    ])
    const current = await expectCode('NOT_FOUND', () => world.rollback('a', 1))
    expect(current.message).toBe('cannot roll back "a": version 1 is the current one')
  })

  it('are not made for the value that is current already', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'same')
    const before = world.read()
    const failure = await expectCode('INPUT', () => world.rotate('a', 'same'))
    expect(failure.message).toBe('cannot rotate "a": the new value is the current one')
    expect(world.read().equals(before)).toBe(true)
    expect(world.history()).toEqual(['created a'])
  })
})

describe('removing', () => {
  it('takes the credential out of the vault and of .bak', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'gone')
    await world.put('b', 'stays')
    expect(world.has('.bak')).toBe(true)
    await world.remove('a')
    expect(world.has('.bak')).toBe(false)
    expect(world.open().names()).toEqual(['b'])
    await expectCode('NOT_FOUND', () => world.text('a'))
    expect(world.history()).toEqual(['created a', 'created b', 'removed a'])
    await world.put('a', 'new')
    expect(world.text('a')).toBe('new')
  })
})

describe('names', () => {
  it('that exist are not stored over, those that do not are not rotated, and the nearest is suggested', async () => {
    const world = await VaultWorld.create()
    await world.put('scavio_api_key', 'x')
    const exists = await expectCode('EXISTS', () => world.put('scavio_api_key', 'y'))
    expect(exists.hints).toEqual(['mcpvault rotate scavio_api_key'])
    for (const attempt of [
      () => world.text('scavio_api_kye'),
      () => world.rotate('scavio_api_kye', 'y'),
      () => world.rollback('scavio_api_kye'),
      () => world.remove('scavio_api_kye'),
    ]) {
      const missing = await expectCode('NOT_FOUND', attempt)
      expect(missing.message).toBe('no credential is named "scavio_api_kye"')
      expect(missing.hints).toEqual(['did you mean "scavio_api_key"?'])
    }
    const unlike = await expectCode('NOT_FOUND', () => world.text('zzz'))
    expect(unlike.hints).toEqual(['mcpvault list'])
    expect(world.text('scavio_api_key')).toBe('x')
  })

  it.each(['__proto__', 'constructor', 'toString', '0', 'a.b:c/d@e-f', 'x'.repeat(256)])('may be %s', async (name) => {
    const world = await VaultWorld.create()
    expect(world.open().describe(name)).toBeUndefined()
    await world.put(name, 'value')
    await world.rotate(name, 'other')
    expect(world.text(name)).toBe('other')
    expect(world.text(name, 'previous')).toBe('value')
  })

  it.each(['', 'x'.repeat(257), 'ключ', 'a b', '-a', '.a', 'a\n', 'a\0', 'a"b', '\ud800', '\u202ea', 'a,b'])(
    'may not be %j',
    async (name) => {
      const world = await VaultWorld.create()
      const failure = await expectCode('INPUT', () => world.put(name, 'value'))
      expect(failure.message).toBe('cannot use that name for a credential')
      expect(world.open().names()).toEqual([])
    },
  )
})

describe('notes', () => {
  it('stay with their credential through rotations', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x', 'made at "the" provider ✓')
    await world.rotate('a', 'y')
    expect(world.open().describe('a')?.note).toBe('made at "the" provider ✓')
  })
})

describe('a new native vault', () => {
  it('is not made where a vault is', async () => {
    const world = await VaultWorld.create()
    const before = world.read()
    const { createVault } = await import('../../src/vault/create.js')
    for (const format of ['native', 'tutorial'] as const) {
      await expectCode('EXISTS', () => createVault(world.access(), format))
    }
    expect(world.read().equals(before)).toBe(true)
  })

  it('needs a key, and leaves nothing behind without one', async () => {
    const world = new VaultWorld()
    const { createVault } = await import('../../src/vault/create.js')
    await expectCode('NO_KEY', () => createVault(world.access({ key: undefined }), 'native'))
    expect(existsSync(world.path('vault'))).toBe(false)
  })

  it('shares neither its id nor its keys with another under the same key', async () => {
    const key = rawKey()
    const [a, b] = [await VaultWorld.create({ key }), await VaultWorld.create({ key })]
    const [readA, readB] = [a, b].map((world) => readNativeVault(world.read(), { raw: keyOf(world) }))
    expect(readA?.id.equals(readB?.id ?? Buffer.alloc(0))).toBe(false)
    expect(readA?.tokensKey.equals(readB?.tokensKey ?? Buffer.alloc(0))).toBe(false)
  })

  it('holds a tokens key of 32 bytes that stays the same', async () => {
    const world = await VaultWorld.create()
    const tokensKey = world.open().tokensKey(Buffer.alloc(0)).reveal()
    await world.put('a', 'x')
    expect(world.open().tokensKey(Buffer.alloc(0)).reveal().equals(tokensKey)).toBe(true)
    expect(readNativeVault(world.read(), { raw: keyOf(world) }).tokensKey.equals(tokensKey)).toBe(true)
    expect(world.open().tokenStoreId?.toString('base64url')).toBe(world.open().id)
  })
})

describe('without a key', () => {
  it('names and dates can be read unverified, and no value', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const vault = world.open({ key: undefined })
    expect([vault.isVerified, world.open().isVerified]).toEqual([false, true])
    expect(vault.names()).toEqual(['a'])
    expect(vault.describe('a')?.versions[0]?.sinceMs).toBe(START_MS)
    await expectCode('NO_KEY', () => vault.load('a', { nowMs: START_MS }))
    await expectCode('NO_KEY', () => vault.tokensKey(Buffer.alloc(0)))
  })
})

function keyOf(world: VaultWorld): Buffer {
  if (world.key.type !== 'raw') throw new Error('no raw key')
  return world.key.bytes.reveal()
}
