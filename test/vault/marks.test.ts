import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Snapshot } from '../../src/storage/store.js'
import { openVault } from '../../src/vault/open.js'
import { readNativeVault } from './independent-reader.js'
import { expectCode, rawKey, VaultWorld } from './vault-support.js'
import type { RawKey } from '../../src/vault/key.js'

describe('an older copy of a native vault', () => {
  it('is refused for reading and writing, with the way out', async () => {
    const { world, old } = await restoredWorld()
    const reading = await expectCode('RESTORED', () => world.open())
    expect(reading.message).toBe(
      'this copy of the vault is older (generation 2) than one that this machine has seen (4)',
    )
    expect(reading.hints.at(-1)).toContain('--accept-restore')
    await expectCode('RESTORED', () => world.open({ key: undefined }))
    await expectCode('RESTORED', () => world.rotate('a', 'x'))
    expect(world.read().equals(old)).toBe(true)
    expect(world.history()).toEqual(['created a', 'rotated a', 'created b'])
  })

  it('is read with a warning in a git work tree, and still not written', async () => {
    const { world, old } = await restoredWorld()
    world.isInGit = true
    expect(world.text('a')).toBe('first')
    expect(world.warnings).toHaveLength(1)
    expect(world.warnings[0]).toContain('this copy of the vault is older')
    await expectCode('RESTORED', () => world.rotate('a', 'x'))
    expect(world.read().equals(old)).toBe(true)
  })

  it('is gone on from with --accept-restore: logged, what was missed is listed, above every generation seen', async () => {
    const { world } = await restoredWorld()
    world.acceptRestore = true
    expect(world.text('a')).toBe('first')
    world.warnings.length = 0
    await world.rotate('a', 'after')
    expect(world.warnings).toEqual([
      'since this copy was made: "b" created at 2026-11-22T12:00:00.000Z',
      'since this copy was made: "a" rotated at 2026-11-22T12:00:00.000Z',
    ])
    expect(world.history()).toEqual(['created a', 'rotated a', 'created b', 'restored -', 'rotated a'])
    expect(world.records()[3]).toMatchObject({ credential: null, seq: 4, reason: 'generation 2 goes on as 5' })
    world.acceptRestore = false
    expect(generation(world)).toBe(5)
    expect(world.text('a')).toBe('after')
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
    await world.put('c', 'x')
    expect(generation(world)).toBe(6)
  })

  it('writes the record of the restore even when the change changes nothing else', async () => {
    const { world } = await restoredWorld()
    world.acceptRestore = true
    await world.change(() => undefined)
    expect(world.history().at(-1)).toBe('restored -')
    world.acceptRestore = false
    expect(world.text('a')).toBe('first')
  })

  it('whose last record is far back in the log is not recorded twice', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const old = world.read()
    for (let round = 0; round < 8; round++) await world.rotate('a', `round ${round}`)
    world.write(old)
    world.acceptRestore = true
    await world.put('b', 'x')
    expect(world.history().filter((line) => line === 'created a')).toHaveLength(1)
    expect(world.report()).toMatchObject({ problems: [], anchored: true })
  })

  it('is noticed against the log alone, on a machine that has never seen the vault', async () => {
    const { world, old } = await restoredWorld()
    world.stateDirectory += '-of-another-machine'
    expect(world.text('a')).toBe('first')
    const failure = await expectCode('RESTORED', () => world.rotate('a', 'x'))
    expect(failure.message).toBe('the rotation log is ahead of this copy of the vault (record 3 after 1)')
    expect(world.read().equals(old)).toBe(true)
    world.acceptRestore = true
    await world.rotate('a', 'x')
    expect(world.history().slice(-2)).toEqual(['restored -', 'rotated a'])
  })
})

describe('two copies that went on apart', () => {
  it('are forks: of the same generation the one not seen here is refused', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const common = world.read()
    const elsewhere = copyTo(world, common)
    await elsewhere.put('b', 'elsewhere')
    await world.put('b', 'here')
    const here = world.read()
    world.write(elsewhere.read())
    for (const use of [() => world.open(), () => world.put('c', 'x')]) {
      const failure = await expectCode('RESTORED', use)
      expect(failure.message).toBe(
        'this copy of the vault and one that this machine has seen were both written as generation 3',
      )
    }
    world.write(here)
    expect(world.text('b')).toBe('here')
  })

  it('keep the other copy’s record when it is accepted, in a new place of the order', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const elsewhere = copyTo(world, world.read())
    await elsewhere.put('b', 'elsewhere')
    await world.put('c', 'here')
    await world.put('d', 'here')
    world.write(elsewhere.read())
    world.acceptRestore = true
    await world.put('e', 'x')
    expect(world.open().names()).toEqual(['a', 'b', 'e'])
    expect(world.history()).toEqual(['created a', 'created c', 'created d', 'created b', 'restored -', 'created e'])
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
  })
})

