import { describe, expect, it } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import type { RawKey } from '../../src/vault/key.js'
import { readNativeVault } from './independent-reader.js'
import { DAY_MS, expectCode, rawKey, sealed, START_MS, VaultWorld } from './vault-support.js'

const WHOLE = { problems: [], gaps: [], anchored: true, torn: false }

describe('a renamed credential of a native vault', () => {
  it('keeps every version with its dates and stages, and its note', async () => {
    const world = await VaultWorld.create()
    await world.put('old', 'first', 'what it is for')
    world.nowMs += 3 * DAY_MS
    await world.rotate('old', Buffer.from([0xff, 0xfe]))
    const before = world.open().describe('old')
    world.nowMs += DAY_MS
    await world.change((draft) => draft.rename('old', { to: 'new', reason: 'tidier' }))
    expect(world.open().names()).toEqual(['new'])
    expect(world.open().describe('new')).toEqual({ ...before, name: 'new' })
    expect(world.bytes('new')).toEqual(Buffer.from([0xff, 0xfe]))
    expect(world.text('new', 'previous')).toBe('first')
    expect(world.records().at(-1)).toMatchObject({
      credential: 'new',
      action: 'renamed',
      from: 'old',
      version: 2,
      reason: 'tidier',
    })
    expect(Object.keys(world.records().at(-1) ?? {}).slice(0, 5)).toEqual([
      'credential',
      'rotated_at',
      'action',
      'from',
      'version',
    ])
    expect(world.records()).toHaveLength(3)
    expect(world.report()).toMatchObject(WHOLE)
    await expectCode('NOT_FOUND', () => world.bytes('old'))
  })

  it('can be rotated, rolled back, renamed again and removed; its old name is free', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.rotate('a', '2')
    await world.change((draft) => draft.rename('a', { to: 'b' }))
    await world.put('a', 'another')
    expect(await world.rollback('b')).toMatchObject({ version: 3, previous: 2 })
    expect(world.text('b')).toBe('1')
    await world.change((draft) => draft.rename('b', { to: 'c' }))
    await world.rotate('c', '4')
    expect([world.text('a'), world.text('c'), world.text('c', 'previous')]).toEqual(['another', '4', '1'])
    await world.remove('c')
    expect(world.open().names()).toEqual(['a'])
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('may be renamed twice in one change', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.change((draft) => {
      draft.rename('a', { to: 'b' })
      draft.rename('b', { to: 'c' })
    })
    expect(world.text('c')).toBe('1')
    expect(world.history()).toEqual(['created a', 'renamed b', 'renamed c'])
  })

  it('is bound to its new name: an independent reader opens it there', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'value')
    await world.change((draft) => draft.rename('a', { to: 'z' }))
    const read = readNativeVault(world.read(), { raw: (world.key as RawKey).bytes.reveal() })
    expect(read.entries.get('z')?.versions[0]?.value.toString()).toBe('value')
    expect(read.count).toBe(2)
  })

  it('is refused where the name is taken, its own, unknown or none; nothing is written', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.put('b', '2')
    const before = world.read()
    const rename = (from: string, to: string) => world.change((draft) => draft.rename(from, { to }))
    expect((await expectCode('EXISTS', () => rename('a', 'b'))).message).toBe(
      'cannot rename "a" to "b": there is a credential named "b"',
    )
    expect((await expectCode('EXISTS', () => rename('a', 'a'))).message).toContain('that is its name')
    await expectCode('NOT_FOUND', () => rename('c', 'd'))
    for (const odd of ['', 'a b', '-a', '__proto__\n', 'x'.repeat(257)])
      await expectCode('INPUT', () => rename('a', odd))
    expect(world.read().equals(before)).toBe(true)
    expect(world.records()).toHaveLength(2)
  })
})

describe('a renamed credential of a tutorial vault', () => {
  it('changes one key in its place and no other byte', async () => {
    const key = rawKey()
    const world = new VaultWorld({ key })
    const value = sealed(key, 'fernet', 'x')
    const other = sealed(key, 'aes-256-gcm', 'y')
    const text = `{ "first" : "${value}",\r\n\t"m\\u0069ddle":"${other}" , "last": "${value}"}`
    world.write(text)
    await world.change((draft) => draft.rename('middle', { to: 'centre' }))
    expect(world.read().toString()).toBe(text.replace('"m\\u0069ddle"', '"centre"'))
    expect(world.text('centre')).toBe('y')
  })

  it('keeps its age where the tutorial looks for it, and says what happened behind that', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', '1')
    world.nowMs += 5 * DAY_MS
    const dated = '2026-11-22T12:00:00.000000'
    await changeVault(world.access(), 'rename', (draft) => draft.rename('a', { to: 'b', dated, reason: 'why' }))
    const ofName = world.records().filter(({ credential }) => credential === 'b')
    expect(ofName).toMatchObject([{ credential: 'b', rotated_at: dated, action: 'created' }])
    expect(Date.parse(`${ofName.at(-1)?.rotated_at}Z`)).toBe(START_MS)
    expect(world.records().at(-1)).toMatchObject({
      credential: null,
      rotated_at: '2026-11-27T12:00:00.000000',
      action: 'renamed',
      subject: 'b',
      from: 'a',
      reason: 'why',
    })
    expect(world.report()).toMatchObject({ problems: [], gaps: [] })
  })

  it('has no date when the log had none', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', '1')
    await world.change((draft) => draft.rename('a', { to: 'b' }))
    expect(world.history()).toEqual(['created a', 'renamed b'])
    expect(world.records().some(({ credential }) => credential === 'b')).toBe(false)
  })

  it('is refused where the name is taken; an odd old name can be left behind', async () => {
    const key = rawKey()
    const world = new VaultWorld({ key })
    world.write(`{"a b":"${sealed(key, 'fernet', 'x')}","c":"${sealed(key, 'fernet', 'y')}"}`)
    await expectCode('EXISTS', () => world.change((draft) => draft.rename('a b', { to: 'c' })))
    await expectCode('INPUT', () => world.change((draft) => draft.rename('c', { to: 'a b' })))
    await world.change((draft) => draft.rename('a b', { to: 'a_b' }))
    expect(world.open().names()).toEqual(['a_b', 'c'])
  })
})
