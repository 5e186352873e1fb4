import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DAY_MS, nativeWorld, rotate, store, succeed, write } from '../cli/commands/support.js'
import { linesOf, placePrograms } from '../rotation/staged-support.js'
import { findingsIn, idsIn } from './doctor-support.js'

describe('doctor on rotations', () => {
  it('names one that was interrupted, with the way out as what mends it', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    expect(await world.run('rotate', 'name', '--generate', '--on-rotate', '/bin/false')).toBe(8)
    expect(await findingsIn(world)).toMatchObject([
      { id: 'rotation-stuck', severity: 'error', mend: 'mcpvault rotate name --resume' },
    ])
    expect(await world.run('rotate', 'name', '--resume', '--on-rotate', '/bin/true')).toBe(0)
    expect(await findingsIn(world)).toEqual([])
  })

  it('asks for the word that an old key was revoked, once its grace is over', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'first')
    await rotate(world, 'name', 'second')
    expect(await findingsIn(world)).toEqual([])
    world.nowMs += 7 * DAY_MS
    expect(await findingsIn(world)).toMatchObject([
      { id: 'revoke-unconfirmed', severity: 'warning', mend: 'mcpvault rotate name --retired' },
    ])
    await succeed(world, 'rotate', 'name', '--retired')
    expect(await findingsIn(world)).toEqual([])
  })

  it('shows a revocation that failed until the next run has done it', async () => {
    const world = await nativeWorld({ env: { PATH: process.env.PATH } })
    placePrograms(world.directory)
    await store(world, 'name', 'first')
    await succeed(world, 'policy', 'set', 'name', '--provider', 'command:./provider', '--grace', '0')
    await succeed(world, 'rotate', 'name')
    write(world, 'fail-revoke', '')
    expect(await world.run('rotate', '--due')).toBe(8)
    const [failed] = (await findingsIn(world)).filter(({ id }) => id === 'revoke-failed')
    expect(failed?.what).toContain('the provider did not revoke version 1 of "name"')
    expect(failed?.mend).toBe('mcpvault rotate --due')
    expect(linesOf(world.directory, 'calls')).toEqual(['create', 'revoke'])
    rmSync(join(world.directory, 'fail-revoke'))
    await succeed(world, 'rotate', '--due')
    expect(await idsIn(world)).not.toContain('warning revoke-failed')
  })
})
