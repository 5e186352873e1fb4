import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openBackup } from '../../src/backup/read-backup.js'
import { restoreBackup } from '../../src/backup/restore.js'
import { openVault } from '../../src/vault/open.js'
import { DAY_MS, expectCode, rawKey, VaultWorld } from '../vault/vault-support.js'
import { BackupWorld, FILES, HOST } from './backup-support.js'

const [VAULT, LOG, TOKENS] = FILES
const WHOLE = { problems: [], gaps: [], anchored: true, torn: false }

describe('a backup put back into an empty place', () => {
  it.each(['native', 'tutorial'] as const)('is laid down byte for byte (%s), tokens and all', async (format) => {
    const made = await BackupWorld.create(format)
    const token = await made.token()
    const files = FILES.map((name) => made.read(name))
    const directory = await made.backup()
    made.remove(...FILES)
    const restored = await made.restore(directory, { mayReplace: false })
    expect(restored).toMatchObject({ keptIn: undefined, since: [], revokedTokens: 0 })
    expect(FILES.map((name) => made.read(name))).toEqual(files)
    expect([made.world.text('a'), made.allows(token)]).toEqual(['a1', true])
    await made.world.rotate('a', 'a2')
    expect(made.world.report()).toMatchObject({ problems: [], gaps: [] })
    expect(made.world.warnings).toEqual([])
  })

  it('on a fresh machine leaves marks, as any vault does', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    made.remove(...FILES.slice(0, 2))
    made.forgetMarks()
    expect(await made.restore(directory)).toMatchObject({ generation: 3 })
    expect(made.world.store().marks.read(made.world.open().id ?? '')).toMatchObject({ vault: { gen: 3 } })
    expect(made.world.report()).toMatchObject(WHOLE)
  })

  it('where this machine has seen more goes on above that, and says so in the log', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    for (const value of ['a2', 'a3']) await made.world.rotate('a', value)
    made.remove(VAULT, LOG)
    expect(await made.restore(directory)).toMatchObject({ generation: 6, since: [] })
    expect(made.world.text('a')).toBe('a1')
    expect(made.world.history()).toEqual(['created a', 'created b', 'restored -'])
    expect(made.world.records()[2]?.reason).toBe('backup of 2026-11-22T12:00:00.000Z; generation 3 goes on as 6')
    expect(made.world.report()).toMatchObject(WHOLE)
    await made.world.rotate('a', 'a4')
    expect(made.world.warnings).toEqual([])
  })

  it('brings back what its vault had committed and its log not got', async () => {
    const made = await BackupWorld.create()
    // As a kill between vault and log leaves it.
    const text = made.read(LOG).toString()
    writeFileSync(made.path(LOG), `${text.split('\n').slice(0, 2).join('\n')}\n]\n`)
    const torn = await made.backup()
    await made.restore(torn)
    expect(made.world.history()).toEqual(['created a', 'created b', 'restored -'])
    expect(made.world.report()).toMatchObject(WHOLE)
    made.remove(VAULT, LOG)
    made.forgetMarks()
    await made.restore(torn)
    await made.world.rotate('b', 'b2')
    const gone = await made.restore(torn)
    expect(gone.since).toMatchObject([{ action: 'rotated', credential: 'b' }])
    expect(made.world.history()).toEqual(['created a', 'created b', 'rotated b', 'restored -'])
    expect(made.world.report()).toMatchObject(WHOLE)
  })

  it('refuses a log that belongs to another vault', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    const other = await BackupWorld.create()
    other.remove(VAULT)
    const opened = await made.withBackup(directory, (backup) =>
      expectCode('EXISTS', () =>
        restoreBackup(
          { ...other.world.access(), key: made.world.key },
          openBackup(backup, made.world.key, other.world.store()),
          { keepIn: other.path('kept'), mayReplace: true, host: HOST },
        ),
      ),
    )
    expect(opened.message).toBe(
      `cannot restore: the rotation log "${other.path(LOG)}" belongs to another vault than the backup`,
    )
    expect([existsSync(other.path(VAULT)), existsSync(other.path('kept'))]).toEqual([false, false])
  })
})

