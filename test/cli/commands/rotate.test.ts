import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
  withStdin,
} from './support.js'

const T0 = '2026-11-22T12:00:00.000Z'
const T7 = '2026-11-29T12:00:00.000Z'

describe('rotate', () => {
  it('makes a new version, keeps the old one loadable for 7 days, and says both in one line', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await withStdin(world, 'second\n', 'rotate', 'name', '--stdin')).toBe('')
    expect(world.stderr).toBe(
      'rotated "name" to version 2; version 1 stays loadable until 2026-11-29T12:00Z; not verified\n',
    )
    expect(await succeed(world, 'load', 'name')).toBe('second\n')
    expect(await succeed(world, 'load', 'name', '--version', 'previous')).toBe('first\n')
    expect(await succeed(world, 'load', 'name', '--version', '1')).toBe('first\n')
    world.nowMs += 7 * DAY_MS - 1
    expect(await succeed(world, 'load', 'name', '--version', 'previous')).toBe('first\n')
    world.nowMs += 1
    expect(await fail(world, 'load', 'name', '--version', 'previous')).toMatchObject({ status: 3, code: 'NOT_FOUND' })
    expect(await fail(world, 'load', 'name', '--version', '1')).toMatchObject({ status: 3 })
    expect(await fail(world, 'load', 'name', '--version', '9')).toMatchObject({ status: 3 })
  })

  it('gives the same in JSON, with every member there', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    world.stdin = 'second'
    expect(await json(world, 'rotate', 'name', '--stdin')).toEqual({
      name: 'name',
      version: 2,
      previous_version: 1,
      previous_until: T7,
      retired_version: null,
      verified: false,
    })
    world.stdin = 'third'
    expect(await json(world, 'rotate', 'name', '--stdin', '--grace', '1h')).toEqual({
      name: 'name',
      version: 3,
      previous_version: 2,
      previous_until: '2026-11-22T13:00:00.000Z',
      retired_version: 1,
      verified: false,
    })
    // Nothing reminds of version 1 from now on.
    expect(world.stderr).toContain('nobody has said that version 1 of \\"name\\" was revoked')
  })

  it('changes nothing when the log could not be written', async () => {
    for (const world of [await nativeWorld(), await emptyTutorialWorld()]) {
      await store(world, 'name', 'first')
      await succeed(world, 'token', 'create', '--tools', 'x')
      expect(await fail(world, 'rotate', 'name', '--generate', '--log', 'missing/log.json')).toMatchObject({
        status: 9,
        code: 'IO',
      })
      expect(await succeed(world, 'load', 'name')).toBe('first\n')
      await rotate(world, 'name', 'second')
    }
  })

  it('refuses a name that is not there, with a suggestion, before it asks for a value; --create stores it', async () => {
    const world = await nativeWorld()
    await store(world, 'scavio_api_key', 'first')
    world.setTerminal(true)
    expect(await fail(world, 'rotate', 'scavio_api_kye')).toMatchObject({
      status: 3,
      code: 'NOT_FOUND',
      hints: ['did you mean "scavio_api_key"?'],
    })
    expect(await fail(world, 'rotate', 'something else', '--generate')).toMatchObject({ hints: ['mcpvault list'] })
    expect(world.questions).toEqual([])
    world.setTerminal(false)
    world.stdin = 'value'
    expect(await json(world, 'rotate', 'new', '--create', '--stdin')).toMatchObject({
      version: 1,
      previous_version: null,
    })
    world.stdin = 'second'
    expect(await json(world, 'rotate', 'new', '--create', '--stdin')).toMatchObject({ version: 2, previous_version: 1 })
    await withStdin(world, 'value', 'rotate', 'third', '--create', '--stdin')
    expect(world.stderr).toBe('stored "third"\n')
  })

  it('refuses the value that is current already, and changes nothing', async () => {
    for (const world of [await nativeWorld(), await emptyTutorialWorld()]) {
      await store(world, 'name', 'same')
      const before = read(world, VAULT).split('\n').at(-3)
      world.stdin = 'same\n'
      expect(await fail(world, 'rotate', 'name', '--stdin')).toMatchObject({ status: 2, code: 'INPUT' })
      expect(read(world, VAULT).split('\n').at(-3)).toBe(before)
      expect(read(world, VAULT)).not.toContain('"stage":"obtain"')
    }
  })

  it('writes the reason into the log, one line of at most 1,000 bytes', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    await succeed(world, 'rotate', 'name', '--generate', '--reason', 'left in a chat')
    expect(await json(world, 'history', 'name')).toMatchObject([{ reason: 'left in a chat', by: 'tester@machine' }, {}])
    for (const reason of ['two\nlines', 'é'.repeat(501)]) {
      expect((await fail(world, 'rotate', 'name', '--generate', '--reason', reason)).status).toBe(2)
    }
  })

  it('in the tutorial format says where the old value is, and has neither versions nor a grace', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'name', 'first')
    await withStdin(world, 'second', 'rotate', 'name', '--stdin')
    expect(world.stderr).toBe(
      `rotated "name"; the previous value survives only in "${world.directory}/${VAULT}.bak"; not verified\n`,
    )
    world.stdin = 'third'
    expect(await json(world, 'rotate', 'name', '--stdin')).toEqual({
      name: 'name',
      version: null,
      previous_version: null,
      previous_until: null,
      retired_version: null,
      verified: false,
    })
    await withStdin(world, 'value', 'rotate', 'new', '--create', '--stdin')
    expect(world.stderr).toBe('stored "new"\n')
    const needsUpgrade = { status: 2, code: 'INPUT', hints: ['mcpvault upgrade'] }
    expect(await fail(world, 'rotate', 'name', '--generate', '--grace', '1d')).toMatchObject(needsUpgrade)
    expect(await fail(world, 'load', 'name', '--version', '1')).toMatchObject(needsUpgrade)
    expect(await fail(world, 'rollback', 'name')).toMatchObject(needsUpgrade)
    expect(await fail(world, 'store', 'noted', '--generate', '--note', 'x')).toMatchObject(needsUpgrade)
  })
})

