import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { sealAgeSlot } from '../../src/vault/age-key.js'
import { changeVault } from '../../src/vault/change.js'
import type { RawKey, VaultKey } from '../../src/vault/key.js'
import { passphraseSlot, rawSlot } from '../../src/vault/key-slots.js'
import { addSlots, changeDataKey, type PlanOptions, planRekey, readHeader } from '../../src/vault/rekey.js'
import { announceMissing } from '../storage/storage-support.js'
import { joinNative } from '../../src/vault/native-format.js'
import { deriveDataKeys, macOf, sealPast } from '../../src/vault/native-keys.js'
import { makePerson, type Person } from './age-support.js'
import { openDataKey, readNativeVault } from './independent-reader.js'
import { expectCode, passphraseKey, rawKey, secret, VaultWorld } from './vault-support.js'

describe('a key that is added', () => {
  it('opens the vault beside the first: an age identity, another raw key', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'value')
    const person = await makePerson()
    const other = rawKey()
    const dek = openDataKey(world.read(), rawBytes(world.key)).dek
    await addAge(world, person)
    await addSlots(world.access(), [rawSlot(other, { label: 'safe' })])
    const identity = await person.keyFor(world)
    for (const key of [world.key, identity, other]) {
      expect(world.open({ key }).load('a', { nowMs: world.nowMs }).revealText()).toBe('value')
    }
    expect(openDataKey(world.read(), rawBytes(other)).dek.equals(dek)).toBe(true)
    expect(world.history().slice(1)).toEqual(['key-added -', 'key-added -'])
    expect(world.report()).toMatchObject({ problems: [], anchored: true })
  })

  it('is refused when it opens the vault already, or its label is taken', async () => {
    const world = await VaultWorld.create()
    const person = await makePerson()
    await addAge(world, person, 'alice')
    const before = world.read()
    await expectCode('EXISTS', () => addAge(world, person))
    await expectCode('EXISTS', () => addSlots(world.access(), [rawSlot(world.key as RawKey)]))
    const label = await expectCode('EXISTS', () => addSlots(world.access(), [rawSlot(rawKey(), { label: 'alice' })]))
    expect(label.message).toContain('"alice"')
    expect(world.read().equals(before)).toBe(true)
  })

  it('is refused for a recipient with a typing error', async () => {
    const { recipient } = await makePerson()
    const typo = `${recipient.slice(0, -1)}${recipient.endsWith('q') ? 'p' : 'q'}`
    await expectCode('INPUT', () => sealAgeSlot(typo, randomBytes))
  })
})

describe('an age slot', () => {
  it('is read by a second reader, with the program age', async (context) => {
    needAge(context)
    const person = await makePerson()
    const world = await VaultWorld.create({ key: await person.keyFor() })
    await world.put('a', 'value')
    await rekey(world)
    const identity = join(world.directory, 'identity')
    writeFileSync(identity, person.identity, { mode: 0o600 })
    const age = (file: Buffer): Buffer => execFileSync('age', ['-d', '-i', identity], { input: file })
    const read = readNativeVault(world.read(), { recipient: person.recipient, age })
    expect(read.entries.get('a')?.versions[0]?.value.toString()).toBe('value')
    expect(read.past).toHaveLength(1)
  })
})

describe('an age identity that is not a recipient', () => {
  it('is the wrong key, and the message names both', async () => {
    const [alice, bob] = [await makePerson(), await makePerson()]
    const world = await VaultWorld.create({ key: await alice.keyFor() })
    const failure = await expectCode('WRONG_KEY', async () => world.open({ key: await bob.keyFor(world) }))
    expect(failure.hints[0]).toContain(alice.recipient)
    expect(failure.hints[0]).toContain(bob.recipient)
  })

  it('finds damage, not a wrong key, where the slot of its recipient does not open', async () => {
    const [alice, bob] = [await makePerson(), await makePerson()]
    const world = await VaultWorld.create({ key: await alice.keyFor() })
    world.write(world.read().toString().replace(alice.recipient, bob.recipient))
    await expectCode('DAMAGED', async () => world.open({ key: await bob.keyFor(world) }))
  })
})

