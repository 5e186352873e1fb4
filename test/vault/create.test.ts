import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConflictError } from '../../src/storage/store.js'
import { createVault } from '../../src/vault/create.js'
import { expectCode, VaultWorld } from './vault-support.js'

const RECORD = '{"credential":"other","rotated_at":"2026-11-22T12:00:00.000Z","action":"created"}'

describe('a new vault', () => {
  it.each(['native', 'tutorial'] as const)(
    '(%s) is private, and so is the directory that is made for it',
    async (format) => {
      const world = new VaultWorld()
      const inner = new VaultWorld({ key: world.key, directory: `${world.directory}/data/mcpvault` })
      await createVault(inner.access(), format)
      expect(statSync(inner.path('vault')).mode & 0o777).toBe(0o600)
      expect(statSync(inner.directory).mode & 0o777).toBe(0o700)
      expect(inner.open().format).toBe(format)
      expect(inner.open().names()).toEqual([])
    },
  )

  it.each(['native', 'tutorial'] as const)('(%s) is not made over a file that appears meanwhile', async (format) => {
    const world = new VaultWorld()
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        world.write('{}')
        return real.replace(name, bytes, options)
      },
    }))
    await expectCode('EXISTS', () => createVault(access, format))
    expect(world.read().toString()).toBe('{}')
  })

  it('is not made where files keep appearing and going', async () => {
    const world = new VaultWorld()
    const access = world.meddled(() => ({
      replace: () => {
        throw new ConflictError('again')
      },
    }))
    await expectCode('LOCKED', () => createVault(access, 'native'))
  })
})

describe('a new native vault beside what belongs to another', () => {
  it('is refused when the rotation log has records', async () => {
    const world = new VaultWorld()
    const log = world.path('log')
    for (const text of [`[\n${RECORD}\n]\n`, `[${RECORD}]`]) {
      writeFileSync(log, text)
      const failure = await expectCode('EXISTS', () => createVault(world.access(), 'native'))
      expect(failure.message).toBe(`cannot make a vault: the rotation log "${log}" belongs to another one`)
      expect(failure.hints).toEqual([
        'make the vault in a directory of its own, or add --log FILE to every command',
        `if its vault is gone: mv -i ${log} ${log}.old`,
      ])
      expect(existsSync(world.path('vault'))).toBe(false)
      expect(readFileSync(log, 'utf8')).toBe(text)
    }
  })

  it('is refused when there are token records', async () => {
    const world = new VaultWorld()
    writeFileSync(world.path('tokens'), '{"mcpvault_tokens":1}\n', { mode: 0o600 })
    const failure = await expectCode('EXISTS', () => createVault(world.access(), 'native'))
    expect(failure.message).toContain(`the token records "${world.path('tokens')}" belong to another one`)
    expect(existsSync(world.path('vault'))).toBe(false)
  })

  it('is refused when another native vault lies there, even one without any record', async () => {
    const other = await VaultWorld.create()
    const path = join(other.directory, 'zzz.enc')
    renameSync(other.path('vault'), path)
    for (const format of ['native', 'tutorial'] as const) {
      const failure = await expectCode('EXISTS', () => createVault(other.access(), format))
      expect(failure.message).toBe(`cannot make a vault: "${path}" is another one in the same directory`)
    }
    // The control: what is kept of the vault itself under its name is none.
    renameSync(path, other.path('vault', '.bak'))
    await createVault(other.access(), 'native')
  })

  it('is refused when the log is damaged, since nobody knows whose it is', async () => {
    const world = new VaultWorld()
    writeFileSync(world.path('log'), 'not a log')
    await expectCode('DAMAGED', () => createVault(world.access(), 'native'))
    expect(existsSync(world.path('vault'))).toBe(false)
  })

  it('is made when they are empty', async () => {
    const world = new VaultWorld()
    writeFileSync(world.path('log'), '[\n]\n')
    writeFileSync(world.path('tokens'), '', { mode: 0o600 })
    await createVault(world.access(), 'native')
    await world.put('a', 'x')
    expect(world.history()).toEqual(['created a'])
  })

  it('is a case of its own: a tutorial vault goes on with the log that its program has', async () => {
    const world = new VaultWorld()
    writeFileSync(world.path('log'), `[\n${RECORD}\n]\n`)
    await createVault(world.access(), 'tutorial')
    await world.put('a', 'x')
    expect(world.history()).toEqual(['created other', 'created a'])
  })

  it('and a tutorial vault is refused like it beside token records, or a log that mcpvault has written', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'x')
    rmSync(world.path('vault'))
    const failure = await expectCode('EXISTS', () => createVault(world.access(), 'tutorial'))
    expect(failure.message).toContain('belongs to another one')
    rmSync(world.path('log'))
    writeFileSync(world.path('tokens'), '{"mcpvault_tokens":1}\n', { mode: 0o600 })
    await expectCode('EXISTS', () => createVault(world.access(), 'tutorial'))
    expect(existsSync(world.path('vault'))).toBe(false)
    rmSync(world.path('tokens'))
    await createVault(world.access(), 'tutorial')
  })
})
