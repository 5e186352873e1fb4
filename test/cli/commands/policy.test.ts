import { describe, expect, it } from 'vitest'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  nativeWorld,
  read,
  rotate,
  store,
  succeed,
  VAULT,
  write,
} from './support.js'

const NO_SPECS = { provider: null, verify: null, targets: [], on_rotate: null, idempotent: false }
const NO_SPECS_SHOWN = 'provider\tmanual\tdefault\nverify\t-\tdefault\ntarget\t-\tdefault\non-rotate\t-\tdefault\n'

describe('policy', () => {
  it('gives a credential its own age, which goes before one that is given for all', async () => {
    const world = await nativeWorld()
    await store(world, 'often', 'x')
    await store(world, 'seldom', 'x')
    await succeed(world, 'policy', 'set', 'often', '--max-age', '7')
    expect(world.stderr).toBe('set the policy of "often": max-age 7d\n')
    world.nowMs += 7 * DAY_MS
    expect(await world.run('rotation-due')).toBe(0)
    expect(world.stdout).toBe('often\t7d\t7d\tage\n')
    expect(await world.run('rotation-due', '--max-age', '90')).toBe(0)
    expect(world.stdout).toBe('often\t7d\t7d\tage\n')
    expect(await json(world, 'rotation-due', '--max-age', '5')).toMatchObject([
      { name: 'often', max_age_seconds: 7 * 86_400 },
      { name: 'seldom', max_age_seconds: 5 * 86_400 },
    ])
    expect(await json(world, 'status')).toMatchObject({ credentials: [{ name: 'often', due: true }, { due: false }] })
    expect(await succeed(world, 'rotation-due', '--format', 'prometheus')).toContain(
      'mcpvault_credential_max_age_seconds{credential="often"} 604800\nmcpvault_credential_max_age_seconds{credential="seldom"} 2592000\n',
    )
  })

  it('lets go of single settings, and keeps the rest', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const flags = ['--provider', 'generate', '--verify', 'command:/bin/true', '--on-rotate', '/bin/true']
    await succeed(world, 'policy', 'set', 'a', '--max-age', '9d', '--grace', '1d', '--target', 'file:key', ...flags)
    await succeed(world, 'policy', 'clear', 'a', '--verify', '--target')
    expect(world.stderr).toBe('cleared verify, target in the policy of "a"\n')
    const kept = { max_age_seconds: 9 * 86_400, grace_seconds: 86_400, provider: 'generate:48', on_rotate: '/bin/true' }
    expect(await json(world, 'policy', 'show', 'a')).toMatchObject({ ...kept, verify: null, targets: [] })
    const rest = ['--max-age', '--grace', '--provider', '--on-rotate']
    expect(await json(world, 'policy', 'clear', 'a', ...rest)).toMatchObject({ max_age_seconds: null, ...NO_SPECS })
    expect(await succeed(world, 'list')).not.toContain('max-age')
  })

  it('keeps what is not given, and clears all at once', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    await succeed(world, 'policy', 'set', 'a', '--max-age', '90d')
    expect(await json(world, 'policy', 'set', 'a', '--grace', '1d')).toEqual({
      name: 'a',
      max_age_seconds: 90 * 86_400,
      grace_seconds: 86_400,
      ...NO_SPECS,
    })
    expect(await succeed(world, 'policy', 'show', 'a')).toBe(`max-age\t90d\town\ngrace\t1d\town\n${NO_SPECS_SHOWN}`)
    expect(await succeed(world, 'list')).toContain('\tmax-age 90d, grace 1d\t\n')
    await succeed(world, 'policy', 'clear', 'a')
    expect(await succeed(world, 'policy', 'show', 'a')).toBe(
      `max-age\t30d\tdefault\ngrace\t7d\tdefault\n${NO_SPECS_SHOWN}`,
    )
    expect(await json(world, 'policy', 'show', 'a')).toEqual({
      name: 'a',
      max_age_seconds: null,
      grace_seconds: null,
      ...NO_SPECS,
      verified: true,
    })
  })

  it('says who makes a new value, who tries it, where it goes and what runs afterwards, in one spelling', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const targets = ['--target', 'env:.env#KEY', '--target', 'file:key']
    await succeed(world, 'policy', 'set', 'a', '--provider', 'command:["/bin/new key", "x"]', ...targets)
    expect(world.stderr).toBe(
      'set the policy of "a": provider command:["/bin/new key","x"], target env:.env#KEY, target file:key\n',
    )
    const hook = ['--on-rotate', '["/bin/true"]', '--verify', 'scavio']
    expect(await json(world, 'policy', 'set', 'a', ...hook, '--target', 'file:other')).toMatchObject({
      provider: 'command:["/bin/new key","x"]',
      verify: 'scavio',
      targets: ['file:other'],
      on_rotate: '/bin/true',
      idempotent: false,
    })
    for (const argv of [
      ['--provider', 'sometimes'],
      ['--verify', 'hope'],
      ['--target', 'json:a.json'],
      ['--on-rotate', '["systemctl"'],
    ]) {
      expect(await fail(world, 'policy', 'set', 'a', ...argv)).toMatchObject({ status: 2, code: 'USAGE' })
    }
  })

  it('stays through a rotation, a rollback and a new name, and its grace holds for all of them', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'one')
    await succeed(world, 'policy', 'set', 'a', '--grace', '1d')
    await rotate(world, 'a', 'two')
    expect(await succeed(world, 'load', 'a', '--version', 'previous')).toBe('one\n')
    world.nowMs += DAY_MS
    expect(await fail(world, 'load', 'a', '--version', 'previous')).toMatchObject({ status: 3 })
    await succeed(world, 'rollback', 'a')
    await succeed(world, 'rename', 'a', 'b')
    expect(await json(world, 'policy', 'show', 'b')).toMatchObject({ grace_seconds: 86_400 })
    expect(await json(world, 'rotate', 'b', '--generate', '--grace', '2d')).toMatchObject({
      previous_until: new Date(world.nowMs + 2 * DAY_MS).toISOString(),
    })
  })

  it('changes nothing, and says why, where it cannot be set', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const before = read(world, VAULT)
    expect(await fail(world, 'policy', 'set', 'a')).toMatchObject({ status: 2, code: 'USAGE' })
    expect(await fail(world, 'policy', 'set', 'b', '--max-age', '1')).toMatchObject({ status: 3, code: 'NOT_FOUND' })
    expect(await fail(world, 'policy', 'show', 'b')).toMatchObject({ status: 3 })
    expect(await fail(world, 'policy', 'clear', 'b')).toMatchObject({ status: 3 })
    expect(await fail(world, 'policy', 'set', 'a', '--max-age', 'soon')).toMatchObject({ status: 2, code: 'USAGE' })
    expect(read(world, VAULT)).toBe(before)
    const tutorial = await emptyTutorialWorld()
    await store(tutorial, 'a', 'x')
    expect(await fail(tutorial, 'policy', 'set', 'a', '--max-age', '1')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(await succeed(tutorial, 'policy', 'show', 'a')).toBe(`max-age\t30d\tdefault\n${NO_SPECS_SHOWN}`)
  })

  it('stands under the MAC: an altered limit is refused', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    await succeed(world, 'policy', 'set', 'a', '--max-age', '7d')
    write(world, VAULT, read(world, VAULT).replace('"max_age":604800', '"max_age":904800'))
    expect(await fail(world, 'load', 'a')).toMatchObject({ status: 6, code: 'DAMAGED' })
  })
})