describe('a new data key', () => {
  it('seals every version under it in one commit; tokens key, dates and names stay, the generation before goes', async () => {
    const world = await usedWorld()
    const before = readNativeVault(world.read(), { raw: rawBytes(world.key) })
    expect(world.has('.bak')).toBe(true)
    const done = await rekey(world)
    expect(done).toMatchObject({ dekId: 'd2', values: 4, credentials: 3 })
    const after = readNativeVault(world.read(), { raw: rawBytes(world.key) })
    expect({ ...after, gen: 0, count: 0, log: 0, past: 0 }).toEqual({ ...before, gen: 0, count: 0, log: 0, past: 0 })
    expect(after.gen).toBe(before.gen + 1)
    expect(after.count).toBe(4)
    expect(world.has('.bak')).toBe(false)
    expect(world.history().at(-1)).toBe('key-rotated -')
    expect(world.report()).toMatchObject({ problems: [], anchored: true })
    await world.rotate('a', 'third')
    expect(world.text('a')).toBe('third')
  })

  it('carries the data keys before it, so that a machine that has seen an earlier one takes it', async () => {
    const world = await usedWorld()
    const elsewhere = copyOf(world)
    elsewhere.open()
    const first = openDataKey(world.read(), rawBytes(world.key)).dek
    await rekey(world)
    const second = openDataKey(world.read(), rawBytes(world.key)).dek
    await rekey(world)
    const { past } = readNativeVault(world.read(), { raw: rawBytes(world.key) })
    expect(past.map((key) => key.toString('hex'))).toEqual([first, second].map((key) => key.toString('hex')))
    elsewhere.write(world.read())
    expect(elsewhere.text('a')).toBe('second')
    // The copy before is an old one there from now on, whatever its generation says.
    await rekey(world)
    elsewhere.write(world.read())
    elsewhere.open()
    expect(elsewhere.warnings).toEqual([])
  })

  it('makes a copy under the key before an old copy', async () => {
    const world = await usedWorld()
    const old = world.read()
    await rekey(world)
    world.write(old)
    const failure = await expectCode('RESTORED', () => world.open())
    expect(failure.message).toContain('is sealed under an earlier data key (d1)')
    world.isInGit = true
    expect(world.text('a')).toBe('second')
    await expectCode('RESTORED', () => world.put('x', 'y'))
  })

  it('makes a copy under the key before a forged one when it claims to be newer, even in a git work tree', async () => {
    const world = await usedWorld()
    const removed = copyOf(world)
    removed.open()
    await rekey(world)
    world.isInGit = true
    for (let round = 0; round < 3; round++) await removed.rotate('a', `of the one who was removed ${round}`)
    world.write(removed.read())
    await expectCode('RESTORED', () => world.open())
    world.acceptRestore = true
    expect(world.open().isTrusted).toBe(false)
    await world.put('x', 'y')
    expect(world.warnings.join()).toContain('those that were removed since included')
  })

  it('may have no more predecessors than are kept: a mark of them would grow without bounds', async () => {
    const world = await usedWorld()
    for (let round = 0; round < 34; round++) await rekey(world)
    const read = readNativeVault(world.read(), { raw: rawBytes(world.key) })
    expect(read.past).toHaveLength(32)
    const { dek, id } = openDataKey(world.read(), rawBytes(world.key))
    const { header, keys } = { header: await readHeader(world.access()), keys: deriveDataKeys(dek, id) }
    const context = { vaultId: id, dekId: header.dek.id, randomBytes }
    const past = sealPast(
      keys,
      Array.from({ length: 33 }, () => dek),
      context,
    )
    const forged = joinNative({ ...header, dek: { ...header.dek, past } }, [], (input) => macOf(keys, input))
    const fresh = new VaultWorld({ key: world.key })
    fresh.write(forged)
    await expectCode('DAMAGED', () => fresh.open())
  })

  it('keeps out whoever is dropped, and needs no key of age recipients', async () => {
    const world = await usedWorld()
    const [alice, bob] = [await makePerson(), await makePerson()]
    await addAge(world, alice, 'alice')
    await addAge(world, bob, 'bob')
    const { keys } = await readHeader(world.access())
    const kid = keys.find(({ label }) => label === 'alice')?.kid ?? ''
    await rekey(world, { drop: new Set([kid]) })
    expect(world.open({ key: await bob.keyFor(world) }).names()).toEqual(['a', 'b', 'c'])
    await expectCode('WRONG_KEY', async () => world.open({ key: await alice.keyFor(world) }))
    expect(world.history().slice(-2)).toEqual(['key-removed -', 'key-rotated -'])
    const kept = (await readHeader(world.access())).keys.map((slot) => slot.label)
    expect(kept).toEqual([undefined, 'bob'])
  })

  it('needs the key of every raw slot and every passphrase that stay, and names those that are missing', async () => {
    const world = await usedWorld()
    const other = rawKey()
    await addSlots(world.access(), [rawSlot(other, { label: 'safe' })])
    await addSlots(world.access(), [passphraseSlot(secret('battery'), randomBytes, { label: 'head' })])
    const before = world.read()
    const failure = await expectCode('NO_KEY', () => rekey(world))
    expect(failure.message).toContain('(raw, safe)')
    expect(failure.message).toContain('(passphrase, head)')
    await expectCode('WRONG_KEY', () =>
      rekey(world, { keys: [other], askPassphrase: async () => passphraseKey('staple') }),
    )
    expect(world.read().equals(before)).toBe(true)
    await rekey(world, { keys: [other], askPassphrase: async () => passphraseKey('battery') })
    for (const key of [other, passphraseKey('battery')]) expect(world.open({ key }).names()).toHaveLength(3)
  })

  it('never drops the last slot, nor the one that opens the vault here', async () => {
    const world = await usedWorld()
    const [own] = (await readHeader(world.access())).keys
    await expectCode('INPUT', () => rekey(world, { drop: new Set([own?.kid ?? '']) }))
    await addAge(world, await makePerson())
    await expectCode('INPUT', () => rekey(world, { drop: new Set([own?.kid ?? '']) }))
    const passphrase = await VaultWorld.create({ key: passphraseKey('battery') })
    await addAge(passphrase, await makePerson())
    const kid = (await readHeader(passphrase.access())).keys[0]?.kid ?? ''
    await expectCode('INPUT', () => rekey(passphrase, { drop: new Set([kid]) }))
  })

  it('is not drawn for slots that somebody has changed since they were looked at', async () => {
    const world = await usedWorld()
    const access = world.access()
    const plan = await planRekey(access, options())
    await addAge(world, await makePerson())
    await expectCode('LOCKED', () => changeDataKey(access, plan, { action: 'key-rotated', isLeaked: false }))
    const late = await planRekey(access, options())
    await rekey(world)
    await expectCode('LOCKED', () => changeDataKey(access, late, { action: 'key-rotated', isLeaked: false }))
    expect(world.text('a')).toBe('second')
  })

  it('seals what was written between its preparation and its commit as well', async () => {
    const world = await usedWorld()
    const access = world.access()
    const plan = await planRekey(access, options())
    const real = access.store
    const store = {
      ...real,
      // Everything is prepared when the lock is asked for.
      transaction: async (...args: Parameters<typeof real.transaction>) => {
        await world.rotate('c', 'in between')
        await world.put('d', 'in between')
        return real.transaction(...args)
      },
    } as typeof real
    await changeDataKey({ ...access, store }, plan, { action: 'key-rotated', isLeaked: false })
    const read = readNativeVault(world.read(), { raw: rawBytes(world.key) })
    const values = ['c', 'd'].map((name) => read.entries.get(name)?.versions.map(({ value }) => value.toString()))
    expect(values).toEqual([['in between', 'x'], ['in between']])
    expect(read.count).toBe(6)
  })

  it('marks every credential as leaked in the same commit, under one record', async () => {
    const world = await usedWorld()
    const plan = await planRekey(world.access(), options())
    await changeDataKey(world.access(), plan, { action: 'key-rotated', isLeaked: true, reason: 'alice left' })
    const leaked = world
      .open()
      .names()
      .map((name) => world.open().describe(name)?.versions[0]?.leakedMs)
    expect(leaked).toEqual([world.nowMs, world.nowMs, world.nowMs])
    expect(world.records().at(-2)).toMatchObject({ action: 'leaked', count: 3, reason: 'alice left' })
  })

  it('is read anew by whoever holds an identity when somebody else draws it meanwhile', async () => {
    const person = await makePerson()
    const key = await person.keyFor()
    const world = await VaultWorld.create({ key })
    await world.put('a', 'value')
    const stale = await person.keyFor(world)
    await rekey(world)
    await expectCode('WRONG_KEY', () => world.open({ key: stale }))
    // A process that goes on, such as the gateway, finds the slots read at its next look.
    await vi.waitFor(() => expect(world.open({ key: stale }).names()).toEqual(['a']))
    await rekey(world)
    await changeVault(world.access({ key: stale }), 'store', (draft) => draft.store('b', secret('more'), {}))
    expect(world.open({ key: stale }).names()).toEqual(['a', 'b'])
  })
})

