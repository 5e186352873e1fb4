import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { GlobalOptions } from '../../src/cli/flags.js'
import { openForWriting } from '../../src/cli/open-vault.js'
import { changeVault } from '../../src/vault/change.js'
import type { TestWorld } from '../support/context.js'
import { DAY_MS, emptyTutorialWorld, fail, json, nativeWorld, store, succeed, write } from '../cli/commands/support.js'
import { placePrograms } from './staged-support.js'

let world: TestWorld

beforeEach(async () => {
  world = await nativeWorld({ env: { PATH: process.env.PATH } })
  placePrograms(world.directory)
  await store(world, 'name', 'first')
})

const touch = (name: string): string => write(world, name, '')
const gone = (name: string): void => rmSync(join(world.directory, name))
const policy = (...flags: readonly string[]): Promise<string> => succeed(world, 'policy', 'set', 'name', ...flags)

describe('what stands in the way of a rotation', () => {
  test('is told by --dry-run as well, with the same exit code', async () => {
    await policy('--provider', 'command:./provider', '--on-rotate', './hook')
    touch('no-reload')
    await fail(world, 'rotate', 'name')
    const rehearsed = await fail(world, 'rotate', 'name', '--dry-run')
    expect(rehearsed).toEqual(await fail(world, 'rotate', 'name'))
    expect(rehearsed.status).toBe(8)
    const tutorial = await emptyTutorialWorld()
    await store(tutorial, 'name', 'first')
    expect((await fail(tutorial, 'rotate', 'name', '--dry-run', '--grace', '1d')).status).toBe(2)
  })

  test('is told by remove and rename with ways out that go, and the version that is live', async () => {
    await policy('--provider', 'command:./provider')
    touch('silent-create')
    await fail(world, 'rotate', 'name')
    for (const line of [
      ['remove', 'name', '--yes'],
      ['rename', 'name', 'other'],
    ]) {
      const failure = await fail(world, ...line)
      expect(failure).toMatchObject({ status: 7, code: 'LOCKED' })
      expect(failure.message).toContain('at the stage "create-unknown"; version 1 is live')
      expect(failure.hints).toEqual([expect.stringMatching(/--abort --confirmed-clean$/)])
    }
  })

  test('is a name that there is none of: --due is exit 3 with a suggestion', async () => {
    for (const flags of [[], ['--dry-run']]) {
      const failure = await fail(world, 'rotate', '--due', 'names', ...flags)
      expect(failure).toMatchObject({ status: 3, code: 'NOT_FOUND', hints: ['did you mean "name"?'] })
    }
  })

  test('is the day that a leak waits for, which is listed and not passed over', async () => {
    await policy('--provider', 'generate:20')
    await succeed(world, 'leaked', 'name')
    expect(await json(world, 'rotate', '--due')).toMatchObject({
      rotated: [],
      waiting: [{ name: 'name', reason: 'leak within a day of the last rotation' }],
    })
  })
})

describe('the end of an old value', () => {
  test('is for a person where the provider was given once, since nobody will be there to revoke it', async () => {
    const flags = ['--provider', 'command:./provider', '--grace', '1d']
    expect(await succeed(world, 'rotate', 'name', ...flags, '--dry-run')).toContain('version 1 after 1d; a person')
    await succeed(world, 'rotate', 'name', ...flags)
    world.nowMs += DAY_MS
    expect(await succeed(world, 'rotation-due')).toContain('old key not revoked')
    expect(await json(world, 'rotate', '--due')).toMatchObject({ waiting: [{ name: 'name' }], failed: [] })
  })

  test('that the provider refuses is told with the version that is live', async () => {
    await policy('--provider', 'command:./provider', '--grace', '1d')
    await succeed(world, 'rotate', 'name')
    touch('fail-revoke')
    world.nowMs += DAY_MS
    expect(await world.run('rotate', '--due')).toBe(8)
    expect(world.stderr).toContain(
      'cannot revoke version 1 of "name": the provider "provider" exited with status 4; version 2 is live',
    )
  })
})

describe('a rollback whose hook fails', () => {
  test('is gone on with, and not rolled back to the value that did not work', async () => {
    await policy('--provider', 'generate:20', '--on-rotate', './hook')
    await succeed(world, 'rotate', 'name')
    touch('no-reload')
    const failure = await fail(world, 'rollback', 'name')
    expect(failure.message).toContain('version 3 of "name" is live')
    expect(failure.hints).toEqual(['mcpvault rotate name --resume'])
  })
})

describe('a rotation of a machine that is no more', () => {
  /** Makes it look as if a process of another machine had it. */
  async function leaveElsewhere(): Promise<void> {
    const options: GlobalOptions = {
      ...{ acceptRestore: false, trustNewKey: false },
      ...{ json: false, quiet: false, input: false, color: false, debug: false },
    }
    const access = await openForWriting(options, world.context())
    await changeVault(access, 'rotate', ({ staged }) => {
      const found = staged.find('name')
      if (found === undefined) throw new Error('no rotation')
      staged.assign(found, { owner: { pid: 7, start: '11', boot: 'b', machine: 'f'.repeat(32), namespace: 'n' } })
    })
  }

  test('behind the promotion is taken over by --resume on the word of the user, and is stuck after a day', async () => {
    await policy('--provider', 'generate:20', '--on-rotate', './hook')
    touch('no-reload')
    await fail(world, 'rotate', 'name')
    await leaveElsewhere()
    gone('no-reload')
    expect(await world.run('rotation-due')).toBe(1)
    for (const mode of [
      ['rotate', 'name'],
      ['rotate', 'name', '--resume'],
      ['rollback', 'name'],
    ]) {
      const failure = await fail(world, ...mode)
      expect(failure).toMatchObject({ status: 7, code: 'LOCKED' })
      expect(failure.message).toContain('version 2 is live')
      expect(failure.hints).toEqual([expect.stringMatching(/rotate name --resume --confirmed-clean$/)])
    }
    expect((await fail(world, 'rotate', 'name', '--abort', '--confirmed-clean')).hints).toEqual([
      'mcpvault rotate name --resume --confirmed-clean',
    ])
    world.nowMs += DAY_MS
    expect(await succeed(world, 'rotation-due')).toContain('stuck rotation')
    expect(await world.run('rotate', '--due')).toBe(8)
    expect(world.stderr).toContain('rotate name --resume --confirmed-clean')
    await world.run('doctor', '--json')
    expect(world.stdout).toContain('rotate name --resume --confirmed-clean')
    await succeed(world, 'rotate', 'name', '--resume', '--confirmed-clean')
    expect(await world.run('rotation-due')).toBe(1)
  })

  test('before it is taken over by --abort', async () => {
    await policy('--provider', 'command:./provider')
    touch('silent-create')
    await fail(world, 'rotate', 'name')
    await leaveElsewhere()
    expect((await fail(world, 'rotate', 'name')).hints.join()).toContain('--abort --confirmed-clean')
    expect((await fail(world, 'rotate', 'name', '--resume', '--confirmed-clean')).status).toBe(8)
    await succeed(world, 'rotate', 'name', '--abort', '--confirmed-clean')
  })
})
