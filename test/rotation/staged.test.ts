import { rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { TestWorld } from '../support/context.js'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  nativeWorld,
  read,
  store,
  succeed,
  VAULT,
  withStdin,
  write,
} from '../cli/commands/support.js'
import { linesOf, placePrograms } from './staged-support.js'

let world: TestWorld

beforeEach(async () => {
  world = await nativeWorld({ env: { PATH: process.env.PATH } })
  placePrograms(world.directory)
  await store(world, 'name', 'first')
})

const lines = (name: string): readonly string[] => linesOf(world.directory, name)
const touch = (name: string): string => write(world, name, '')
const gone = (name: string): void => rmSync(join(world.directory, name))
/** Makes the provider say of itself that it honours idempotency keys. */
const declareIdempotent = (): string => write(world, 'answers', ',"idempotent":true')
const policy = (...flags: readonly string[]): Promise<string> => succeed(world, 'policy', 'set', 'name', ...flags)
const load = (...flags: readonly string[]): Promise<string> => succeed(world, 'load', 'name', ...flags)
const actions = async (): Promise<readonly unknown[]> =>
  (await json<readonly { readonly action: string }[]>(world, 'history', 'name')).map(({ action }) => action)

describe('a rotation of which the value is at hand', () => {
  const generation = (): number => Number(/"gen":(\d+)/.exec(read(world, VAULT))?.[1])

  test('is one commit where nothing is to be tried, targets and all', async () => {
    await policy('--on-rotate', './hook')
    const before = generation()
    await succeed(world, 'rotate', 'name', '--generate')
    // The hook that was run is a commit of its own: what follows a rotation stays in the journal until it is done.
    expect(generation()).toBe(before + 2)
    await succeed(world, 'policy', 'clear', 'name')
    write(world, 'value', 'from a file')
    const cleared = generation()
    await succeed(world, 'rotate', 'name', '--from-file', join(world.directory, 'value'))
    expect(generation()).toBe(cleared + 1)
    expect(await load()).toBe('from a file\n')
    expect(lines('reloads')).toEqual(['reload'])
  })

  test('is journaled first where it is to be tried, or waited for', async () => {
    const before = generation()
    await succeed(world, 'rotate', 'name', '--generate', '--verify', 'command:./probe')
    expect(generation()).toBe(before + 3)
    await withStdin(world, 'typed', 'rotate', 'name', '--stdin')
    expect(generation()).toBe(before + 5)
  })
})

