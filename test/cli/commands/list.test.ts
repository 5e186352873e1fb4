import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  nativeWorld,
  rotate,
  store,
  succeed,
  tutorialWorld,
  VAULT,
  withStdin,
  write,
} from './support.js'

const ESC = '\u001b'
/** Clears the screen, writes the clipboard, turns text around, ends the line; JSON keeps all of it. */
const NASTY = `x${ESC}[2J${ESC}]52;c;aGk=\u0007\u202etxt.\u009b31m\u2028\n\t\ud800"'\\`

/** A tutorial vault that holds a name which no new credential may have. */
async function nastyWorld(): Promise<TestWorld> {
  const world = await emptyTutorialWorld()
  await store(world, 'placeholder', 'value')
  const { readFileSync } = await import('node:fs')
  for (const name of [VAULT, 'rotation_log.json']) {
    const text = readFileSync(`${world.directory}/${name}`, 'utf8')
    write(world, name, text.replaceAll('"placeholder"', JSON.stringify(NASTY)))
  }
  return world
}

function expectHarmless(text: string): void {
  expect(text.replaceAll(/[\n\t]/g, '')).not.toMatch(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/,
  )
}

const NO_POLICY = {
  max_age_seconds: null,
  grace_seconds: null,
  provider: null,
  verify: null,
  targets: [],
  on_rotate: null,
  idempotent: false,
}

