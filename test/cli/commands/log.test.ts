import { readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fail, json, nativeWorld, read, rotate, store, succeed, tutorialWorld, VAULT, write } from './support.js'

const LOG = 'rotation_log.json'

describe('log show', () => {
  it('prints the records as a JSON array, oldest first, a record a line, with and without --json', async () => {
    const world = await nativeWorld()
    expect(JSON.parse(await succeed(world, 'log', 'show'))).toEqual([])
    await store(world, 'a', 'x')
    await store(world, 'b', 'x')
    await rotate(world, 'a', 'y')
    const text = await succeed(world, 'log', 'show')
    expect(text).toBe(read(world, LOG))
    expect(await succeed(world, 'log', 'show', '--json')).toBe(text)
    expect(JSON.parse(text)).toMatchObject([
      { credential: 'a', action: 'created', version: 1, seq: 1 },
      { credential: 'b', action: 'created', seq: 2 },
      { credential: 'a', action: 'rotated', version: 2, seq: 3, by: 'tester@machine' },
    ])
    expect(await json(world, 'log', 'show', 'a')).toMatchObject([{ seq: 1 }, { seq: 3 }])
    expect(await json(world, 'log', 'show', '-n', '2')).toMatchObject([{ seq: 2 }, { seq: 3 }])
    expect(await json(world, 'log', 'show', 'a', '-n', '1')).toMatchObject([{ seq: 3 }])
    expect(await json(world, 'log', 'show', 'nobody')).toEqual([])
  })

  it('shows what the vault has committed and the log never got', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    await rotate(world, 'a', 'y')
    rmSync(join(world.directory, LOG))
    expect(await json(world, 'log', 'show')).toMatchObject([{ action: 'rotated', seq: 2 }])
    expect(await json(world, 'log', 'show', '-n', '5')).toMatchObject([{ action: 'rotated', seq: 2 }])
    expect(await json(world, 'history', 'a')).toMatchObject([{ action: 'rotated' }])
  })

  it("prints valid JSON also of a torn log and of a tutorial program's layout", async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    await store(world, 'b', 'x')
    truncateSync(join(world.directory, LOG), readFileSync(join(world.directory, LOG)).length - 9)
    expect(await json(world, 'log', 'show')).toMatchObject([{ credential: 'a' }, { credential: 'b' }])
    const tutorial = tutorialWorld('python')
    expect(await json(tutorial, 'log', 'show')).toEqual(JSON.parse(read(tutorial, LOG)))
  })

  it('leaves stdout empty when a long log turns out to be damaged farther on', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const [first = ''] = JSON.parse(read(world, LOG)).map((record: object) => JSON.stringify(record))
    const lines = Array.from({ length: 1000 }, () => first)
    lines[900] = first.replace('"created"', '"created')
    write(world, LOG, `[\n${lines.join('\n,')}\n]\n`)
    expect(await fail(world, 'log', 'show')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(await fail(world, 'log', 'show', '-n', '200')).toMatchObject({ status: 6 })
    expect(await json(world, 'log', 'show', '-n', '50')).toHaveLength(50)
  })
})

describe('log verify', () => {
  it('goes on naming that records were lost, and by which record that was accepted', async () => {
    const world = await nativeWorld()
    for (const name of ['a', 'b', 'c']) await store(world, name, 'x')
    const log = read(world, 'rotation_log.json')
    const cut = `${log.split('\n').slice(0, 2).join('\n')}\n]\n`
    const vault = read(world, VAULT)
    write(world, 'rotation_log.json', cut)
    await store(world, 'd', 'x')
    expect(world.stderr).toContain('ends at record 1, but the vault has committed 2: run mcpvault log verify')
    for (const _ of [1, 2]) {
      expect(await fail(world, 'log', 'verify')).toMatchObject({
        status: 6,
        hints: expect.arrayContaining([expect.stringContaining('should follow record 2, which is not there')]),
      })
      await store(world, `more ${_}`.replace(' ', '_'), 'x')
    }
    write(world, VAULT, vault)
    write(world, 'rotation_log.json', cut)
    const { hints } = await fail(world, 'store', 'd', '--generate')
    expect(hints.at(-1)).toContain(': mcpvault log settle --accept-restore')
    await succeed(world, 'log', 'settle', '--accept-restore')
    await succeed(world, 'log', 'verify')
    expect(world.stderr).toContain('record 4 says that somebody went on from an older or changed state')
  })

  it('says that the log holds together, and with --json how far', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    expect(await succeed(world, 'log', 'verify')).toBe('1 record holds together; its head is the one in the vault\n')
    await rotate(world, 'a', 'y')
    expect(await succeed(world, 'log', 'verify')).toBe('2 records hold together; its head is the one in the vault\n')
    expect(await json(world, 'log', 'verify')).toEqual({
      records: 2,
      sealed: 2,
      checkpoints: 0,
      gaps: [],
      restored: [],
      torn: false,
      anchored: true,
      verified: true,
    })
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await json(world, 'log', 'verify')).toMatchObject({ verified: false })
    expect(await succeed(world, 'log', 'verify')).toContain('was not verified since no key was given')
  })

  it('names records that were edited, taken out or cut off', async () => {
    const world = await nativeWorld()
    for (const name of ['a', 'b', 'c', 'd']) await store(world, name, 'x')
    const text = read(world, LOG)
    const lines = text.split('\n')
    for (const damaged of [
      text.replace('"credential":"b"', '"credential":"B"'),
      text.replace('"seq":3', '"seq":8'),
      [...lines.slice(0, 2), ...lines.slice(3)].join('\n'),
      [...lines.slice(0, 3), ']', ''].join('\n'),
    ]) {
      write(world, LOG, damaged)
      const { status, code, hints } = await fail(world, 'log', 'verify')
      expect([status, code]).toEqual([6, 'DAMAGED'])
      expect(hints.length).toBeGreaterThan(0)
    }
    write(world, LOG, text)
    await succeed(world, 'log', 'verify')
  })

  it('counts what other programs wrote, and vouches for nothing in a tutorial log', async () => {
    const world = tutorialWorld('python')
    await rotate(world, 'unicode', 'y')
    expect(await json(world, 'log', 'verify')).toMatchObject({ sealed: 1, anchored: null, verified: false })
    expect(await succeed(world, 'log', 'verify')).toMatch(
      /by other programs, which nothing vouches for; no vault holds its head/,
    )
  })
})