describe('a rotation by a provider', () => {
  test('makes one key, tries it, puts it where it must be, and revokes the old one by its handle when it is time', async () => {
    write(world, 'config.json', '{\n  // the key\n  "env": { "KEY": "first" }\n}\n')
    await policy('--provider', 'command:./provider', '--verify', 'command:./probe', '--grace', '1d')
    await policy('--target', 'json:config.json#/env/KEY', '--on-rotate', './hook')
    await succeed(world, 'rotate', 'name')
    const value = (await load()).trim()
    expect(value).toMatch(/^sk_[0-9a-f]{32}$/)
    expect(lines('probed')).toEqual([value])
    expect(read(world, 'config.json')).toBe(`{\n  // the key\n  "env": { "KEY": "${value}" }\n}\n`)
    expect(lines('reloads')).toEqual(['reload'])
    expect(await load('--version', 'previous')).toBe('first\n')
    const { stderr } = world
    expect(stderr).not.toContain(value)

    await succeed(world, 'rotate', 'name', '--reason', 'again')
    expect(lines('made')).toHaveLength(2)
    // The older previous version, which nobody had a handle of, was revoked first.
    expect(lines('calls')).toEqual(['create', 'create', 'revoke'])
    world.nowMs += DAY_MS
    const first = value.replace('sk_', 'h-')
    expect(await json(world, 'rotate', '--due')).toMatchObject({ retired: [{ name: 'name', version: 2 }], failed: [] })
    expect(lines('revoked')).toEqual([first])
    expect(await actions()).toEqual(['retired', 'rotated', 'retired', 'rotated', 'created'])
  })

  test('says what it does, a line a step, and how it ended', async () => {
    await policy('--provider', 'command:./provider', '--verify', 'command:./probe', '--on-rotate', './hook')
    await succeed(world, 'rotate', 'name')
    expect(world.stderr.split('\n')).toEqual([
      'obtain: asking the provider for a new value of "name"',
      'verify: trying the new value of "name"',
      'targets: running the hook of "name"',
      'rotated "name" to version 2; version 1 stays loadable until 2026-11-29T12:00Z',
      '',
    ])
  })

  test('whose new key does not work leaves the old one live, wipes and revokes the new one, and is exit 8', async () => {
    await policy('--provider', 'command:./provider', '--verify', 'command:./probe')
    touch('refuse')
    const failure = await fail(world, 'rotate', 'name')
    expect(failure).toMatchObject({ status: 8, code: 'ROTATION' })
    expect(failure.message).toContain('version 1 is live, and the new value was wiped')
    expect(await load()).toBe('first\n')
    expect(read(world, 'mcp_credentials.enc')).not.toContain('"stage":"pending"')
    expect(lines('revoked')).toEqual([`h-${lines('made')[0]}`])
    expect(await actions()).toEqual(['aborted', 'created'])
    gone('refuse')
    await succeed(world, 'rotate', 'name')
    expect(await load('--version', 'previous')).toBe('first\n')
  })

  test('that says no has made nothing: the next rotation begins anew', async () => {
    await policy('--provider', 'command:./provider')
    touch('fail-create')
    const failure = await fail(world, 'rotate', 'name')
    expect(failure.message).toMatch(/exited with status 3; version 1 is live$/)
    expect(await actions()).toEqual(['aborted', 'created'])
    gone('fail-create')
    await succeed(world, 'rotate', 'name')
    expect(world.stderr).toContain('not verified')
  })

  test('that gives half an answer is asked for the same key again, once it has said that it honours the id', async () => {
    declareIdempotent()
    await policy('--provider', 'command:./provider')
    await succeed(world, 'rotate', 'name')
    touch('silent-create')
    const failure = await fail(world, 'rotate', 'name')
    expect(failure.message).toContain('version 2 is live')
    expect(failure.hints).toEqual(['mcpvault rotate name --resume', 'mcpvault rotate name --abort'])
    // Whatever is run next says so and names the way out.
    expect(await fail(world, 'rotate', 'name')).toMatchObject({ status: 8, hints: failure.hints })
    expect(await succeed(world, 'rotation-due')).toBe('name\t0d\t30d\tstuck rotation\n')
    expect(await json(world, 'list')).toMatchObject([{ name: 'name', due: true }])
    expect(await world.run('rotate', '--due')).toBe(8)
    gone('silent-create')
    await succeed(world, 'rotate', 'name', '--resume')
    expect(lines('calls')).toEqual(['create', 'create', 'create', 'revoke'])
    expect(lines('made')).toHaveLength(2)
    expect((await load()).trim()).toBe(`sk_${lines('made')[1]}`)
  })

  test('that never said so may have made a key that nobody has: it is not asked again before a person has looked', async () => {
    await policy('--provider', 'command:./provider')
    touch('silent-create')
    const failure = await fail(world, 'rotate', 'name')
    expect(failure.hints[0]).toContain('mcpvault rotate name --abort --confirmed-clean')
    const refused = await fail(world, 'rotate', 'name', '--resume')
    expect(refused).toMatchObject({ status: 8, code: 'ROTATION' })
    expect(refused.message).toContain('create-unknown')
    expect(await fail(world, 'rotate', 'name', '--abort')).toMatchObject({ status: 8 })
    expect(lines('made')).toHaveLength(1)
    await succeed(world, 'rotate', 'name', '--abort', '--confirmed-clean')
    expect(world.stderr).toBe('aborted the rotation of "name"; version 1 is live\n')
    gone('silent-create')
    await succeed(world, 'rotate', 'name')
    expect(lines('made')).toHaveLength(2)
  })

  test('that lies, and answers with an old key, is refused, and nothing is revoked', async () => {
    await policy('--provider', 'command:./provider')
    await succeed(world, 'rotate', 'name')
    const [made = ''] = lines('made')
    write(world, 'liar', `#!/bin/sh\nprintf '{"value":"first"}'\n`, 0o755)
    const failure = await fail(world, 'rotate', 'name', '--provider', 'command:./liar')
    expect(failure).toMatchObject({ status: 8, code: 'ROTATION' })
    expect(failure.message).toBe(
      'cannot use what the provider answered for "name": the new value is that of version 1; version 2 is live',
    )
    expect(failure.hints.join()).not.toContain('rollback')
    expect((await load()).trim()).toBe(`sk_${made}`)
    expect(lines('revoked')).toEqual([])
    expect(await world.run('rotation-due', 'name')).toBe(1)
  })

  test('whose old key cannot be revoked is tried again by the next run, and everything else goes on', async () => {
    await policy('--provider', 'command:./provider', '--grace', '1d')
    await succeed(world, 'rotate', 'name')
    await succeed(world, 'rotate', 'name')
    touch('fail-revoke')
    world.nowMs += DAY_MS
    expect(await world.run('rotate', '--due')).toBe(8)
    expect(world.stderr).toContain('cannot revoke version 2 of "name"')
    // A second rotation is not kept from happening, and forgets no handle.
    await succeed(world, 'rotate', 'name')
    expect(world.stderr).toContain('version 2 of "name" may still work at the provider')
    gone('fail-revoke')
    world.nowMs += DAY_MS
    await succeed(world, 'rotate', '--due')
    const [first, second] = lines('made')
    expect(lines('revoked').toSorted()).toEqual([`h-${first}`, `h-${second}`].toSorted())
    expect((await json<readonly unknown[]>(world, 'history', 'name')).length).toBeGreaterThan(5)
  })
})