describe('list', () => {
  it('prints tab-separated lines into a pipe, without a header', async () => {
    const world = await nativeWorld()
    await store(world, 'b', 'x')
    await succeed(world, 'store', 'a', '--generate', '--note', 'for\tme')
    await rotate(world, 'b', 'y')
    expect(await succeed(world, 'list')).toBe(
      'a\t1\t2026-11-22T12:00:00.000Z\t2026-12-22T12:00:00.000Z\t\tfor\\tme\nb\t2\t2026-11-22T12:00:00.000Z\t2026-12-22T12:00:00.000Z\t\t\n',
    )
    expect(world.stderr).toBe('')
  })

  it('prints a table with upper-case headers and relative times on a terminal', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    world.nowMs += 31 * DAY_MS
    await store(world, 'b', 'x')
    world.setTerminal(true)
    world.env.NO_COLOR = '1'
    expect(await succeed(world, 'list')).toBe(
      'NAME  VERSION  AGE  DUE     POLICY  NOTE\na     1        31d  now\nb     1        0s   in 30d\n',
    )
  })

  it('is a sentence on a terminal, nothing in a pipe and [] in JSON when there is nothing', async () => {
    const world = await nativeWorld()
    expect(await succeed(world, 'list')).toBe('')
    expect(await json(world, 'list')).toEqual([])
    expect(await json(world, 'list', 'x*')).toEqual([])
    world.setTerminal(true)
    expect(await succeed(world, 'list')).toBe('')
    expect(world.stderr).toContain('no credentials yet')
  })

  it('gives every member in JSON, and null for what is not known', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    world.nowMs += DAY_MS
    expect(await json(world, 'list')).toEqual([
      {
        name: 'a',
        version: 1,
        since: '2026-11-22T12:00:00.000Z',
        age_seconds: 86_400,
        due: false,
        due_at: '2026-12-22T12:00:00.000Z',
        policy: NO_POLICY,
        note: null,
        damaged: false,
        verified: true,
      },
    ])
    const tutorial = tutorialWorld('node')
    expect(await json<object[]>(tutorial, 'list', 'unicode')).toEqual([
      {
        name: 'unicode',
        version: null,
        since: null,
        age_seconds: null,
        due: true,
        due_at: null,
        policy: NO_POLICY,
        note: null,
        damaged: false,
        verified: false,
      },
    ])
  })

  it('filters by a pattern in which only * is special', async () => {
    const world = await nativeWorld()
    for (const name of ['github_a', 'github_b', 'a.b', 'axb']) await store(world, name, 'x')
    const names = async (pattern: string): Promise<string[]> =>
      (await json<{ name: string }[]>(world, 'list', pattern)).map(({ name }) => name)
    expect(await names('github_*')).toEqual(['github_a', 'github_b'])
    expect(await names('a.b')).toEqual(['a.b'])
    expect(await names('*b')).toEqual(['a.b', 'axb', 'github_b'])
    expect(await names('[ab')).toEqual([])
  })

  it('marks a damaged value of a tutorial vault and lists the others', async () => {
    const world = tutorialWorld('python')
    const { readFileSync } = await import('node:fs')
    const vault = JSON.parse(readFileSync(`${world.directory}/${VAULT}`, 'utf8'))
    vault.empty = 'gAAAAA-short'
    vault.number = 5
    write(world, VAULT, JSON.stringify(vault))
    const rows = await json<{ name: string; damaged: boolean }[]>(world, 'list')
    expect(rows.filter((row) => row.damaged).map((row) => row.name)).toEqual(['empty', 'number'])
    expect(await fail(world, 'load', 'empty')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(await succeed(world, 'load', '-n', 'unicode')).toBe(world.values.unicode)
  })

  it('cuts a long note and a long policy for a terminal, the name last, and for nobody else', async () => {
    const world = await nativeWorld()
    const note = 'for the search server in the second rack, ask the people of the night shift'
    await withStdin(world, 'x', 'store', 'a_name_of_some_length', '--stdin', '--note', note)
    const cuts = async (): Promise<string> => (await succeed(world, 'list')).split('\n')[1] ?? ''
    world.env.NO_COLOR = '1'
    world.env.LANG = 'C.UTF-8'
    world.terminals.stdout = true
    expect((await cuts()).length).toBeLessThanOrEqual(80)
    expect(await cuts()).toMatch(/^a_name_of_some_length .* for the .*….* shift$/)
    await succeed(world, 'policy', 'set', 'a_name_of_some_length', '--on-rotate', '/usr/local/bin/reload-everything')
    expect((await cuts()).length).toBeLessThanOrEqual(81)
    expect(await cuts()).toMatch(/^a_name_of_some_length .* on-rot.*….* for the .*….*$/)
    world.terminals.stdout = false
    expect(await succeed(world, 'list')).toContain(`\ton-rotate /usr/local/bin/reload-everything\t${note}`)
    expect(await json(world, 'list')).toMatchObject([{ note }])
  })

  it('colours by stream and environment', async () => {
    const world = await nativeWorld()
    await store(world, 'a', 'x')
    const isColoured = async (env: Record<string, string>, ...flags: string[]): Promise<boolean> => {
      Object.assign(world.env, { NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: 'xterm' }, env)
      return (await succeed(world, 'list', ...flags)).includes(ESC)
    }
    expect(await isColoured({})).toBe(false)
    world.terminals.stdout = true
    expect(await isColoured({})).toBe(true)
    expect(await isColoured({ NO_COLOR: '1' })).toBe(false)
    expect(await isColoured({ NO_COLOR: '' })).toBe(true)
    expect(await isColoured({ TERM: 'dumb' })).toBe(false)
    expect(await isColoured({ TERM: 'dumb', FORCE_COLOR: '1' })).toBe(true)
    expect(await isColoured({ FORCE_COLOR: '0' })).toBe(false)
    expect(await isColoured({ FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false)
    expect(await isColoured({}, '--no-color')).toBe(false)
    expect(await isColoured({}, '--json')).toBe(false)
  })
})

describe('a name with control characters', () => {
  it.for([
    ['list', ['list']],
    ['list as JSON', ['list', '--json']],
    ['history', ['history', NASTY]],
    ['history as JSON', ['history', NASTY, '--json']],
    ['rotation-due', ['rotation-due', '--max-age', '0']],
    ['rotation-due as JSON', ['rotation-due', '--max-age', '0', '--json']],
    ['rotation-due for scripts', ['rotation-due', '--max-age', '0', '--format', 'names']],
    ['rotation-due for Prometheus', ['rotation-due', '--max-age', '0', '--format', 'prometheus']],
    ['rotation-due for Nagios', ['rotation-due', '--max-age', '0', '--format', 'nagios', '--exit-zero']],
    ['log show', ['log', 'show']],
    ['load as JSON', ['load', NASTY, '--json']],
  ] as const)('is made visible by %s, in a pipe and on a terminal', async ([, argv]) => {
    const world = await nastyWorld()
    world.env.NO_COLOR = '1'
    for (const isTerminal of [false, true]) {
      world.setTerminal(isTerminal)
      const printed = await succeed(world, ...argv)
      expectHarmless(printed)
      expectHarmless(world.stderr)
      if (argv[0] === 'history') continue
      const isJson = printed.startsWith('[') || printed.startsWith('{')
      expect(isJson ? JSON.stringify(JSON.parse(printed)) : printed).toContain(isJson ? JSON.stringify(NASTY) : '\\x1b')
    }
  })

  it('is made visible in errors, and can be loaded, rotated and removed', async () => {
    const world = await nastyWorld()
    expect(await succeed(world, 'load', NASTY)).toBe('value\n')
    for (const argv of [
      ['load', `${NASTY}y`],
      ['store', NASTY, '--generate'],
      ['history', `${NASTY}y`],
    ]) {
      for (const flags of [[], ['--json']]) {
        expect(await world.run(...argv, ...flags)).not.toBe(0)
        expectHarmless(world.stderr)
      }
    }
    await rotate(world, NASTY, 'other')
    expectHarmless(world.stderr)
    world.setTerminal(true)
    world.answers.push(true)
    await succeed(world, 'remove', NASTY)
    for (const question of world.questions) expectHarmless(question)
    expectHarmless(world.stderr)
  })

  it('and other strange members in a log are made visible, or ignored', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'name', 'value')
    const record = {
      credential: 'name',
      rotated_at: `${ESC}]52;c;x\u0007`,
      action: `${ESC}[1m`,
      reason: `\u202e${ESC}`,
      by: 5,
      version: {},
    }
    write(world, 'rotation_log.json', JSON.stringify([record]))
    for (const flags of [[], ['--json']]) {
      for (const argv of [['history', 'name'], ['log', 'show'], ['rotation-due', 'name'], ['list']]) {
        for (const isTerminal of [false, true]) {
          world.setTerminal(isTerminal)
          world.env.NO_COLOR = '1'
          expect([0, 6]).toContain(await world.run(...argv, ...flags))
          expectHarmless(world.stdout)
          expectHarmless(world.stderr)
        }
      }
    }
  })
})

