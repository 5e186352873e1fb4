import { describe, expect, it } from 'vitest'
import { DAY_MS, emptyTutorialWorld, fail, json, nativeWorld, rotate, store, succeed, write } from './support.js'

describe('rename', () => {
  it('says what it did, and what does not work any more', async () => {
    const world = await nativeWorld()
    await store(world, 'old', 'value')
    await succeed(world, 'rename', 'old', 'new', '--reason', 'tidier')
    expect(world.stderr).toBe('renamed "old" to "new"; what still asks for "old" is not found any more\n')
    expect(await succeed(world, 'load', 'new')).toBe('value\n')
    expect(await fail(world, 'load', 'old')).toMatchObject({ status: 3 })
    expect(await json(world, 'rename', 'new', 'newer')).toEqual({ name: 'newer', from: 'new' })
  })

  it('is refused with the exit status of the reason', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    await store(world, 'b', '2')
    expect(await fail(world, 'rename', 'a', 'b')).toMatchObject({ status: 4, code: 'EXISTS' })
    expect(await fail(world, 'rename', 'c', 'd')).toMatchObject({ status: 3, code: 'NOT_FOUND' })
    expect(await fail(world, 'rename', 'a', 'a b')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(await fail(world, 'rename', 'a')).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it.for([
    ['native', nativeWorld],
    ['tutorial', emptyTutorialWorld],
  ] as const)('keeps the age of a value in a %s vault', async ([, makeWorld]) => {
    const world = await makeWorld()
    await store(world, 'old', '1')
    world.nowMs += 29 * DAY_MS
    await succeed(world, 'rename', 'old', 'new')
    expect(await world.run('rotation-due', 'new')).toBe(1)
    world.nowMs += DAY_MS
    expect(await world.run('rotation-due', 'new')).toBe(0)
    expect(world.stdout).toBe('new\t30d\t30d\tage\n')
  })

  it('says so where a tutorial’s log has no date to keep', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'old', '1')
    write(world, 'rotation_log.json', '[{"credential":"old","rotated_at":"some day","action":"rotated"}]')
    await succeed(world, 'rename', 'old', 'new')
    expect(world.stderr).toContain('; the log knows no date of its value, so it is shown as due')
    expect(await world.run('rotation-due', 'new')).toBe(0)
  })
})

describe('history of a renamed credential', () => {
  it('goes back through every name that it had, and ends where it began', async () => {
    const world = await nativeWorld()
    await store(world, 'b', 'of another one')
    await succeed(world, 'remove', 'b', '--yes')
    await store(world, 'a', '1')
    await rotate(world, 'a', '2')
    await succeed(world, 'rename', 'a', 'b')
    await store(world, 'a', 'a third one')
    await rotate(world, 'b', '3')
    type Row = Record<string, unknown>
    const rows = async (name: string) =>
      (await json<Row[]>(world, 'history', name)).map(({ action, version, stage }) => `${action} ${version} ${stage}`)
    expect(await rows('b')).toEqual([
      'rotated 3 current',
      'retired 1 null',
      'renamed 2 null',
      'rotated 2 previous',
      'created 1 null',
    ])
    // The name began anew; what it stood for before is another credential's story, and has no versions here.
    expect(await rows('a')).toEqual(['created 1 current', 'renamed 2 null', 'rotated 2 null', 'created 1 null'])
    await succeed(world, 'history', 'b')
    expect(world.stdout.split('\n')[2]).toMatch(/\trenamed\t2\t-\ttester@machine\t"a" to "b"$/)
  })

  it('shows a name that was given up and taken back as one', async () => {
    for (const makeWorld of [nativeWorld, emptyTutorialWorld]) {
      const world = await makeWorld()
      await store(world, 'a', '1')
      await succeed(world, 'rename', 'a', 'b')
      await succeed(world, 'rename', 'b', 'a')
      const rows = await json<Record<string, unknown>[]>(world, 'history', 'a')
      expect(rows.map(({ action, name, from }) => [action, name, from])).toEqual([
        ['renamed', 'a', 'b'],
        ['renamed', 'b', 'a'],
        ['created', undefined, undefined],
      ])
    }
  })

  it('is in the log under both names', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    await succeed(world, 'rename', 'a', 'b')
    for (const name of ['a', 'b']) {
      const records = JSON.parse(await succeed(world, 'log', 'show', name)) as { action: string }[]
      expect(records.map(({ action }) => action)).toContain('renamed')
    }
  })
})