describe('after the promotion', () => {
  test('a hook that fails takes nothing back: exit 8 says what is live, and --resume runs it again', async () => {
    write(world, '.env', 'A=1\nKEY=first # the key\n')
    await policy('--provider', 'generate:32', '--target', 'env:.env#KEY', '--on-rotate', './hook')
    touch('no-reload')
    const failure = await fail(world, 'rotate', 'name')
    expect(failure).toMatchObject({ status: 8, code: 'ROTATION' })
    expect(failure.message).toContain('version 2 of "name" is live, but not all is done')
    expect(failure.hints).toEqual(['mcpvault rotate name --resume', 'mcpvault rollback name'])
    const value = (await load()).trim()
    expect(read(world, '.env')).toContain(`KEY=${value}`)
    expect(await succeed(world, 'rotation-due')).toContain('stuck rotation')
    expect(await fail(world, 'rotate', 'name', '--abort')).toMatchObject({
      status: 8,
      hints: failure.hints.toReversed(),
    })
    gone('no-reload')
    await succeed(world, 'rotate', 'name', '--resume')
    expect(world.stderr).toContain('finished the rotation of "name"; version 2 is live')
    expect(lines('reloads')).toHaveLength(2)
    expect(await world.run('rotation-due')).toBe(1)
    expect(await fail(world, 'rotate', 'name', '--resume')).toMatchObject({ status: 3 })
  })

  test('rollback is the way back, and brings the old value to where it must be', async () => {
    write(world, '.env', 'KEY=first\n')
    await policy('--target', 'env:.env#KEY', '--on-rotate', './hook')
    touch('no-reload')
    world.stdin = 'second'
    await world.run('rotate', 'name', '--stdin')
    expect(read(world, '.env')).toBe('KEY=second\n')
    gone('no-reload')
    await succeed(world, 'rollback', 'name')
    expect(read(world, '.env')).toBe('KEY=first\n')
    expect(lines('reloads')).toHaveLength(2)
    expect(await world.run('rotation-due')).toBe(1)
  })
})