describe('a backup put back over a vault', () => {
  it('goes on one above the highest generation, keeps the log, and names what was rotated since', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    made.world.nowMs += DAY_MS
    await made.world.rotate('a', 'a2')
    await made.world.put('c', 'c1')
    const before = FILES.slice(0, 2).map((name) => made.read(name))
    const restored = await made.restore(directory)
    expect(restored).toMatchObject({ generation: 6, keptIn: made.path('kept-2') })
    expect(restored.since.map(({ action, credential }) => `${action} ${credential}`)).toEqual([
      'created c',
      'rotated a',
    ])
    expect(made.world.warnings).toEqual([
      'since this copy was made: "c" created at 2026-11-23T12:00:00.000Z',
      'since this copy was made: "a" rotated at 2026-11-23T12:00:00.000Z',
    ])
    expect(made.world.open().names()).toEqual(['a', 'b'])
    expect(made.world.text('a')).toBe('a1')
    expect(made.world.history()).toEqual(['created a', 'created b', 'rotated a', 'created c', 'restored -'])
    expect(made.world.report()).toMatchObject(WHOLE)
    expect(made.list(made.path('kept-2'))).toEqual([VAULT, LOG, 'manifest.json'].sort())
    expect(FILES.slice(0, 2).map((name) => made.read(join('kept-2', name)))).toEqual(before)
    await made.world.rotate('a', 'a3')
    expect(made.world.report()).toMatchObject(WHOLE)
  })

  it('can be undone: what was kept is a backup, too', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    const { keptIn } = await made.restore(directory)
    expect(await made.restore(keptIn ?? '')).toMatchObject({ generation: 6 })
    expect([made.world.text('a'), made.world.text('a', 'previous')]).toEqual(['a2', 'a1'])
    expect(made.world.history().slice(-2)).toEqual(['restored -', 'restored -'])
    expect(made.world.report()).toMatchObject(WHOLE)
  })

  it('is asked for first: without leave nothing is touched', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    const before = made.list(made.world.directory)
    await expectCode('EXISTS', () => made.restore(directory, { mayReplace: false }))
    expect(made.list(made.world.directory)).toEqual(before)
    expect(made.world.text('a')).toBe('a2')
  })

  it('replaces one that is damaged, and leaves its .bak alone', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    const bak = made.world.read('.bak')
    made.world.write('{"half":')
    expect(await made.restore(directory)).toMatchObject({ generation: 5 })
    expect(made.world.text('a')).toBe('a1')
    expect(made.world.read('.bak').equals(bak)).toBe(true)
    expect(made.read(join('kept-2', VAULT)).toString()).toBe('{"half":')
    expect(made.world.report()).toMatchObject(WHOLE)
    // What could not be read is kept, and cannot be put back.
    await expectCode('DAMAGED', () => made.restore(made.path('kept-2')))
  })

  it('replaces a damaged log by its own, and goes on behind it', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    writeFileSync(made.path(LOG), 'no log at all')
    await made.restore(directory)
    expect(made.world.history()).toEqual(['created a', 'created b', 'restored -'])
    expect(made.world.report()).toMatchObject(WHOLE)
  })

  it('takes its own log where the one in place is older, or gone', async () => {
    for (const isGone of [false, true]) {
      const made = await BackupWorld.create()
      const early = await made.backup()
      await made.world.rotate('b', 'b2')
      await made.world.rotate('a', 'a2')
      const late = await made.backup()
      // As somebody leaves it who copies an old set over the new one.
      for (const name of [VAULT, LOG]) writeFileSync(made.path(name), readFileSync(join(early, name)))
      if (isGone) made.remove(LOG)
      expect(await made.restore(late)).toMatchObject({ generation: 6 })
      expect(made.world.history()).toEqual(['created a', 'created b', 'rotated b', 'rotated a', 'restored -'])
      expect([made.world.text('a'), made.world.report()]).toMatchObject(['a2', WHOLE])
    }
  })

  it('from a fork keeps the log in place and gives the fork’s own records a new place', async () => {
    const made = await BackupWorld.create()
    const base = await made.backup()
    await made.world.rotate('a', 'a-here')
    const fork = await made.backup()
    made.remove(VAULT, LOG)
    made.forgetMarks()
    await made.restore(base)
    await made.world.rotate('b', 'b-there')
    await made.world.rotate('b', 'b-there-again')
    made.forgetMarks()
    await made.restore(fork)
    expect(made.world.text('a')).toBe('a-here')
    expect(made.world.history().slice(-3)).toEqual(['rotated b', 'rotated a', 'restored -'])
    expect(made.world.report().anchored).toBe(true)
    expect(made.world.report().problems).toEqual([])
  })

  it('is refused where another vault is, or one in another format', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    const others = [await BackupWorld.create(), await BackupWorld.create('tutorial')]
    for (const other of others) {
      const before = other.list(other.world.directory)
      await made.withBackup(directory, (backup) => {
        const access = { ...other.world.access(), key: made.world.key }
        const options = { keepIn: other.path('kept'), mayReplace: true, host: HOST }
        return expectCode('EXISTS', () =>
          restoreBackup(access, openBackup(backup, made.world.key, access.store), options),
        )
      })
      expect(other.list(other.world.directory)).toEqual(before)
    }
  })

  it('is refused when this machine knows the vault under another data key', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    const id = made.world.open().id ?? ''
    made.world.store().marks.raise(id, (mark) => ({ ...mark, vault: { gen: 9, mac: 'm', commit: 'other' } }))
    const before = made.list(made.world.directory)
    await expectCode('UNSAFE', () => made.restore(directory))
    expect(made.list(made.world.directory)).toEqual(before)
  })

  it('takes no generation from a vault that the key does not prove', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    made.world.write(made.read(VAULT).toString().replace('"gen":3', '"gen":9007199254740990'))
    expect(await made.restore(directory)).toMatchObject({ generation: 4 })
  })

  it('starts again when another program writes meanwhile, and keeps what it wrote', async () => {
    const made = await BackupWorld.create('tutorial')
    const directory = await made.backup()
    const text = made.read(VAULT).toString()
    let meddled = 0
    const access = made.world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (name === 'vault' && meddled++ === 0) writeFileSync(made.path(VAULT), text.replace('"a"', '"z"'))
        return real.replace(name, bytes, options)
      },
    }))
    await made.withBackup(directory, (backup) =>
      restoreBackup(access, openBackup(backup, made.world.key, access.store), {
        keepIn: made.path('kept'),
        mayReplace: true,
        host: HOST,
      }),
    )
    expect(meddled).toBe(2)
    expect(made.world.open().names()).toEqual(['a', 'b'])
    expect(made.read(join('kept', VAULT)).toString()).toContain('"z"')
  })
})

