import { describe, expect, it } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import type { ImportOptions, ImportStep } from '../../src/vault/import.js'
import { previewImport } from '../../src/vault/import.js'
import { DAY_MS, expectCode, rawKey, sealed, secret, START_MS, VaultWorld } from './vault-support.js'

const WHOLE = { problems: [], gaps: [], anchored: true, torn: false }

const HOW: ImportOptions = { onConflict: 'fail', reason: 'from a test' }

function values(entries: Readonly<Record<string, string>>, sinceMs?: number) {
  return Object.entries(entries).map(([name, value]) => ({ name, value: secret(value), sinceMs }))
}

function take(
  world: VaultWorld,
  entries: Readonly<Record<string, string>>,
  options: Partial<ImportOptions> & { readonly sinceMs?: number } = {},
): Promise<readonly ImportStep[]> {
  const { sinceMs, ...how } = options
  return changeVault(world.access(), 'import', (draft) => draft.importAll(values(entries, sinceMs), { ...HOW, ...how }))
}

function fates(steps: readonly ImportStep[]): readonly string[] {
  return steps.map(({ name, fate }) => `${name} ${fate}`)
}

describe('an import into a native vault', () => {
  it('is one commit with one record', async () => {
    const world = await VaultWorld.create()
    await world.put('c', '3')
    expect(fates(await take(world, { b: '2', a: '1' }))).toEqual(['b stored', 'a stored'])
    expect(world.open().names()).toEqual(['a', 'b', 'c'])
    expect([world.text('a'), world.text('b')]).toEqual(['1', '2'])
    expect(world.records()).toHaveLength(2)
    expect(world.records()[1]).toMatchObject({ credential: null, action: 'imported', count: 2, reason: 'from a test' })
    expect(JSON.parse(world.lines()[1]?.slice(0, -1) ?? '')).toMatchObject({ gen: 3 })
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('counts age from now, or from the date that is known', async () => {
    const world = await VaultWorld.create()
    await take(world, { a: '1' })
    await take(world, { b: '1' }, { sinceMs: START_MS - 40 * DAY_MS })
    const since = (name: string) => world.open().describe(name)?.versions[0]?.sinceMs
    expect([since('a'), since('b')]).toEqual([START_MS, START_MS - 40 * DAY_MS])
  })

  it('with a conflict imports nothing and names every one', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.put('b', '2')
    const before = world.read()
    const failure = await expectCode('EXISTS', () => take(world, { a: '1', b: 'x', c: '3' }))
    expect(failure.message).toBe('cannot import: "a", "b" exist already')
    expect(world.read().equals(before)).toBe(true)
    expect(world.records()).toHaveLength(2)
  })

  it('can skip what is there', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    expect(fates(await take(world, { a: 'x', b: '2' }, { onConflict: 'skip' }))).toEqual(['a skipped', 'b stored'])
    expect([world.text('a'), world.text('b')]).toEqual(['1', '2'])
    expect(world.records().at(-1)).toMatchObject({ action: 'imported', count: 1 })
  })

  it('can rotate what is there: the old value stays for the grace, an equal one is left as it is', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1', 'a note')
    await world.put('b', '2')
    world.nowMs += DAY_MS
    const steps = await take(world, { a: 'x', b: '2', c: '3' }, { onConflict: 'rotate' })
    expect(fates(steps)).toEqual(['a rotated', 'b unchanged', 'c stored'])
    expect([world.text('a'), world.text('a', 'previous'), world.text('b')]).toEqual(['x', '1', '2'])
    expect(world.open().describe('a')).toMatchObject({ note: 'a note', versions: [{ version: 2 }, { version: 1 }] })
    expect(world.open().describe('b')?.versions).toMatchObject([{ version: 1, sinceMs: START_MS }])
    expect(world.records().at(-1)).toMatchObject({ action: 'imported', count: 2 })
    expect(world.has('.bak')).toBe(true)
  })

  it('that retires versions says how many, and leaves them nowhere', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    await world.rotate('a', '2')
    await take(world, { a: '3' }, { onConflict: 'rotate' })
    expect(world.records().slice(-2)).toMatchObject([
      { credential: null, action: 'retired', count: 1 },
      { credential: null, action: 'imported', count: 1 },
    ])
    expect(world.has('.bak')).toBe(false)
    await expectCode('NOT_FOUND', () => world.bytes('a', 1))
    expect(world.report()).toMatchObject(WHOLE)
  })

  it('of what is all there already writes nothing', async () => {
    const world = await VaultWorld.create()
    await world.put('a', '1')
    const before = world.read()
    for (const onConflict of ['skip', 'rotate'] as const) await take(world, { a: '1' }, { onConflict })
    await take(world, {})
    expect(world.read().equals(before)).toBe(true)
  })

  it('with names that none can have imports nothing and names them', async () => {
    const world = await VaultWorld.create()
    const failure = await expectCode('INPUT', () => take(world, { a: '1', 'a b': '2', '': '3' }))
    expect(failure.message).toBe(`cannot import: "a b", "" cannot be a credential's name`)
    expect(world.open().names()).toEqual([])
  })

  it('of a thousand values has one record and leaves them all readable', async () => {
    const world = await VaultWorld.create()
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`n${index}`, `v${index}`]))
    const seen: number[] = []
    await take(world, many, { onProgress: (done, total) => seen.push(done / total) })
    expect(world.open().names()).toHaveLength(1000)
    expect([world.text('n0'), world.text('n999')]).toEqual(['v0', 'v999'])
    expect(world.records()).toHaveLength(1)
    expect([seen.length, seen.at(-1)]).toEqual([1000, 1])
  })
})