describe('a rotation by a person', () => {
  test('is tried with a probe as well, and a value that does not work changes nothing', async () => {
    touch('refuse')
    world.stdin = 'second'
    const failure = await fail(world, 'rotate', 'name', '--stdin', '--verify', 'command:./probe')
    expect(failure.message).toContain('version 1 is live, and the new value was wiped')
    expect(lines('probed')).toEqual(['second'])
    expect(await load()).toBe('first\n')
  })

  test('keeps the old value until somebody says that it was revoked, and is asked for that when its grace is over', async () => {
    await withStdin(world, 'second', 'rotate', 'name', '--stdin', '--grace', '2d')
    world.nowMs += 2 * DAY_MS - 1
    expect(await world.run('rotation-due')).toBe(1)
    world.nowMs += 1
    expect(await succeed(world, 'rotation-due')).toBe('name\t2d\t30d\told key not revoked\n')
    expect(await succeed(world, 'rotation-due', '--json')).toContain('"due_at":"2026-11-24T12:00:00.000Z"')
    await store(world, 'other', 'so that something is written')
    expect(await json(world, 'rotate', '--due')).toEqual({
      rotated: [],
      retired: [],
      waiting: [{ name: 'name', reason: 'old key not revoked' }],
      failed: [],
    })
    await succeed(world, 'rotate', 'name', '--retired', '--reason', 'deleted in the console')
    expect(world.stderr).toBe('retired version 1 of "name"; version 2 is live\n')
    expect(await world.run('rotation-due')).toBe(1)
    expect(await fail(world, 'rotate', 'name', '--retired')).toMatchObject({ status: 3 })
    expect(await json(world, 'history', 'name')).toMatchObject([
      { action: 'retired', version: 1, reason: 'deleted in the console' },
      { action: 'rotated' },
      { action: 'created' },
    ])
  })

  test('that is given up at the question leaves no trace', async () => {
    world.setTerminal(true)
    expect(await world.run('rotate', 'name')).toBe(130)
    world.setTerminal(false)
    expect(await actions()).toEqual(['created'])
    expect(read(world, 'mcp_credentials.enc')).toContain('"journal":[]')
    expect(await world.run('rotation-due')).toBe(1)
  })
})

describe('rotate --due', () => {
  test('rotates by age and a first leak, retires, lists what waits, goes on after a failure', async () => {
    for (const name of ['aged', 'broken', 'leaky', 'person']) await store(world, name, `${name} value`)
    await succeed(world, 'policy', 'set', 'aged', '--provider', 'generate:20')
    await succeed(world, 'policy', 'set', 'broken', '--provider', 'command:./missing')
    await succeed(world, 'policy', 'set', 'leaky', '--provider', 'generate:20', '--max-age', '90d')
    expect(await json(world, 'rotate', '--due')).toEqual({ rotated: [], retired: [], waiting: [], failed: [] })
    await succeed(world, 'leaked', 'leaky')
    world.nowMs += 3_600_000
    // Made an hour ago: whoever leaks it again and again must not make a timer rotate for ever.
    expect(await json(world, 'rotate', '--due')).toMatchObject({ rotated: [], failed: [] })
    world.nowMs += 30 * DAY_MS
    expect(await json(world, 'rotate', '--due', '--dry-run')).toEqual([
      { name: 'aged', does: 'rotate', what: 'age' },
      { name: 'broken', does: 'rotate', what: 'age' },
      { name: 'leaky', does: 'rotate', what: 'leak' },
      { name: 'name', does: 'wait', what: 'age' },
      { name: 'person', does: 'wait', what: 'age' },
    ])
    const status = await world.run('rotate', '--due', '--json')
    const report = JSON.parse(world.stdout)
    expect(status).toBe(8)
    expect(report.rotated).toMatchObject([
      { name: 'aged', version: 2 },
      { name: 'leaky', version: 2 },
    ])
    expect(report.waiting).toMatchObject([{ name: 'name' }, { name: 'person' }])
    expect(report.failed).toMatchObject([{ name: 'broken', code: 'ROTATION' }])
    expect(report.failed[0].message).toContain('version 1 is live')
    await succeed(world, 'leaked', 'leaky')
    world.nowMs += 7 * DAY_MS
    expect(await world.run('rotate', '--due', 'aged', '--json')).toBe(0)
    expect(JSON.parse(world.stdout)).toMatchObject({ rotated: [], retired: [{ name: 'aged', version: 1 }] })
  })

  test('reports a clock that is wrong, with exit 8', async () => {
    world.nowMs -= DAY_MS
    expect(await world.run('rotate', '--due')).toBe(8)
    expect(world.stderr).toContain('clock skew')
  })
})