describe('a tutorial backup put back', () => {
  it('lets each value’s age come back with it', async () => {
    const made = await BackupWorld.create('tutorial')
    const directory = await made.backup()
    made.world.nowMs += 40 * DAY_MS
    await made.world.rotate('a', 'a2')
    await made.world.put('c', 'c1')
    const restored = await made.restore(directory)
    expect(restored.since.map(({ action, credential }) => `${action} ${credential}`)).toEqual([
      'created c',
      'rotated a',
    ])
    expect(made.world.text('a')).toBe('a1')
    const ofA = made.world.records().filter(({ credential }) => credential === 'a')
    expect(ofA.at(-1)).toMatchObject({ action: 'rotated', rotated_at: '2026-11-22T12:00:00.000000' })
    expect(made.world.records().at(-1)).toMatchObject({ credential: null, action: 'restored' })
    expect(made.world.report()).toMatchObject({ problems: [], gaps: [] })
  })
})

describe('token records', () => {
  it('in place are kept where they go on from the backup’s: what was revoked stays revoked', async () => {
    for (const format of ['native', 'tutorial'] as const) {
      const made = await BackupWorld.create(format)
      const revoked = await made.token()
      const kept = await made.token()
      const directory = await made.backup()
      await made.revoke(revoked)
      const later = await made.token()
      const before = made.read(TOKENS)
      await made.world.rotate('a', 'a2')
      expect(await made.restore(directory)).toMatchObject({ revokedTokens: 0 })
      expect(made.read(TOKENS).equals(before)).toBe(true)
      expect([revoked, kept, later].map((token) => made.allows(token))).toEqual([false, true, true])
    }
  })

  it('of the backup are taken where there are none; if this machine has seen more, all are revoked', async () => {
    const made = await BackupWorld.create()
    const token = await made.token()
    const directory = await made.backup()
    made.remove(TOKENS)
    await made.restore(directory)
    expect(made.allows(token)).toBe(true)
    await made.revoke(token)
    made.remove(TOKENS)
    expect(await made.restore(directory)).toMatchObject({ revokedTokens: 1 })
    expect(made.allows(token)).toBe(false)
    expect(made.allows(await made.token())).toBe(true)
  })

  it('that are damaged are replaced, and every token revoked', async () => {
    const made = await BackupWorld.create()
    const token = await made.token()
    const directory = await made.backup()
    writeFileSync(made.path(TOKENS), made.read(TOKENS).toString().replace('"seq":1', '"seq":2'))
    expect(await made.restore(directory)).toMatchObject({ revokedTokens: 1 })
    expect(made.allows(token)).toBe(false)
  })

  it('that are older than the backup’s are replaced, and tokens stay valid', async () => {
    const made = await BackupWorld.create()
    const early = made.read.bind(made, TOKENS)
    const first = await made.token()
    const old = early()
    const second = await made.token()
    const directory = await made.backup()
    writeFileSync(made.path(TOKENS), old)
    expect(await made.restore(directory)).toMatchObject({ revokedTokens: 0 })
    expect([first, second].map((token) => made.allows(token))).toEqual([true, true])
  })

  it('that neither continue the backup’s nor are continued by them are all revoked', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    const first = await made.token()
    const fork = await made.backup()
    made.remove(TOKENS)
    made.forgetMarks()
    const second = await made.token()
    expect(await made.restore(fork)).toMatchObject({ revokedTokens: 1 })
    expect([first, second].map((token) => made.allows(token))).toEqual([false, false])
    expect(made.list(directory)).not.toContain(TOKENS)
  })

  it('that are nowhere any more leave a machine that can make new ones', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.token()
    made.remove(TOKENS)
    await made.restore(directory)
    expect(made.allows(await made.token())).toBe(true)
  })

  it('that were damaged when they were backed up are left out, with a warning', async () => {
    const made = await BackupWorld.create()
    await made.token()
    const whole = made.read(TOKENS)
    writeFileSync(made.path(TOKENS), 'nothing\n')
    const directory = await made.backup()
    writeFileSync(made.path(TOKENS), whole)
    await made.restore(directory)
    expect(made.world.warnings).toContain('the token records in the backup are damaged and were not put back')
    expect(made.read(TOKENS).equals(whole)).toBe(true)
  })
})

