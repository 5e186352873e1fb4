import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { DAY_MS, json, nativeWorld, store, succeed, write } from '../cli/commands/support.js'
import type { TestWorld } from '../support/context.js'
import { linesOf } from './staged-support.js'

let world: TestWorld

/** A provider that makes the keys NAME-1, NAME-2, … and writes down whatever else it is asked. */
function placeProvider(name: string, { hasHandles }: { readonly hasHandles: boolean }): string {
  const handle = hasHandles ? `,"handle":"handle-of-${name}-'"$n"'"` : ''
  const text = `#!/bin/sh
IFS= read -r request
case $request in
*'"step":"create"'*)
  echo >> ${name}-made
  n=$(wc -l < ${name}-made | tr -d ' ')
  echo '{"value":"key-of-${name}-'"$n"'"${handle}}' ;;
*)
  printf '%s\\n' "$request" >> ${name}-revoked
  echo '{}' ;;
esac
`
  write(world, name, text, 0o700)
  return `command:./${name}`
}

interface Revoked {
  readonly version: number
  readonly revoked: string
  readonly handle?: string
}

const revokedBy = (name: string): readonly Revoked[] =>
  linesOf(world.directory, `${name}-revoked`).map((line) => JSON.parse(line) as Revoked)
const policy = (...flags: readonly string[]): Promise<string> => succeed(world, 'policy', 'set', 'name', ...flags)

beforeEach(async () => {
  world = await nativeWorld({ env: { PATH: process.env.PATH } })
  await store(world, 'name', 'first')
})

describe('a key that a provider has made is revoked by that provider', () => {
  test('also when the next value is made up here for once, and it gave no handle', async () => {
    await policy('--provider', placeProvider('a', { hasHandles: false }), '--grace', '1d')
    await succeed(world, 'rotate', 'name')
    expect(await json(world, 'rotate', 'name', '--generate', '--dry-run')).toMatchObject({
      steps: expect.arrayContaining([
        expect.objectContaining({ what: expect.stringContaining('version 2 after 1d; the provider revokes it') }),
      ]),
    })
    await succeed(world, 'rotate', 'name', '--generate')
    world.nowMs += DAY_MS
    // Whoever writes next must not make it forgotten.
    await succeed(world, 'policy', 'set', 'name', '--max-age', '30d')
    await succeed(world, 'rotate', '--due')
    expect(revokedBy('a')).toMatchObject([{ version: 1 }, { version: 2, revoked: 'key-of-a-1' }])
  })

  test('also when the policy names another one by then, which is asked for nothing', async () => {
    await policy('--provider', placeProvider('a', { hasHandles: true }), '--grace', '1d')
    await succeed(world, 'rotate', 'name')
    await policy('--provider', placeProvider('b', { hasHandles: true }))
    await succeed(world, 'rotate', 'name')
    world.nowMs += DAY_MS
    await succeed(world, 'rotate', '--due')
    expect(revokedBy('a')).toMatchObject([{ version: 1 }, { version: 2, handle: 'handle-of-a-1' }])
    expect(revokedBy('b')).toEqual([])
  })

  test('also when it was named for a single rotation, and the key has come back by a rollback', async () => {
    await succeed(world, 'rotate', 'name', '--provider', placeProvider('a', { hasHandles: true }))
    await succeed(world, 'rotate', 'name', '--generate')
    await succeed(world, 'rollback', 'name')
    await succeed(world, 'rotate', 'name', '--generate', '--grace', '0s')
    await succeed(world, 'rotate', '--due')
    expect(revokedBy('a')).toMatchObject([{ version: 4, handle: 'handle-of-a-1', revoked: 'key-of-a-1' }])
  })

  test('and where that one is gone the way out is named: a person revokes it, and says so', async () => {
    await policy('--provider', placeProvider('a', { hasHandles: true }), '--grace', '0s')
    await succeed(world, 'rotate', 'name')
    await policy('--provider', placeProvider('b', { hasHandles: true }))
    await succeed(world, 'rotate', 'name')
    rmSync(join(world.directory, 'a'))
    expect(await world.run('doctor', '--as-cron')).toBe(4)
    expect(world.stdout).toContain('the provider of version 2 of "name" is "./a"')
    expect(await world.run('rotate', '--due')).toBe(8)
    expect(world.stderr).toContain('mcpvault rotate name --retired')
    await succeed(world, 'rotate', 'name', '--retired')
    await succeed(world, 'rotate', '--due')
    expect(revokedBy('b')).toEqual([])
  })
})

test('a key of a person that the provider of the policy has replaced is revoked by that one, whatever comes next', async () => {
  await policy('--provider', placeProvider('a', { hasHandles: false }), '--grace', '1d')
  await succeed(world, 'rotate', 'name')
  await policy('--provider', placeProvider('b', { hasHandles: false }))
  world.nowMs += DAY_MS
  await succeed(world, 'rotate', '--due')
  expect(revokedBy('a')).toMatchObject([{ version: 1, revoked: 'first' }])
  expect(revokedBy('b')).toEqual([])
})
