import { describe, expect, it } from 'vitest'
import { readFileSync, writeFileSync } from 'node:fs'
import { changeVault } from '../../src/vault/change.js'
import { createVault } from '../../src/vault/create.js'
import { requireTrust } from '../../src/vault/trust.js'
import type { Draft } from '../../src/vault/vault.js'
import { makePerson, type Person } from './age-support.js'
import { expectCode, secret, VaultWorld } from './vault-support.js'

describe('a vault that anybody could have made for an age recipient', () => {
  it('is refused where the real one was seen: of the same id, and of another', async () => {
    const person = await makePerson()
    const world = await team(person)
    const forged = await VaultWorld.create({ key: await person.keyFor() })
    await forged.put('a', 'of the attacker')
    const id = world.open().id ?? ''
    const sameId = await forgeWithId(person, id)
    expect(sameId.toString()).toContain(`"vault_id":"${id}"`)
    for (const bytes of [forged.read(), sameId]) {
      world.write(bytes)
      const key = await person.keyFor(world)
      for (const use of [() => world.open({ key }), () => changeVault(world.access({ key }), 'store', putSecret)]) {
        const failure = await expectCode('UNSAFE', use)
        expect(failure.hints.join()).toContain('--trust-new-key')
      }
      expect(world.read().equals(bytes)).toBe(true)
    }
  })

  it('is taken with the word of the user, which is kept', async () => {
    const person = await makePerson()
    const world = await team(person)
    const forged = await VaultWorld.create({ key: await person.keyFor() })
    const victim = onceMore(world)
    victim.write(forged.read())
    const key = await person.keyFor(victim)
    expect(victim.open({ key, trustNewKey: true }).isTrusted).toBe(true)
    expect(victim.open({ key }).isTrusted).toBe(true)
  })

  it('runs no programs on first sight, until the user has confirmed it once', async () => {
    const person = await makePerson()
    const world = await team(person)
    const fresh = new VaultWorld({ key: await person.keyFor(world) })
    fresh.write(world.read())
    writeFileSync(fresh.path('log'), readFileSync(world.path('log')))
    const vault = fresh.open()
    expect(vault.isTrusted).toBe(false)
    expect(fresh.warnings).toEqual([expect.stringContaining('for the first time')])
    const failure = await expectCode('UNSAFE', () => requireTrust(vault, 'run the probe of "a"'))
    expect(failure.message).toContain('cannot run the probe of "a"')
    expect(fresh.open().isTrusted).toBe(false)
    await fresh.put('b', 'x')
    expect(fresh.open().isTrusted).toBe(false)
    expect(fresh.warnings).toHaveLength(1)
    expect(fresh.open({ trustNewKey: true }).isTrusted).toBe(true)
    expect(fresh.open().isTrusted).toBe(true)
    await fresh.put('c', 'x')
    expect(fresh.open().isTrusted).toBe(true)
  })

  it('is trusted where it was made, and where a secret key opens it', async () => {
    const person = await makePerson()
    const made = await VaultWorld.create({ key: await person.keyFor() })
    expect(made.open().isTrusted).toBe(true)
    const world = await VaultWorld.create()
    world.stateDirectory += '-of-another-machine'
    expect(world.open().isTrusted).toBe(true)
    expect(world.open({ key: undefined }).isTrusted).toBe(false)
  })
})

describe('a place', () => {
  it('can be given to another vault that is made in it', async () => {
    const person = await makePerson()
    const world = await team(person)
    const key = await person.keyFor(world)
    world.open({ key })
    const again = new VaultWorld({ key: await person.keyFor() })
    again.stateDirectory = world.stateDirectory
    await createVault(again.access(), 'native')
    expect(again.open().isTrusted).toBe(true)
  })
})

/** A vault that a person has opened on this machine. */
async function team(person: Person): Promise<VaultWorld> {
  const world = await VaultWorld.create({ key: await person.keyFor() })
  await world.put('a', 'value')
  return world
}

function onceMore(world: VaultWorld): VaultWorld {
  const copy = new VaultWorld({ key: world.key, directory: world.directory })
  copy.stateDirectory = world.stateDirectory
  return copy
}

function putSecret(draft: Draft): void {
  draft.store('new', secret('of the victim'), {})
}

/** A vault of the attacker's own under the id of the real one, sealed for the person. */
async function forgeWithId(person: Person, id: string): Promise<Buffer> {
  const attacker = new VaultWorld({ key: await person.keyFor() })
  const vaultId = Buffer.from(id, 'base64url')
  let draws = 0
  // The first bytes that are drawn for a vault itself are its id, after the slot's key and id.
  const randomBytes = (length: number): Buffer => {
    draws += 1
    const { randomBytes: real } = attacker.access()
    return length === 16 && draws <= 8 ? Buffer.from(vaultId) : real(length)
  }
  await createVault(attacker.access({ randomBytes }), 'native')
  return attacker.read()
}