describe('leaked', () => {
  it('makes a credential due at once, until it is rotated', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    expect(await world.run('rotation-due', 'a')).toBe(1)
    await succeed(world, 'leaked', 'a', '--reason', 'pasted into a chat')
    expect(world.stderr).toBe('recorded that "a" has leaked; it is due until it is rotated\n')
    expect(await world.run('rotation-due', 'a')).toBe(0)
    expect(world.stdout).toBe('a\t0d\t30d\tleak\n')
    expect(await json(world, 'history', 'a')).toMatchObject([
      { action: 'leaked', version: 1, reason: 'pasted into a chat' },
      { action: 'created' },
    ])
    expect(await json(world, 'list')).toMatchObject([{ name: 'a', due: true }])
    await rotate(world, 'a', 'y')
    expect(await world.run('rotation-due', 'a')).toBe(1)
  })

  it('keeps the first date, and logs it once', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const first = await json(world, 'leaked', 'a')
    world.nowMs += DAY_MS
    expect(await json(world, 'leaked', 'a')).toEqual(first)
    expect(await json(world, 'log', 'show', 'a')).toHaveLength(2)
  })

  it('goes with the value: whoever rolls back to it is told that it is due', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    await succeed(world, 'leaked', 'a')
    await rotate(world, 'a', 'y')
    await succeed(world, 'rollback', 'a')
    expect(await world.run('rotation-due', 'a')).toBe(0)
    expect(world.stdout).toBe('a\t0d\t30d\tleak\n')
  })

  it('is refused in the tutorial format, which has no place for it', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'a', 'x')
    expect(await fail(world, 'leaked', 'a')).toMatchObject({ status: 2, code: 'INPUT', hints: ['mcpvault upgrade'] })
  })
})