describe('slots that ask for too much', () => {
  it('are refused: more passphrases than anybody has, each of which would have to be tried', async () => {
    const world = await VaultWorld.create()
    const line = world.lines()[1] ?? ''
    const header = JSON.parse(line.slice(0, -1)) as { keys: { wrap: string }[] }
    const kdf = { name: 'scrypt', n: 2 ** 20, r: 8, p: 4, salt: Buffer.alloc(16).toString('base64url') }
    const { wrap = '' } = header.keys[0] ?? {}
    header.keys = Array.from({ length: 9 }, () => ({ kid: '0'.repeat(16), type: 'passphrase', kdf, wrap }))
    world.write(world.read().toString().replace(line.slice(0, -1), JSON.stringify(header)))
    const failure = await expectCode('DAMAGED', () => world.open({ key: passphraseKey('x') }))
    expect(failure.message).toContain('more passphrase slots than are accepted')
  })
})

function needAge(context: TestContext): void {
  if (spawnSync('age', ['--version']).status === 0) return
  process.stderr.write(`\nSKIPPED: ${context.task.name} needs age\n`)
  announceMissing('no second implementation of age files (Debian: apt-get install age)')
  context.skip()
}

/** Three credentials, of one the version before is kept. */
async function usedWorld(): Promise<VaultWorld> {
  const world = await VaultWorld.create()
  await world.put('a', 'first', 'a note')
  await world.put('b', Buffer.from([0xff, 0, 1]))
  await world.put('c', 'x')
  await world.rotate('a', 'second')
  return world
}

function options(changes: Partial<PlanOptions> = {}): PlanOptions {
  return { drop: new Set(), keys: [], askPassphrase: async () => undefined, ...changes }
}

async function rekey(world: VaultWorld, changes: Partial<PlanOptions> = {}) {
  const plan = await planRekey(world.access(), options(changes))
  return changeDataKey(world.access(), plan, { action: 'key-rotated', isLeaked: false })
}

async function addAge(world: VaultWorld, { recipient }: Person, label?: string): Promise<void> {
  await addSlots(world.access(), [await sealAgeSlot(recipient, randomBytes, label === undefined ? {} : { label })])
}

/** The same files on another machine. */
function copyOf(world: VaultWorld): VaultWorld {
  const copy = new VaultWorld({ key: world.key })
  copy.write(world.read())
  writeFileSync(copy.path('log'), readFileSync(world.path('log')))
  return copy
}

function rawBytes(key: VaultKey): Buffer {
  return (key as RawKey).bytes.reveal()
}
