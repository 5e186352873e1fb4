import { describe, expect, it } from 'vitest'
import type { RawKey } from '../../src/vault/key.js'
import type { BeginOptions, ProcessOwner, RotationPlan, RotationTicket } from '../../src/vault/vault.js'
import { readNativeVault } from './independent-reader.js'
import { DAY_MS, expectCode, secret, START_MS, VaultWorld } from './vault-support.js'

const OWNER: ProcessOwner = { pid: 7, start: '11', boot: 'b', machine: 'm', namespace: 'n' }
const PLAN: RotationPlan = {
  provider: 'command:/bin/new-key',
  verify: 'scavio',
  targets: ['file:key'],
  onRotate: '/bin/reload',
  graceSeconds: 3600,
  reason: 'why',
}
const BEGIN: BeginOptions = { name: 'a', id: '0'.repeat(32), owner: OWNER, isCreateUnknown: true, plan: PLAN }
const TICKET: RotationTicket = BEGIN

async function worldWith(...names: readonly string[]): Promise<VaultWorld> {
  const world = await VaultWorld.create()
  for (const name of names) await world.put(name, `${name} one`)
  return world
}

function readAgain(world: VaultWorld) {
  return readNativeVault(world.read(), { raw: (world.key as RawKey).bytes.reveal() })
}

