import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tryLock } from '../../../src/storage/lock.js'
import { ownerRecord } from '../../storage/storage-support.js'
import { findingsIn } from '../../doctor/doctor-support.js'
import { fail, nativeWorld, store, succeed, VAULT } from './support.js'

async function lockedWorld() {
  const world = await nativeWorld()
  const path = join(world.directory, `${VAULT}.lock`)
  const { host, randomBytes, now } = world.context()
  return { world, path, take: () => tryLock(path, { command: 'rotate', host, randomBytes, now }) }
}

describe('doctor --break-lock', () => {
  it('never breaks the lock of a process that runs here without asking a person', async () => {
    const { world, path, take } = await lockedWorld()
    const held = take()
    expect(await fail(world, 'doctor', '--break-lock', '--yes')).toMatchObject({ status: 7, code: 'LOCKED' })
    world.setTerminal(true)
    expect(await fail(world, 'doctor', '--break-lock', '--yes', '--no-input')).toMatchObject({ status: 7 })
    world.answers.push(false)
    expect(await world.run('doctor', '--break-lock', '--yes')).toBe(130)
    held?.assertHeld()
    world.answers.push(true)
    expect(await world.run('doctor', '--break-lock', '--yes')).toBe(0)
    expect(world.questions.at(-1)).toMatch(
      /^Break the lock ".*" of "rotate" \(process \d+\) since .*, which is running/,
    )
    expect(existsSync(path)).toBe(false)
    expect(() => held?.assertHeld()).toThrow(/taken away/)
  })

  it('breaks the lock of a process that is gone with --yes, and says whose it was', async () => {
    const { world, path } = await lockedWorld()
    const child = spawn('sleep', ['60'])
    const pid = child.pid ?? 0
    child.kill('SIGKILL')
    await new Promise((resolve) => child.on('exit', resolve))
    writeFileSync(path, ownerRecord({ pid, start: '1' }), { mode: 0o600 })
    expect((await findingsIn(world)).map(({ id }) => id)).toEqual(['lock-stale'])
    expect(await fail(world, 'doctor', '--break-lock')).toMatchObject({ code: 'USAGE', hints: ['add --yes'] })
    await succeed(world, 'doctor', '--break-lock', '--yes')
    expect(world.stderr).toContain(`of "rotate" (process ${pid})`)
    expect(await findingsIn(world)).toEqual([])
    await store(world, 'a_key', 'value')
  })

  it('tells a lock that is held from one that hangs', async () => {
    const { world, take } = await lockedWorld()
    world.nowMs = Date.now()
    const held = take()
    expect(await findingsIn(world)).toMatchObject([{ id: 'lock-held', severity: 'note' }])
    world.nowMs += 31_000
    expect(await findingsIn(world)).toMatchObject([{ id: 'lock-hanging', severity: 'warning' }])
    held?.release()
  })

  it('also breaks the lock of the mark, which nothing else would show', async () => {
    const { world } = await lockedWorld()
    const { vault_id: id } = JSON.parse(
      (await import('node:fs')).readFileSync(join(world.directory, VAULT), 'utf8'),
    )[1] as { vault_id: string }
    const path = join(world.directory, '.local/state/mcpvault', `${id}.json.lock`)
    writeFileSync(path, 'odd', { mode: 0o600 })
    expect(await findingsIn(world)).toMatchObject([{ id: 'lock-unreadable' }])
    await succeed(world, 'doctor', '--break-lock', '--yes')
    expect(await findingsIn(world)).toEqual([])
  })
})

describe('doctor on a terminal', () => {
  it('colours the severity, wraps what it found to the width, and leaves the command whole', async () => {
    const world = await nativeWorld()
    world.setTerminal(true)
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await world.run('doctor')).toBe(0)
    const plain = world.stdout.replace(/\u001b\[\d+m/g, '')
    expect(plain.split('\n').slice(0, 3)).toEqual([
      'note     no key was at hand, and here none is asked for or fetched by a program:',
      '         values, the seal over the vault and the token records were not checked',
      '         $ mcpvault key check',
    ])
    expect(world.stdout).toContain('\u001b[2mnote')
    expect(await world.run('doctor', '--no-color')).toBe(0)
    expect(world.stdout).toBe(plain)
  })

  it('says when there is nothing to mend', async () => {
    const world = await nativeWorld()
    world.setTerminal(true)
    expect(await world.run('doctor')).toBe(0)
    expect(world.stdout).toBe('')
    expect(world.stderr).toMatch(/^examined ".*" \(native format, with the key\): nothing to mend\n$/)
  })
})
