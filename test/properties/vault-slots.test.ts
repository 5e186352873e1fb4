import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealAgeSlot } from '../../src/vault/age-key.js'
import { rawKeyId, type RawKey, type VaultKey } from '../../src/vault/key.js'
import { rawSlot } from '../../src/vault/key-slots.js'
import { addSlots, changeDataKey, planRekey } from '../../src/vault/rekey.js'
import { makePerson, type Person } from '../vault/age-support.js'
import { readNativeVault } from '../vault/independent-reader.js'
import { expectCode, rawKey, secret, VaultWorld } from '../vault/vault-support.js'

/** A member of the vault: somebody with an identity, or a raw key. */
interface Member {
  readonly kid: string
  readonly raw?: RawKey
  readonly person?: Person
}

/** What the vault is to hold after some steps. */
class Model {
  readonly members: Member[] = []
  readonly gone: Member[] = []
  readonly values = new Map<string, string[]>()
  dekNumber = 1
}

type Step = (world: VaultWorld, model: Model) => Promise<void>

const text = fc.string({ minLength: 1, maxLength: 8 })
const step: fc.Arbitrary<readonly [string, Step]> = fc.oneof(
  fc.constant(['add age', addAge] as const),
  fc.constant(['add raw', addRaw] as const),
  fc.constant(['rotate', (world: VaultWorld, model: Model) => rekey(world, model, [])] as const),
  fc.nat().map((pick) => [`remove ${pick}`, removeOne(pick)] as const),
  text.map((value) => [`put ${value}`, putValue(value)] as const),
)

describe('key slots, after any steps', () => {
  it('open the whole vault for every member and for nobody else, for a second reader too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 7 }), async (steps) => {
        const world = await VaultWorld.create()
        const model = new Model()
        for (const [, run] of steps) await run(world, model)
        await expectModel(world, model)
      }),
      { numRuns: 12 },
    )
  }, 60_000)
})

async function addAge(world: VaultWorld, model: Model): Promise<void> {
  const person = await makePerson()
  const [slot] = await addSlots(world.access(), [await sealAgeSlot(person.recipient, randomBytes)])
  model.members.push({ kid: slot?.kid ?? '', person })
}

async function addRaw(world: VaultWorld, model: Model): Promise<void> {
  const raw = rawKey()
  await addSlots(world.access(), [rawSlot(raw)])
  model.members.push({ kid: rawKeyId(raw.bytes.reveal()), raw })
}

function removeOne(pick: number): Step {
  return async (world, model) => {
    const [member] = model.members.splice(pick % Math.max(1, model.members.length), 1)
    if (member === undefined) return
    model.gone.push(member)
    await rekey(world, model, [member.kid])
  }
}

function putValue(value: string): Step {
  return async (world, model) => {
    const kept = model.values.get('a')
    if (kept === undefined) await world.put('a', value)
    else if (kept[0] !== value) await world.rotate('a', value)
    if (kept?.[0] !== value) model.values.set('a', [value, ...(kept ?? [])].slice(0, 2))
  }
}

async function rekey(world: VaultWorld, model: Model, drop: readonly string[]): Promise<void> {
  const keys = model.members.flatMap(({ raw }) => raw ?? [])
  const plan = await planRekey(world.access(), { drop: new Set(drop), keys, askPassphrase: async () => undefined })
  await changeDataKey(world.access(), plan, { action: 'key-rotated', isLeaked: false })
  model.dekNumber += 1
}

async function expectModel(world: VaultWorld, model: Model): Promise<void> {
  const keys: VaultKey[] = [world.key]
  for (const member of model.members) keys.push(await keyOf(member, world))
  for (const key of keys) {
    const vault = world.open({ key })
    const versions = vault.describe('a')?.versions ?? []
    const opened = versions.map(({ version }) => vault.load('a', { version, nowMs: world.nowMs }).revealText())
    expect(opened).toEqual(model.values.get('a') ?? [])
  }
  for (const member of model.gone)
    await expectCode('WRONG_KEY', async () => world.open({ key: await keyOf(member, world) }))
  const read = readNativeVault(world.read(), { raw: (world.key as RawKey).bytes.reveal() })
  expect(read.past).toHaveLength(model.dekNumber - 1)
  expect(read.entries.get('a')?.versions.map(({ value }) => value.toString()) ?? []).toEqual(
    model.values.get('a') ?? [],
  )
  expect(world.report()).toMatchObject({ problems: [], anchored: true })
  expect(world.warnings).toEqual([])
  await world.change((draft) => draft.store('more', secret('x'), {}))
}

async function keyOf({ raw, person }: Member, world: VaultWorld): Promise<VaultKey> {
  return raw ?? (await (person as Person).keyFor(world))
}