describe('rollback', () => {
  it('makes the previous version current again, as a new version that keeps its age', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    world.nowMs += 20 * DAY_MS
    await rotate(world, 'name', 'second')
    expect(await succeed(world, 'rollback', 'name', '--reason', 'refused')).toBe('')
    expect(world.stderr).toBe(
      'rolled "name" back; its value is now version 3; version 2 stays loadable until 2026-12-19T12:00Z\n',
    )
    expect(await succeed(world, 'load', 'name')).toBe('first\n')
    expect(await succeed(world, 'load', 'name', '--version', 'previous')).toBe('second\n')
    expect(await json(world, 'list')).toMatchObject([{ version: 3, since: T0, age_seconds: 20 * 86_400 }])
    expect(await json(world, 'history', 'name')).toMatchObject([{ action: 'rolled-back', reason: 'refused' }, {}, {}])
    world.nowMs += 10 * DAY_MS
    expect(await world.run('rotation-due', 'name')).toBe(0)
  })

  it('goes back after the grace as well, and to a version by number', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    await rotate(world, 'name', 'second')
    world.nowMs += 100 * DAY_MS
    expect(await json(world, 'rollback', 'name', '--to', '1')).toMatchObject({ version: 3, previous_version: 2 })
    expect(await succeed(world, 'load', 'name')).toBe('first\n')
  })

  it.for([
    ['a name that is not there', ['other']],
    ['no previous version', ['name']],
    ['the current version', ['name', '--to', '1']],
    ['a version that was not kept', ['name', '--to', '7']],
  ] as const)('is exit 3 for %s', async ([, argv]) => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await fail(world, 'rollback', ...argv)).toMatchObject({ status: 3, code: 'NOT_FOUND' })
  })
})

describe('remove', () => {
  it('needs --yes where nobody can be asked, and asks on a terminal', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await fail(world, 'remove', 'name')).toMatchObject({ status: 2, code: 'USAGE', hints: ['add --yes'] })
    world.setTerminal(true)
    expect(await fail(world, 'remove', 'name', '--no-input')).toMatchObject({ status: 2 })
    world.answers.push(false)
    expect(await fail(world, 'remove', 'name')).toMatchObject({ status: 130, code: 'CANCELLED' })
    expect(await succeed(world, 'load', 'name')).toBe('first\n')
    world.answers.push(true)
    expect(await succeed(world, 'remove', 'name')).toBe('')
    expect(world.stderr).toContain('removed "name"')
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 3 })
    expect(await fail(world, 'remove', 'name')).toMatchObject({ status: 3 })
    expect(world.questions).toHaveLength(2)
  })

  it('leaves the value in no file, and its history in the log', async () => {
    for (const world of [await nativeWorld(), await emptyTutorialWorld()]) {
      await store(world, 'name', 'first')
      await store(world, 'other', 'kept')
      const sealed = /"name".*?"(?:c": ?")?([\w-]{20,}=*)"/.exec(read(world, VAULT))?.[1] ?? 'not found'
      expect(read(world, VAULT)).toContain(sealed)
      await succeed(world, 'remove', 'name', '--yes', '--reason', 'gone')
      for (const file of readdirSync(world.directory, { recursive: true, withFileTypes: true })) {
        if (file.isFile()) expect(readFileSync(join(file.parentPath, file.name), 'utf8')).not.toContain(sealed)
      }
      expect(await json(world, 'history', 'name')).toMatchObject([
        { action: 'removed', reason: 'gone' },
        { action: 'created' },
      ])
      expect(await succeed(world, 'load', 'other')).toBe('kept\n')
      await store(world, 'name', 'again')
      expect(await json(world, 'history', 'name')).toHaveLength(3)
    }
  })

  it('prints the name in JSON', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await json(world, 'remove', 'name', '--yes')).toEqual({ name: 'name' })
    expect(world.stderr).toBe('')
  })
})