describe('a backup that is not whole', () => {
  it('is refused with the file named, whichever byte of it is changed or cut off; nothing is touched', async () => {
    const made = await BackupWorld.create()
    await made.token()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    const before = made.list(made.world.directory)
    let refused = 0
    for (const name of [...FILES, 'manifest.json']) {
      const path = join(directory, name)
      const bytes = readFileSync(path)
      for (let at = 0; at < bytes.length; at += name === 'manifest.json' ? 1 : 7) {
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] ?? 0) ^ 1
        for (const content of [flipped, bytes.subarray(0, at)]) {
          writeFileSync(path, content)
          expect((await expectCode('DAMAGED', () => made.restore(directory))).message).toContain(`"${name}"`)
          refused++
        }
      }
      made.remove(join('backup-1', name))
      const missing = await expectCode(name === 'manifest.json' ? 'NOT_FOUND' : 'DAMAGED', () =>
        made.restore(directory),
      )
      expect(missing.message).toContain(`"${name}"`)
      writeFileSync(path, bytes, { mode: 0o600 })
    }
    expect(refused).toBeGreaterThan(1000)
    expect(made.list(made.world.directory)).toEqual(before)
    await made.restore(directory)
  })

  it('is refused when its manifest was made to fit: the key finds that out', async () => {
    const { formatManifest, parseManifest } = await import('../../src/backup/manifest.js')
    const made = await BackupWorld.create()
    const directory = await made.backup()
    const manifest = parseManifest(readFileSync(join(directory, 'manifest.json')))
    for (const forged of [{ gen: 9 }, { seq: 9 }, { vault_id: 'AAAA' }, { format: 'tutorial' as const }]) {
      writeFileSync(join(directory, 'manifest.json'), formatManifest({ ...manifest, ...forged }))
      expect((await expectCode('DAMAGED', () => made.restore(directory))).message).toContain('"manifest.json"')
    }
    const { sha256 } = await import('../../src/crypto/kdf.js')
    const vault = Buffer.from(readFileSync(join(directory, VAULT)))
    vault[vault.length - 100] = (vault[vault.length - 100] ?? 0) ^ 1
    writeFileSync(join(directory, VAULT), vault)
    const sum = { size: vault.length, sha256: sha256(vault).toString('hex') }
    writeFileSync(
      join(directory, 'manifest.json'),
      formatManifest({ ...manifest, files: { ...manifest.files, vault: sum } }),
    )
    expect((await expectCode('DAMAGED', () => made.restore(directory))).message).toContain(`"${VAULT}"`)
  })

  it('needs its own key', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.withBackup(directory, async (backup) => {
      const failure = await expectCode('WRONG_KEY', () => openBackup(backup, rawKey(), made.world.store()))
      expect(failure.message).toContain(`the vault in the backup "${directory}"`)
    })
  })

  it('is no vault to be used by mistake: this machine knows that it is old', async () => {
    const made = await BackupWorld.create()
    const directory = await made.backup()
    await made.world.rotate('a', 'a2')
    const copy = new VaultWorld({ directory, key: made.world.key })
    copy.stateDirectory = made.world.stateDirectory
    await expectCode('RESTORED', () => openVault(copy.access()))
  })
})