describe('history', () => {
  it('lists what happened, newest first, and what is still kept', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    world.nowMs += DAY_MS
    await succeed(world, 'rotate', 'name', '--generate', '--reason', 'monthly')
    expect(await succeed(world, 'history', 'name')).toBe(
      '2026-11-23T12:00:00.000Z\trotated\t2\tcurrent\ttester@machine\tmonthly\n2026-11-22T12:00:00.000Z\tcreated\t1\tuntil 2026-11-30T12:00:00.000Z\ttester@machine\t\n',
    )
    expect(await json(world, 'history', 'name', '-n', '1')).toEqual([
      {
        rotated_at: '2026-11-23T12:00:00.000Z',
        action: 'rotated',
        version: 2,
        stage: 'current',
        until: null,
        by: 'tester@machine',
        reason: 'monthly',
        seq: 2,
        verified: true,
      },
    ])
    world.setTerminal(true)
    world.env.NO_COLOR = '1'
    expect(await succeed(world, 'history', 'name')).toMatch(
      /^WHEN +ACTION +VERSION +KEPT +BY +REASON\n0s ago +rotated +2 +current/,
    )
  })

  it('is exit 3 for a name that neither the vault nor the log knows', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await fail(world, 'history', 'nam')).toMatchObject({ status: 3, hints: ['did you mean "name"?'] })
    expect((await fail(world, 'history', 'name', '-n', '0')).status).toBe(2)
  })

  it('prints RFC 3339 for the naive times of a tutorial log, in the zone that is assumed', async () => {
    const world = tutorialWorld('python')
    const [line] = (await succeed(world, 'history', 'unicode', '--assume-tz', 'Asia/Kolkata')).split('\n')
    expect(line).toMatch(/^2026-11-22T14:13:21\.\d{3}Z\tcreated\t-\t-\t-\t$/)
    expect(await json(world, 'history', 'unicode')).toMatchObject([
      { version: null, stage: null, by: null, verified: false },
    ])
  })
})

describe('a vault that others can read', () => {
  it('is warned of when it is opened or somebody watches, and never refused', async () => {
    const world = tutorialWorld('python')
    const { chmodSync } = await import('node:fs')
    chmodSync(`${world.directory}/${VAULT}`, 0o644)
    await succeed(world, 'load', 'unicode')
    expect(world.stderr.match(/other users can read the vault/g)).toHaveLength(1)
    // cron mails whatever is printed.
    await succeed(world, 'list')
    expect(world.stderr).toBe('')
    world.setTerminal(true)
    await succeed(world, 'list')
    expect(world.stderr).toContain('other users can read the vault')
    chmodSync(`${world.directory}/${VAULT}`, 0o666)
    expect(await fail(world, 'list')).toMatchObject({ status: 4, code: 'UNSAFE' })
  })
})
