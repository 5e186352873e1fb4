import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  memberNames,
  nativeWorld,
  rotate,
  store,
  tutorialWorld,
  write,
} from './support.js'

/** Runs `rotation-due` and gives its status and stdout. */
async function due(world: TestWorld, ...argv: readonly string[]): Promise<readonly [number, string]> {
  const status = await world.run('rotation-due', ...argv)
  expect(world.stderr).toBe('')
  return [status, world.stdout]
}

/** A native vault with a credential of 40 days, one of 29 and one of today. */
async function agedWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'old', 'x')
  world.nowMs += 11 * DAY_MS
  await store(world, 'nearly', 'x')
  world.nowMs += 29 * DAY_MS
  await store(world, 'new', 'x')
  return world
}

describe('rotation-due', () => {
  it('exits 0 and prints what is due, 1 and nothing when nothing is', async () => {
    const world = await agedWorld()
    expect(await due(world)).toEqual([0, 'old\t40d\t30d\tage\n'])
    expect(await due(world, 'new', 'nearly')).toEqual([1, ''])
    expect(await due(world, 'new', 'old', 'old')).toEqual([0, 'old\t40d\t30d\tage\n'])
    expect(await due(world, 'new', '--exit-zero')).toEqual([0, ''])
    expect(await due(world, 'old', '--exit-zero')).toEqual([0, 'old\t40d\t30d\tage\n'])
    expect(await due(world, 'new', '--json')).toEqual([1, '[]\n'])
    expect(await due(world, 'old', '--quiet')).toEqual([0, 'old\t40d\t30d\tage\n'])
  })

  it('counts from the last rotation, in whole days of 86,400 seconds', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'x')
    world.nowMs += 30 * DAY_MS - 1
    expect(await due(world)).toEqual([1, ''])
    world.nowMs += 1
    expect(await due(world)).toEqual([0, 'name\t30d\t30d\tage\n'])
    await rotate(world, 'name', 'y')
    expect(await due(world)).toEqual([1, ''])
  })

  it('takes --max-age in days when it is bare, and with a unit', async () => {
    const world = await agedWorld()
    expect(await due(world, '--max-age', '41')).toEqual([1, ''])
    expect(await due(world, '--max-age', '40')).toEqual([0, 'old\t40d\t40d\tage\n'])
    expect(await due(world, '--max-age', '29', '--format', 'names')).toEqual([0, 'nearly\nold\n'])
    expect(await due(world, '--max-age', '960h')).toEqual([0, 'old\t40d\t40d\tage\n'])
    expect((await due(world, '--max-age', '0', '--format', 'names'))[1]).toBe('nearly\nnew\nold\n')
    for (const text of ['-1', '30 d', 'x', '1.5', '999999d'])
      expect((await fail(world, 'rotation-due', '--max-age', text)).status).toBe(2)
  })

  it('adds with --within what will be due by then; bare numbers are seconds there', async () => {
    const world = await agedWorld()
    expect(await due(world, '--within', '1d')).toEqual([0, 'nearly\t29d\t30d\tsoon\nold\t40d\t30d\tage\n'])
    expect(await due(world, 'nearly', '--within', '86399')).toEqual([1, ''])
    expect(await due(world, 'nearly', '--within', '86400')).toEqual([0, 'nearly\t29d\t30d\tsoon\n'])
  })

  it('is a sentence or a table on a terminal', async () => {
    const world = await agedWorld()
    world.env.NO_COLOR = '1'
    world.setTerminal(true)
    expect(await world.run('rotation-due', 'new')).toBe(1)
    expect([world.stdout, world.stderr]).toEqual(['', 'nothing is due\n'])
    expect(await world.run('rotation-due')).toBe(0)
    expect(world.stdout).toBe('NAME  AGE  LIMIT  REASON\nold   40d  30d    age\n')
  })

  it('gives every member in JSON', async () => {
    const world = await agedWorld()
    expect(await json(world, 'rotation-due')).toEqual([
      {
        name: 'old',
        reason: 'age',
        age_seconds: 40 * 86_400,
        age_days: 40,
        max_age_seconds: 30 * 86_400,
        due_at: '2026-12-22T12:00:00.000Z',
        approximate: false,
        verified: true,
      },
    ])
    expect((await fail(world, 'rotation-due', '--format', 'names')).status).toBe(2)
  })

  it('is exit 3 for an unknown name in the native format, and due in the tutorial one', async () => {
    const world = await agedWorld()
    expect(await fail(world, 'rotation-due', 'new', 'odd')).toMatchObject({ status: 3, hints: ['did you mean "old"?'] })
    const tutorial = tutorialWorld('python')
    expect(await due(tutorial, 'never heard of', 'unicode')).toEqual([0, 'never heard of\t-\t30d\tno record\n'])
    expect(await json(tutorial, 'rotation-due', '__proto__')).toMatchObject([
      { name: '__proto__', reason: 'no record', age_seconds: null, age_days: null, due_at: null, verified: false },
    ])
  })

  it('holds everything to be due in a tutorial vault without a log', async () => {
    const world = tutorialWorld('node')
    const rows = await json<{ name: string; reason: string }[]>(world, 'rotation-due')
    expect(rows.map(({ name }) => name)).toEqual(Object.keys(world.values))
    expect(new Set(rows.map(({ reason }) => reason))).toEqual(new Set(['no record']))
  })

  it('errs to due when the clock or a date cannot be right', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'x')
    world.nowMs -= 5 * 60_000
    expect(await due(world)).toEqual([1, ''])
    world.nowMs -= 1
    expect(await due(world)).toEqual([0, 'name\t-\t30d\tclock skew\n'])
    const tutorial = await emptyTutorialWorld()
    await store(tutorial, 'a', 'x')
    write(
      tutorial,
      'rotation_log.json',
      JSON.stringify([{ credential: 'a', rotated_at: '2026-02-30T00:00:00', action: 'created' }]),
    )
    expect(await due(tutorial)).toEqual([0, 'a\t-\t30d\tunreadable date\n'])
  })

  it('takes a naive time as local, in the zone of --assume-tz, and up to 26 h ahead as age 0', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'a', 'x')
    const at = (rotated_at: string): void =>
      void write(world, 'rotation_log.json', JSON.stringify([{ credential: 'a', rotated_at, action: 'rotated' }]))
    const state = async (...flags: string[]): Promise<unknown> =>
      (await json<unknown[]>(world, 'rotation-due', '--max-age', '0', ...flags))[0]
    at('2026-11-22T12:00:00.000000')
    expect(await state('--assume-tz', 'America/New_York')).toMatchObject({ age_seconds: 0, approximate: true })
    expect(await state('--assume-tz', 'Asia/Tokyo')).toMatchObject({ age_seconds: 9 * 3600, approximate: false })
    expect(await state('--assume-tz', 'UTC')).toMatchObject({ age_seconds: 0, approximate: false })
    at('2026-11-23T13:59:59')
    expect(await due(world, '--assume-tz', 'UTC')).toEqual([1, ''])
    at('2026-11-23T14:00:01')
    expect(await state('--assume-tz', 'UTC')).toMatchObject({ reason: 'clock skew' })
    at('2026-11-22T14:00:00+02:00')
    expect(await state('--assume-tz', 'Asia/Tokyo')).toMatchObject({ age_seconds: 0, approximate: false })
    expect((await fail(world, 'rotation-due', '--assume-tz', 'Mars/Olympus')).status).toBe(2)
  })

  it('prints every credential for Prometheus', async () => {
    const world = await agedWorld()
    const [status, text] = await due(world, '--format', 'prometheus')
    expect(status).toBe(0)
    expect(text).toContain('# TYPE mcpvault_credential_due gauge\n')
    expect(text).toContain('mcpvault_credential_due{credential="old"} 1\n')
    expect(text).toContain('mcpvault_credential_due{credential="new"} 0\n')
    expect(text).toContain(`mcpvault_credential_age_seconds{credential="nearly"} ${29 * 86_400}\n`)
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+\{credential="[^"\\]*"\} \d+)$/)
  })

  it('answers Nagios with 0, 1, 2 and 3 on one line', async () => {
    const world = await agedWorld()
    expect(await due(world, 'new', '--format', 'nagios')).toEqual([
      0,
      'MCPVAULT OK - 1 credentials, none due | due=0;;1 soon=0 credentials=1\n',
    ])
    expect(await due(world, 'nearly', '--within', '2d', '--format', 'nagios')).toEqual([
      1,
      'MCPVAULT WARNING - nearly (soon) | due=0;;1 soon=1 credentials=1\n',
    ])
    expect((await due(world, '--format', 'nagios'))[0]).toBe(2)
    expect((await due(world, '--format', 'nagios', '--exit-zero'))[0]).toBe(0)
    expect(await due(world, 'missing', '--format', 'nagios')).toEqual([
      3,
      'MCPVAULT UNKNOWN - no credential is named "missing"\n',
    ])
    expect(await due(world, '--format', 'nagios', '--vault', 'no|where')).toEqual([
      3,
      'MCPVAULT UNKNOWN - no vault was found\n',
    ])
    world.env.MCP_ENCRYPTION_KEY = 'malformed'
    expect((await due(world, '--format', 'nagios'))[0]).toBe(3)
  })

  it('takes no lock, writes nothing beside the vault, and asks nothing', async () => {
    const world = await agedWorld()
    world.setTerminal(true)
    const { readdirSync, statSync } = await import('node:fs')
    const look = (): unknown =>
      readdirSync(world.directory).map((name) => [name, statSync(`${world.directory}/${name}`).mtimeMs])
    const before = look()
    write(world, 'mcp_credentials.enc.lock', 'held by whoever')
    expect(await world.run('rotation-due', '--quiet')).toBe(0)
    const { rmSync } = await import('node:fs')
    rmSync(`${world.directory}/mcp_credentials.enc.lock`)
    expect(look()).toEqual(before)
    expect(world.questions).toEqual([])
  })

  it('names its JSON members in snake_case, as every command does', async () => {
    const world = await agedWorld()
    for (const name of memberNames(await json(world, 'rotation-due'))) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
  })
})