describe('a staged rotation', () => {
  it('stands in the journal under the MAC from the intent on, and the independent reader sees the same', async () => {
    const world = await worldWith('b', 'a')
    const begun = await world.change((draft) => draft.staged.begin(BEGIN))
    expect(begun).toEqual({ ...BEGIN, version: 2, stage: 'obtain', startedMs: START_MS })
    await world.change((draft) => draft.staged.begin({ ...BEGIN, name: 'b', owner: undefined }))
    expect(world.open().rotations).toMatchObject([begun, { name: 'b', owner: undefined }])
    const { journal } = readAgain(world)
    expect(journal).toMatchObject([
      { name: 'a', ver: 2, stage: 'obtain', unknown: true, owner: OWNER },
      { name: 'b', ver: 2 },
    ])
    const forged = world.read().toString().replace('"stage":"obtain"', '"stage":"verify"')
    world.write(forged)
    await expectCode('DAMAGED', () => world.open())
  })

  it('keeps the new value pending, which nobody loads, until it is promoted in one commit with its record', async () => {
    const world = await worldWith('a')
    await world.change((draft) => draft.staged.begin(BEGIN))
    const made = { value: secret('a two'), handle: 'key-2', isIdempotent: true }
    await world.change((draft) => draft.staged.hold(TICKET, made))
    expect(world.open().rotations).toMatchObject([{ stage: 'verify', isCreateUnknown: false }])
    expect(world.text('a')).toBe('a one')
    expect((await expectCode('NOT_FOUND', () => world.bytes('a', 2))).message).toContain('pending')
    expect(readAgain(world).entries.get('a')?.versions).toMatchObject([
      { ver: 1, stage: 'current' },
      { ver: 2, stage: 'pending', handle: 'key-2' },
    ])
    world.nowMs += DAY_MS
    const result = await world.change((draft) => draft.staged.promote(TICKET, { revoker: 'person' }))
    expect(result).toEqual({
      version: 2,
      previous: 1,
      previousUntilMs: START_MS + DAY_MS + 3_600_000,
      retired: undefined,
    })
    expect(world.text('a')).toBe('a two')
    expect(world.text('a', 'previous')).toBe('a one')
    expect(world.open().describe('a')?.versions).toMatchObject([
      { version: 2, stage: 'current', createdMs: START_MS, sinceMs: START_MS + DAY_MS, handle: 'key-2' },
      { version: 1, stage: 'previous', revoker: 'person' },
    ])
    expect(world.open().rotations).toMatchObject([{ stage: 'targets' }])
    expect(world.records().at(-1)).toMatchObject({ action: 'rotated', version: 2, reason: 'why' })
    await world.change((draft) => draft.staged.end(TICKET))
    expect(world.open().rotations).toEqual([])
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
  })

  it('is through with the promotion where nothing has to follow, and needs no pending version', async () => {
    const world = await worldWith('a')
    const plan = { ...PLAN, targets: [], onRotate: undefined }
    await world.change((draft) => draft.staged.begin({ ...BEGIN, plan }))
    const value = secret('a two')
    await world.change((draft) => draft.staged.promote(TICKET, { value, revoker: 'none' }))
    expect(world.open().rotations).toEqual([])
    expect(world.text('a')).toBe('a two')
  })

  it('that is given up leaves the old value current, and the new one in no file', async () => {
    const world = await worldWith('a')
    await world.change((draft) => draft.staged.begin(BEGIN))
    await world.change((draft) => draft.staged.hold(TICKET, { value: secret('a two') }))
    const pending = /"pending","n":"([^"]+)"/.exec(world.read().toString())?.[1] ?? 'none'
    await world.put('c', 'so that .bak holds the pending version')
    expect(world.read('.bak').toString()).toContain(pending)
    await world.change((draft) => draft.staged.abort(TICKET, { reason: 'probe said no' }))
    expect(world.has('.bak')).toBe(false)
    expect(world.read().toString()).not.toContain(pending)
    expect(world.open().rotations).toEqual([])
    expect(world.records().at(-1)).toMatchObject({ action: 'aborted', version: 2, reason: 'probe said no' })
    expect(world.text('a')).toBe('a one')
  })

  it('belongs to whoever holds its ticket: a second one, and a former owner, are refused', async () => {
    const world = await worldWith('a')
    await world.change((draft) => draft.staged.begin(BEGIN))
    await expectCode('LOCKED', () => world.change((draft) => draft.staged.begin({ ...BEGIN, id: '1'.repeat(32) })))
    const other = { ...OWNER, pid: 8 }
    await world.change((draft) => draft.staged.assign(TICKET, { owner: other }))
    for (const step of ['end', 'abort'] as const) {
      await expectCode('LOCKED', () => world.change((draft) => draft.staged[step](TICKET, {})))
    }
    await expectCode('LOCKED', () => world.change((draft) => draft.staged.hold(TICKET, { value: secret('x') })))
    await expectCode('LOCKED', () =>
      world.change((draft) => draft.staged.promote(TICKET, { value: secret('x'), revoker: 'none' })),
    )
    await world.change((draft) => draft.staged.abort({ ...TICKET, owner: other }, {}))
    expect(world.open().rotations).toEqual([])
  })

  it('keeps its credential from being changed otherwise, and all others free', async () => {
    const world = await worldWith('a', 'b')
    await world.change((draft) => draft.staged.begin(BEGIN))
    for (const change of [
      () => world.rotate('a', 'x'),
      () => world.rollback('a'),
      () => world.remove('a'),
      () => world.change((draft) => draft.rename('a', { to: 'z' })),
    ]) {
      expect((await expectCode('LOCKED', change)).hints.join()).toContain('mcpvault rotate a --abort')
    }
    await world.rotate('b', 'b two')
    await world.change((draft) => draft.setPolicy('a', { maxAgeSeconds: 5 }))
    expect(world.text('a')).toBe('a one')
  })

  it('takes no value that is kept already: a provider that answers with an old key would have it revoked', async () => {
    const world = await worldWith('a')
    await world.rotate('a', 'a two')
    await world.change((draft) => draft.staged.begin(BEGIN))
    for (const value of ['a one', 'a two']) {
      await expectCode('INPUT', () => world.change((draft) => draft.staged.hold(TICKET, { value: secret(value) })))
    }
    await world.change((draft) => draft.staged.hold(TICKET, { value: secret('a three') }))
  })

  it('forgets what the provider said of itself when the policy names another one', async () => {
    const world = await worldWith('a')
    await world.change((draft) => draft.setPolicy('a', { provider: PLAN.provider }))
    await world.change((draft) => draft.staged.begin(BEGIN))
    await world.change((draft) => draft.staged.hold(TICKET, { value: secret('x'), isIdempotent: true }))
    expect(world.open().describe('a')?.policy?.isIdempotent).toBe(true)
    await world.change((draft) => draft.setPolicy('a', { provider: PLAN.provider, verify: 'scavio' }))
    expect(world.open().describe('a')?.policy).toMatchObject({ isIdempotent: true, verify: 'scavio' })
    await world.change((draft) => draft.setPolicy('a', { provider: 'generate:48' }))
    expect(world.open().describe('a')?.policy).toMatchObject({ isIdempotent: false, provider: 'generate:48' })
  })
})