describe('an import into a tutorial vault', () => {
  it('adds members in the file’s own layout, and leaves every other byte', async () => {
    const key = rawKey()
    const world = new VaultWorld({ key })
    const text = `{\n\t"z" : "${sealed(key, 'aes-256-gcm', '1')}",\n\t"y" : "${sealed(key, 'fernet', '2')}"\n}\n`
    world.write(text)
    await take(world, { b: '3', a: '4' })
    const lines = world.lines()
    expect(lines.slice(0, 2)).toEqual(text.split('\n').slice(0, 2))
    expect(lines.map((line) => line.slice(0, 7))).toEqual([
      '{',
      '\t"z" : ',
      '\t"y" : ',
      '\t"b" : ',
      '\t"a" : ',
      '}',
      '',
    ])
    expect([world.text('b'), world.text('a')]).toEqual(['3', '4'])
  })

  it('replaces a value in its place and in its codec', async () => {
    const key = rawKey()
    const world = new VaultWorld({ key })
    world.write(`{"z":"${sealed(key, 'aes-256-gcm', '1')}","y":"${sealed(key, 'fernet', '2')}","x":"damaged"}`)
    const steps = await take(world, { y: '2', z: 'new', x: 'whole' }, { onConflict: 'rotate' })
    expect(fates(steps)).toEqual(['y unchanged', 'z rotated', 'x rotated'])
    expect(world.open().names()).toEqual(['z', 'y', 'x'])
    expect(world.open().describe('z')?.codec).toBe('aes-256-gcm')
    expect([world.text('z'), world.text('y'), world.text('x')]).toEqual(['new', '2', 'whole'])
  })

  it('writes one record each, dated as the value is where that is known', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', '1')
    await take(world, { a: '2', b: '3' }, { onConflict: 'rotate' })
    await take(world, { c: '4' }, { sinceMs: START_MS - DAY_MS })
    expect(world.history()).toEqual(['created a', 'rotated a', 'created b', 'created c'])
    expect(world.records().at(-1)?.rotated_at).toBe('2026-11-21T12:00:00.000000')
    expect(world.report()).toMatchObject({ problems: [], gaps: [] })
  })

  it('of a thousand values is one write of vault and log each, into new and old files', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    const many = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`${prefix}${index}`, `v${index}`]))
    let appends = 0
    const count = () =>
      world.meddled((real) => ({
        append: (name, bytes, options) => {
          appends++
          return real.append(name, bytes, options)
        },
      }))
    for (const prefix of ['a', 'b']) {
      await changeVault(count(), 'import', (draft) => draft.importAll(values(many(prefix)), HOW))
    }
    expect(world.open().names()).toHaveLength(2000)
    expect(world.records()).toHaveLength(2000)
    expect(world.report()).toMatchObject({ problems: [], gaps: [], torn: false })
    expect(appends).toBe(0)
    expect(world.text('b999')).toBe('v999')
  })

  it('refuses bytes that are no text, and a key that opens nothing there', async () => {
    const key = rawKey()
    const world = new VaultWorld({ key })
    world.write(`{"a":"${sealed(rawKey(), 'fernet', '1')}"}`)
    await expectCode('WRONG_KEY', () => take(world, { b: '2' }))
    world.write('{}')
    const bytes = [{ name: 'b', value: secret(Buffer.from([0xff])), sinceMs: undefined }]
    await expectCode('INPUT', () => changeVault(world.access(), 'import', (draft) => draft.importAll(bytes, HOW)))
    expect(world.read().toString()).toBe('{}')
  })
})

describe('a preview', () => {
  it('says what an import would do, in both formats, and does nothing', async () => {
    for (const format of ['native', 'tutorial'] as const) {
      const world = await VaultWorld.create({ format })
      await world.put('a', '1')
      await world.put('b', '2')
      const before = world.read()
      const preview = (onConflict: ImportOptions['onConflict']) =>
        fates(previewImport(world.open(), values({ a: '1', b: 'x', c: '3' }), { onConflict, nowMs: world.nowMs }))
      expect(preview('fail')).toEqual(['a conflict', 'b conflict', 'c stored'])
      expect(preview('skip')).toEqual(['a skipped', 'b skipped', 'c stored'])
      expect(preview('rotate')).toEqual(['a unchanged', 'b rotated', 'c stored'])
      expect(world.read().equals(before)).toBe(true)
    }
  })
})