describe('rotate --dry-run', () => {
  test('says every step and takes none', async () => {
    await policy('--provider', 'command:./provider', '--verify', 'command:./probe', '--on-rotate', './hook')
    const before = read(world, 'mcp_credentials.enc')
    expect(await succeed(world, 'rotate', 'name', '--dry-run', '--grace', '1d')).toBe(
      [
        'journal\tversion 2 is announced; version 1 stays live',
        'obtain\tfrom command:./provider',
        'verify\twith command:./probe',
        'promote\tversion 2 is live; version 1 stays loadable for 1d',
        'hook\t./hook',
        'retire\tversion 1 after 1d; the provider revokes it',
        '',
      ].join('\n'),
    )
    expect(read(world, 'mcp_credentials.enc')).toBe(before)
    expect(lines('calls')).toEqual([])
  })
})

describe('in the tutorial format', () => {
  test('the steps come by flags; a value that does not work changes nothing, and is logged', async () => {
    world = await emptyTutorialWorld({ env: { PATH: process.env.PATH } })
    placePrograms(world.directory)
    await store(world, 'name', 'first')
    write(world, '.env', 'KEY=first\n')
    const flags = ['--provider', 'command:./provider', '--verify', 'command:./probe', '--target', 'env:.env#KEY']
    await succeed(world, 'rotate', 'name', ...flags, '--on-rotate', './hook')
    const [made] = lines('made')
    expect(await load()).toBe(`sk_${made}\n`)
    expect(read(world, '.env')).toBe(`KEY=sk_${made}\n`)
    expect(world.stderr).toBe('')
    touch('refuse')
    const failure = await fail(world, 'rotate', 'name', ...flags)
    expect(failure.message).toContain('the previous value is live')
    expect(await load()).toBe(`sk_${made}\n`)
    expect(await actions()).toEqual(['aborted', 'rotated', 'created'])
    expect(lines('revoked')).toHaveLength(1)
    world.nowMs += 31 * DAY_MS
    gone('refuse')
    expect(await json(world, 'rotate', '--due', ...flags)).toMatchObject({
      rotated: [{ name: 'name', verified: true }],
    })
  })
})

test('in the tutorial format the files that keep what was before are named as they are, also behind a link', async () => {
  world = await emptyTutorialWorld()
  await store(world, 'name', 'first')
  symlinkSync(join(world.directory, 'mcp_credentials.enc'), join(world.directory, 'link.enc'))
  await succeed(world, 'rotate', 'name', '--generate', '--vault', 'link.enc')
  const backup = /survives only in "(.*)"/.exec(world.stderr)?.[1] ?? ''
  expect(backup).toMatch(/mcp_credentials\.enc\.bak$/)
  expect(await succeed(world, 'load', 'name', '--vault', backup)).toBe('first\n')
  const { previous } = await json<{ readonly previous: string }>(world, 'upgrade', '--vault', 'link.enc')
  expect(previous).toMatch(/mcp_credentials\.enc\.tutorial\.bak$/)
})

test('the tutorial format keeps no version that could be retired, and says so', async () => {
  world = await emptyTutorialWorld()
  await store(world, 'name', 'first')
  const refused = await fail(world, 'rotate', 'name', '--retired')
  expect(refused).toMatchObject({ status: 2, code: 'INPUT', hints: expect.arrayContaining(['mcpvault upgrade']) })
  expect(refused.message).toBe('cannot retire anything of "name": the tutorial format keeps no versions')
})

test.each([
  [['--resume', '--abort', 'name']],
  [['--due', '--stdin']],
  [['--abort', 'name', '--provider', 'manual']],
  [['name', '--confirmed-clean']],
  [['name', '--stdin', '--provider', 'manual']],
  [['--retired']],
  [[]],
  [['name', '--provider', 'nobody']],
  [['other', '--create', '--generate', '--verify', 'scavio']],
  [['name', '--retired', '--dry-run']],
] as const)('rotate %j is a usage error, before anything is done', async ([...argv]) => {
  const before = read(world, 'mcp_credentials.enc')
  expect(await fail(world, 'rotate', ...argv)).toMatchObject({ status: 2, code: 'USAGE' })
  expect(read(world, 'mcp_credentials.enc')).toBe(before)
})
