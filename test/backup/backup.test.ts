import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBackup } from '../../src/backup/backup.js'
import { formatManifest, parseManifest } from '../../src/backup/manifest.js'
import { openBackup } from '../../src/backup/read-backup.js'
import { VaultError } from '../../src/errors.js'
import { verifyLog } from '../../src/log/verify.js'
import type { RawKey } from '../../src/vault/key.js'
import { NativeVault } from '../../src/vault/native-vault.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { expectCode, rawKey, VaultWorld } from '../vault/vault-support.js'
import { BackupWorld, FILES, HOST } from './backup-support.js'

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}

describe('a backup', () => {
  it('is a new private directory with the three files as they are and a manifest of them', async () => {
    const made = await BackupWorld.create()
    await made.token()
    const directory = await made.backup()
    expect(made.list(directory)).toEqual([...FILES, 'manifest.json'].sort())
    expect(modeOf(directory)).toBe(0o700)
    for (const name of made.list(directory)) expect(modeOf(join(directory, name)), name).toBe(0o600)
    const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'))
    expect(manifest).toMatchObject({
      mcpvault_backup: 1,
      created: '2026-11-22T12:00:00.000Z',
      format: 'native',
      vault_id: made.world.open().id,
      gen: 3,
      seq: 2,
    })
    for (const [name, file] of [
      ['vault', FILES[0]],
      ['log', FILES[1]],
      ['tokens', FILES[2]],
    ] as const) {
      const bytes = readFileSync(join(directory, file))
      expect(bytes.equals(made.read(file)), name).toBe(true)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      expect(manifest.files[name]).toEqual({ name: file, size: bytes.length, sha256 })
    }
    const { sha256, ...rest } = manifest
    expect(createHash('sha256').update(JSON.stringify(rest)).digest('hex')).toBe(sha256)
  })

  it('needs no key, changes nothing, and holds what there is', async () => {
    const made = new BackupWorld(await VaultWorld.create())
    const before = made.read(FILES[0])
    const access = made.world.access({ key: undefined })
    const manifest = await createBackup(access, { directory: made.path('b'), host: HOST })
    expect(manifest.files).toMatchObject({ log: null, tokens: null })
    expect(made.list(made.path('b'))).toEqual([FILES[0], 'manifest.json'].sort())
    expect(made.read(FILES[0]).equals(before)).toBe(true)
    expect(existsSync(made.path(`${FILES[0]}.lock`))).toBe(false)
  })

  it('of a tutorial vault says so', async () => {
    const made = await BackupWorld.create('tutorial')
    await made.token()
    const directory = await made.backup()
    const manifest = parseManifest(readFileSync(join(directory, 'manifest.json')))
    expect(manifest).toMatchObject({ format: 'tutorial', vault_id: null, gen: null, seq: 2 })
    await made.withBackup(directory, (backup) => {
      expect(openBackup(backup, made.world.key, made.world.store())).toMatchObject({ values: 2, warnings: [] })
    })
  })

  it('never goes where something is', async () => {
    const made = await BackupWorld.create()
    mkdirSync(made.path('empty'))
    writeFileSync(made.path('file'), 'mine')
    for (const name of ['empty', 'file', '.']) {
      await expectCode('EXISTS', () => made.backup(name))
    }
    expect(made.list(made.path('empty'))).toEqual([])
    expect(made.read('file').toString()).toBe('mine')
  })

  it('of nothing, or of what is no vault, leaves nothing', async () => {
    const made = new BackupWorld(new VaultWorld({ key: rawKey() }))
    await expectCode('NOT_FOUND', () => made.backup('b'))
    made.world.write('not a vault')
    await expectCode('DAMAGED', () => made.backup('b'))
    expect(existsSync(made.path('b'))).toBe(false)
  })

  it('starts again when a program that takes no lock writes in the middle of it', async () => {
    const made = await BackupWorld.create('tutorial')
    await made.token()
    const text = made.read(FILES[1]).toString()
    let meddled = 0
    const access = made.world.meddled((real) => ({
      open: (name) => {
        if (name === 'tokens' && meddled++ === 1) {
          writeFileSync(
            made.path(FILES[1]),
            text.replace(/\]\n$/, ',{"credential":"a","rotated_at":"2026-11-23T00:00:00","action":"rotated"}\n]\n'),
          )
        }
        return real.open(name)
      },
    }))
    await createBackup(access, { directory: made.path('b'), host: HOST })
    expect(meddled).toBeGreaterThan(2)
    expect(made.read(join('b', FILES[1])).equals(made.read(FILES[1]))).toBe(true)
    await made.withBackup(made.path('b'), (backup) => {
      expect(openBackup(backup, made.world.key, made.world.store()).warnings).toEqual([])
    })
  })

  it('that cannot be finished is taken away again', async () => {
    const made = await BackupWorld.create()
    let opened = 0
    const access = made.world.meddled((real) => ({
      open: (name) => {
        if (name === 'tokens' && ++opened === 2) throw new VaultError('IO', 'the disk is gone')
        return real.open(name)
      },
    }))
    await expectCode('IO', () => createBackup(access, { directory: made.path('b'), host: HOST }))
    expect(opened).toBe(2)
    expect(existsSync(made.path('b'))).toBe(false)
  })
})

describe('a backup beside a writer', () => {
  let child: Bundle
  beforeAll(async () => {
    child = await bundleScript(new URL('../vault/killed-child.ts', import.meta.url))
  })
  afterAll(() => child.remove())

  it('is one moment of the set, whichever: the vault’s word holds the log', async () => {
    const made = await BackupWorld.create()
    const key = (made.world.key as RawKey).bytes.reveal().toString('base64url')
    let isDone = false
    const writing = new Promise<void>((resolve, reject) => {
      execFile(process.execPath, [child.path, made.world.directory, key, 'rotate-often', 'nowhere'], (error) =>
        error ? reject(error) : resolve(),
      )
    }).finally(() => {
      isDone = true
    })
    const gens = new Set<number>()
    while (!isDone) {
      const directory = await made.backup()
      await made.withBackup(directory, (backup) => {
        const { vault, warnings } = openBackup(backup, made.world.key, made.world.store())
        expect(warnings).toEqual([])
        if (!(vault instanceof NativeVault)) throw new Error('it is native')
        expect(verifyLog(backup.log, vault.logAnchor)).toMatchObject({
          problems: [],
          gaps: [],
          anchored: true,
          torn: false,
        })
        gens.add(vault.parts.header.gen)
      })
      rmSync(directory, { recursive: true })
      await new Promise((resolve) => setImmediate(resolve))
    }
    await writing
    expect(gens.size).toBeGreaterThan(1)
  })
})

describe('a manifest', () => {
  it('is read only as it was written, byte for byte', async () => {
    const made = await BackupWorld.create()
    const bytes = readFileSync(join(await made.backup(), 'manifest.json'))
    expect(formatManifest(parseManifest(bytes)).equals(bytes)).toBe(true)
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 0x20, 0x80]) {
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] ?? 0) ^ bit
        await expectCode('DAMAGED', () => parseManifest(flipped))
      }
      await expectCode('DAMAGED', () => parseManifest(bytes.subarray(0, at)))
    }
    for (const odd of ['', '{}', 'null', '[]', '{"mcpvault_backup":2}']) {
      await expectCode('DAMAGED', () => parseManifest(Buffer.from(odd)))
    }
  })
})