describe('a mark', () => {
  it('is made on first sight, by a reader as well, and only of what was verified', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    world.stateDirectory += '-new'
    world.open({ key: undefined })
    expect(marks(world)).toEqual([])
    await expectCode('WRONG_KEY', () => world.open({ key: rawKey() }))
    const whole = world.read()
    const flipped = Buffer.from(whole)
    flipped[whole.indexOf('"gen":2') + 6] = 0x39
    world.write(flipped)
    await expectCode('DAMAGED', () => world.open())
    expect(marks(world)).toEqual([])
    world.write(whole)
    world.open()
    const [place, ...others] = [...marks(world)].sort((name) => (name.startsWith('place-') ? -1 : 1))
    expect(place).toMatch(/^place-/)
    expect(others).toEqual([`${world.open().id}.json`])
  })

  it('of a place that is damaged is told of and keeps nobody from writing', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const place = marks(world).find((name) => name.startsWith('place-')) ?? ''
    writeFileSync(join(world.stateDirectory, place), '{"mark":{}}')
    await world.put('b', 'y')
    expect(world.text('b')).toBe('y')
    expect(world.warnings.join()).toMatch(/place-.*damaged: mcpvault doctor/)
    expect(readFileSync(join(world.stateDirectory, place), 'utf8')).toBe('{"mark":{}}')
  })

  it('that cannot be kept stops nobody', async () => {
    const world = await VaultWorld.create()
    writeFileSync(join(world.directory, 'file'), '')
    world.stateDirectory = join(world.directory, 'file', 'state')
    await world.put('a', 'x')
    await world.rotate('a', 'y')
    expect(world.text('a')).toBe('y')
    expect(world.report()).toMatchObject({ problems: [], anchored: true })
  })

  it('that is damaged is an error that names the file and the way out', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const path = join(world.stateDirectory, `${world.open().id}.json`)
    const mark = readFileSync(path)
    for (const use of [() => world.open(), () => world.put('b', 'x')]) {
      writeFileSync(path, mark.subarray(0, -5))
      const failure = await expectCode('DAMAGED', use)
      expect(failure.message).toContain(path)
      expect(failure.hints[0]).toContain(`rm -i ${path}`)
    }
    rmSync(path)
    await world.put('b', 'x')
    expect(readFileSync(path).length).toBeGreaterThan(0)
  })

  it('of another data key under the same id is refused: somebody may have made a vault of their own', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const id = world.open().id ?? ''
    const stranger = Buffer.alloc(32, 7).toString('base64url')
    rmSync(join(world.stateDirectory, `${id}.json`))
    world.store().marks.raise(id, () => ({ vault: { gen: 1, mac: stranger, commit: stranger } }))
    for (const use of [() => world.open(), () => world.put('b', 'x')]) {
      const failure = await expectCode('UNSAFE', use)
      expect(failure.message).toContain('another data key')
    }
    // Without a key nothing can be said for or against it, and nothing is verified anyway.
    expect(world.open({ key: undefined }).isVerified).toBe(false)
    expect(world.warnings[0]).toContain('without a key it cannot be said whether it follows it')
  })

  it('keeps what the token records have in the same file', async () => {
    const world = await VaultWorld.create()
    const id = world.open().id ?? ''
    const { marks: kept } = world.store()
    kept.raise(id, (stored) => ({ ...stored, tokens: { seq: 3, mac: 'x' } }))
    await world.put('a', 'x')
    expect(kept.read(id)).toMatchObject({ vault: { gen: 2 }, tokens: { seq: 3, mac: 'x' } })
  })

  it('raised by a writer between the two reads of a reader is no restore, nor a warning in a git work tree', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'old')
    const before = world.store().read('vault')
    await world.rotate('a', 'new')
    for (const isInGit of [false, true]) {
      world.isInGit = isInGit
      const real = world.store()
      // What a reader holds that was overtaken after its first read.
      const reads: (Snapshot | undefined)[] = [before]
      const store = {
        ...real,
        read: (...args: Parameters<typeof real.read>) => (reads.length > 0 ? reads.pop() : real.read(...args)),
      }
      const vault = openVault(world.access({ store }))
      expect(vault.load('a', { nowMs: world.nowMs }).revealText()).toBe('new')
      expect(world.warnings).toEqual([])
    }
    // The control: an old vault that does lie there is found at the second read as well.
    world.isInGit = false
    world.write(before?.bytes ?? Buffer.alloc(0))
    await expectCode('RESTORED', () => world.open())
  })
})

/** A vault of generation 4, with a copy of generation 2 put back in its place. */
async function restoredWorld(): Promise<{ readonly world: VaultWorld; readonly old: Buffer }> {
  const world = await VaultWorld.create()
  await world.put('a', 'first')
  const old = world.read()
  await world.rotate('a', 'second')
  await world.put('b', 'x')
  world.write(old)
  return { world, old }
}

/** The same vault on another machine, with the log as it stands. */
function copyTo(world: VaultWorld, bytes: Buffer): VaultWorld {
  const copy = new VaultWorld({ key: world.key })
  copy.write(bytes)
  writeFileSync(copy.path('log'), readFileSync(world.path('log')))
  return copy
}

function generation(world: VaultWorld): number {
  return readNativeVault(world.read(), { raw: (world.key as RawKey).bytes.reveal() }).gen
}

function marks(world: VaultWorld): readonly string[] {
  mkdirSync(world.stateDirectory, { recursive: true })
  return readdirSync(world.stateDirectory)
}