describe('a previous version', () => {
  it('that nobody needs to revoke goes with the first write after its grace, .bak included; others stay', async () => {
    const world = await worldWith('a', 'b')
    await world.change((draft) => draft.rotate('a', secret('a two'), { revoker: 'none' }))
    await world.change((draft) => draft.rotate('b', secret('b two'), { revoker: 'person' }))
    world.nowMs += 7 * DAY_MS - 1
    await world.change((draft) => draft.setPolicy('b', { maxAgeSeconds: 1 }))
    expect(world.open().describe('a')?.versions).toHaveLength(2)
    world.nowMs += 1
    // What changes nothing writes nothing.
    await world.change((draft) => draft.has('a'))
    expect(world.open().describe('a')?.versions).toHaveLength(2)
    await world.change((draft) => draft.setPolicy('b', { maxAgeSeconds: 2 }))
    expect(world.open().describe('a')?.versions).toHaveLength(1)
    expect(world.open().describe('b')?.versions).toHaveLength(2)
    expect(world.has('.bak')).toBe(false)
    expect(world.records().at(-1)).toMatchObject({ action: 'retired', credential: 'a', version: 1 })
  })

  it('that the provider must revoke outlives further rotations, since nobody else knows its handle', async () => {
    const world = await worldWith('a')
    await world.change((draft) => draft.rotate('a', secret('a two'), { revoker: 'provider' }))
    expect(await world.change((draft) => draft.rotate('a', secret('a three'), {}))).toMatchObject({
      retired: undefined,
    })
    expect(
      world
        .open()
        .describe('a')
        ?.versions.map(({ version, stage }) => [version, stage]),
    ).toEqual([
      [3, 'current'],
      [2, 'previous'],
      [1, 'previous'],
    ])
    expect(world.text('a', 'previous')).toBe('a two')
    await world.change((draft) => draft.staged.markRevokeFailed('a', 1))
    expect(world.open().describe('a')?.versions[2]).toMatchObject({ revokeFailedMs: START_MS, revoker: 'provider' })
    await world.change((draft) => draft.staged.retire('a', 1, { reason: 'revoked' }))
    await expectCode('NOT_FOUND', () => world.change((draft) => draft.staged.retire('a', 3, {})))
    expect(world.open().describe('a')?.versions).toHaveLength(2)
  })

  it('brings its handle along when it is rolled back to', async () => {
    const world = await worldWith('a')
    for (const version of [2, 3]) {
      await world.change((draft) =>
        draft.staged.begin({ ...BEGIN, plan: { ...PLAN, targets: [], onRotate: undefined } }),
      )
      await world.change((draft) =>
        draft.staged.hold(TICKET, { value: secret(`a ${version}`), handle: `key-${version}` }),
      )
      await world.change((draft) => draft.staged.promote(TICKET, { revoker: 'provider' }))
    }
    await world.rollback('a', 2)
    expect(world.text('a')).toBe('a 2')
    expect(world.open().describe('a')?.versions).toMatchObject([
      { version: 4, stage: 'current', handle: 'key-2' },
      { version: 3, stage: 'previous', handle: 'key-3', revoker: 'provider' },
      { version: 1, stage: 'previous', revoker: 'provider' },
    ])
  })
})

describe('the tutorial format', () => {
  it('has no stages', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'one')
    await expectCode('INPUT', () => world.change((draft) => draft.staged.begin(BEGIN)))
    await world.change((draft) => draft.logAborted('a', { reason: 'probe said no' }))
    expect(world.records().at(-1)).toMatchObject({ credential: null, subject: 'a', action: 'aborted' })
  })
})
