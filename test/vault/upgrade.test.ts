import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readDates } from '../../src/rotation/ages.js'
import type { Reader } from '../../src/storage/store.js'
import { parseTimestamp } from '../../src/timestamp.js'
import { createToken, revokeTokens, type TokenAccess } from '../../src/tokens/change.js'
import { parseHeader } from '../../src/tokens/record-line.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { exportVault } from '../../src/vault/export.js'
import { formatRawKey, parseRawKey, type RawKey } from '../../src/vault/key.js'
import { upgradeVault } from '../../src/vault/upgrade.js'
import type { VaultAccess } from '../../src/vault/vault.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { readNativeVault } from './independent-reader.js'
import { expectCode, passphraseKey, rawKey, START_MS, VaultWorld } from './vault-support.js'

interface Expected {
  readonly MCP_ENCRYPTION_KEY: string
  readonly values: Readonly<Record<string, string>>
}

describe.each([
  ['python', 'fernet'],
  ['node', 'aes-256-gcm'],
] as const)('upgrading what the %s tutorial wrote', (program, codec) => {
  it('keeps every value, and the old file under another name', async () => {
    const { world, expected } = fixtureWorld(program)
    const before = world.read()
    const names = Object.keys(expected.values)
    expect(await upgrade(world.access())).toBe(names.length)
    expect(world.open().format).toBe('native')
    for (const [name, value] of Object.entries(expected.values)) expect(world.text(name), name).toBe(value)
    expect(world.open().names()).toHaveLength(names.length)
    expect(world.read('.tutorial.bak').equals(before)).toBe(true)
    const read = readNativeVault(world.read(), { raw: (world.key as RawKey).bytes.reveal() })
    expect(read.entries.get('ключ')?.versions[0]?.value.toString()).toBe('unicode name')
    expect(read.count).toBe(names.length)
  })

  it('and exporting again gives a file with the same values, in the tutorial’s codec', async () => {
    const { world, expected } = fixtureWorld(program)
    await upgrade(world.access())
    const back = new VaultWorld({ key: world.key })
    back.write(exportVault(world.open(), codec, world.access()))
    const vault = back.open()
    expect([...vault.names()].sort()).toEqual(Object.keys(expected.values).sort())
    for (const [name, value] of Object.entries(expected.values)) {
      expect(vault.describe(name)?.codec).toBe(codec)
      expect(back.text(name)).toBe(value)
    }
    expect(JSON.parse(exportVault(world.open(), 'json', world.access()))).toEqual(expected.values)
  })

  it('leaves odd names that can be read and rotated, and no more be made', async () => {
    const { world } = fixtureWorld(program)
    await upgrade(world.access())
    await world.rotate('ключ', 'rotated')
    expect(world.text('ключ')).toBe('rotated')
    await world.remove('with space')
    await expectCode('INPUT', () => world.put('with space', 'x'))
  })
})

describe('an upgrade', () => {
  it('takes the dates of the values from the log, and goes on with it', async () => {
    const { world } = fixtureWorld('python')
    world.zone = 'Europe/Berlin'
    const foreign = world.records()
    const rotated = foreign.findLast((record) => record.credential === 'scavio_api_key')
    await upgrade(world.access())
    const since = world.open().describe('scavio_api_key')?.versions[0]?.sinceMs
    expect(since).toBe(parseTimestamp(rotated?.rotated_at, 'Europe/Berlin')?.epochMs)
    expect(world.records().slice(0, -1)).toEqual(foreign)
    expect(world.records().at(-1)).toMatchObject({
      credential: null,
      action: 'imported',
      count: 10,
      seq: 1,
      rotated_at: '2026-11-22T12:00:00.000Z',
    })
    await world.put('new', 'x')
    expect(world.report()).toMatchObject({ records: foreign.length + 2, sealed: 2, problems: [], anchored: true })
  })

  it('leaves a date out that nobody knows', async () => {
    const { world } = fixtureWorld('node')
    await upgrade(world.access())
    expect(world.open().describe('scavio_api_key')?.versions[0]?.sinceMs).toBeUndefined()
    expect(world.history()).toEqual(['imported -'])
    await world.rotate('scavio_api_key', 'x')
    expect(world.open().describe('scavio_api_key')?.versions[0]?.sinceMs).toBe(START_MS)
  })

  it('goes on with the numbers of a log that others have written behind ours', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'x')
    await world.put('b', 'x')
    const theirs = { credential: 'c', rotated_at: '2026-11-22T12:00:01.000001', action: 'rotated' }
    writeFileSync(world.path('log'), JSON.stringify([...world.records(), theirs], null, 2))
    await upgrade(world.access())
    expect(world.records().at(-1)).toMatchObject({ action: 'imported', seq: 3 })
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
  })

  it('never overwrites an older .tutorial.bak', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    writeFileSync(world.path('vault', '.tutorial.bak'), 'precious')
    await expectCode('EXISTS', () => upgrade(world.access()))
    expect(world.read().equals(before)).toBe(true)
    expect(world.read('.tutorial.bak').toString()).toBe('precious')
  })

  it('of a native vault is refused', async () => {
    const world = await VaultWorld.create()
    const before = world.read()
    const failure = await expectCode('INPUT', () => upgrade(world.access()))
    expect(failure.message).toContain('native format already')
    expect(world.read().equals(before)).toBe(true)
  })

  it.each([
    ['a damaged value', 'DAMAGED', (good: string) => ({ a: good, b: 'not a value' })],
    ['a name that is half of a surrogate pair', 'INPUT', (good: string) => ({ '\ud800': good })],
    ['a name of over 256 bytes', 'INPUT', (good: string) => ({ ['ж'.repeat(129)]: good })],
  ] as const)('with %s changes nothing', async (_what, code, content) => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('good', 'x')
    const { good } = JSON.parse(world.read().toString()) as { readonly good: string }
    world.write(JSON.stringify(content(good)))
    const before = world.read()
    await expectCode(code, () => upgrade(world.access()))
    expect(world.read().equals(before)).toBe(true)
    expect(world.has('.tutorial.bak')).toBe(false)
    expect(world.history()).toEqual(['created good'])
  })

  it('with more credentials than the native format holds changes nothing', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    const names = Array.from({ length: 100_001 }, (_, index) => [`n${index}`, ''])
    world.write(JSON.stringify(Object.fromEntries(names)))
    const failure = await expectCode('INPUT', () => upgrade(world.access()))
    expect(failure.message).toContain('more than 100,000 credentials')
  })

  it('with a key that does not fit, or none, changes nothing', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    await expectCode('WRONG_KEY', () => upgrade(world.access({ key: rawKey() })))
    await expectCode('WRONG_KEY', () => upgrade(world.access({ key: passphraseKey('x') })))
    await expectCode('NO_KEY', () => upgrade(world.access({ key: undefined })))
    expect(world.read().equals(before)).toBe(true)
    expect(world.has('.tutorial.bak')).toBe(false)
  })

  it('starts again when a program writes meanwhile, and takes its value along', async () => {
    const { world } = fixtureWorld('node')
    const added = readFileSync('test/fixtures/tutorial-node/mcp_credentials.enc', 'utf8').replace(
      '"scavio_api_key"',
      '"added_meanwhile"',
    )
    let replaces = 0
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (name === 'vault' && replaces++ === 0) world.write(added)
        return real.replace(name, bytes, options)
      },
    }))
    await upgrade(access)
    expect(world.open().names()).toContain('added_meanwhile')
    expect(world.read('.tutorial.bak').toString()).toBe(added)
  })

  it('whose record does not reach the log is DURABILITY, and the next change replays it', async () => {
    const { world } = fixtureWorld('node')
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) => {
        if (name === 'log') throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
        return real.replace(name, bytes, options)
      },
    }))
    const failure = await expectCode('DURABILITY', () => upgrade(access))
    expect(failure.message).toContain('the change stands')
    expect([world.open().format, world.history()]).toEqual(['native', []])
    await world.put('new', 'x')
    expect(world.history()).toEqual(['imported -', 'created new'])
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
  })

  it('is called off when the disk gives back a vault with other values', async () => {
    const { world } = fixtureWorld('node')
    const before = world.read()
    const other = await VaultWorld.create({ key: world.key })
    for (const name of world
      .open()
      .names()
      .filter((each) => /^\w+$/.test(each)))
      await other.put(name, 'other')
    const access = world.meddled((real) => ({
      replace: (name, bytes, options) =>
        real.replace(name, bytes, { ...options, verify: () => options.verify(other.read()) }),
    }))
    await expectCode('IO', () => upgrade(access))
    expect(world.read().equals(before)).toBe(true)
    expect([world.has('.tutorial.bak'), world.history()]).toEqual([false, []])
  })

  it('keeps tokens valid that were made before, and lets them be revoked', async () => {
    const { world } = fixtureWorld('python')
    const made = await createToken(tokenAccess(world), { tools: ['web_search'] })
    await upgrade(world.access())
    const records = TokenRecords.open(world.store(), world.open())
    expect(records.live(START_MS).map(({ id }) => id)).toEqual([made.record.id])
    const request = { method: 'tools', tool: 'web_search' } as const
    expect(verifyToken(made.token, request, { records, nowMs: START_MS }).allowed).toBe(true)
    records.close()
    const more = await createToken(tokenAccess(world), { tools: ['web_search'] })
    await revokeTokens(tokenAccess(world), { names: [made.token] })
    const later = TokenRecords.open(world.store(), world.open())
    expect(later.live(START_MS).map(({ id }) => id)).toEqual([more.record.id])
    later.close()
  })

  it('is refused beside another native vault, whose log and token records it would share', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    const other = await VaultWorld.create()
    const path = join(world.directory, 'other.enc')
    copyFileSync(other.path('vault'), path)
    const failure = await expectCode('EXISTS', () => upgrade(world.access()))
    expect(failure.message).toBe(`cannot upgrade: "${path}" is another one in the same directory`)
    expect(world.read().equals(before)).toBe(true)
    rmSync(path)
    await upgrade(world.access())
  })

  it('is refused when the token records are those of a native vault that this machine has seen', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    await createToken(tokenAccess(world), { tools: ['web_search'] })
    const id = JSON.parse(readFileSync(world.path('tokens'), 'utf8').split('\n')[0] ?? '').store_id as string
    const { marks } = world.store()
    marks.raise(id, (stored) => ({ ...stored, vault: { gen: 1, mac: 'x', commit: 'y' } }))
    const failure = await expectCode('EXISTS', () => upgrade(world.access()))
    expect(failure.message).toContain('belong to another native vault')
    expect([world.read().equals(before), world.has('.tutorial.bak')]).toEqual([true, false])
  })

  it('is refused while the mark of its token records is damaged, before anything is changed', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    await createToken(tokenAccess(world), { tools: ['web_search'] })
    const id = JSON.parse(readFileSync(world.path('tokens'), 'utf8').split('\n')[0] ?? '').store_id as string
    writeFileSync(join(world.stateDirectory, `${id}.json`), 'damaged', { mode: 0o600 })
    await expectCode('DAMAGED', () => upgrade(world.access()))
    expect([world.read().equals(before), world.has('.tutorial.bak')]).toEqual([true, false])
  })

  it('is refused while the token records are damaged, since every token would be lost', async () => {
    const { world } = fixtureWorld('python')
    const before = world.read()
    writeFileSync(world.path('tokens'), 'not token records\n', { mode: 0o600 })
    await expectCode('DAMAGED', () => upgrade(world.access()))
    expect(world.read().equals(before)).toBe(true)
  })
})

describe('an upgrade that is killed', () => {
  let child: Bundle

  beforeAll(async () => {
    child = await bundleScript(new URL('./killed-child.ts', import.meta.url))
  })
  afterAll(() => child.remove())

  it.each([
    ['verify vault', 'tutorial'],
    ['replaced vault', 'native'],
    ['append log', 'native'],
    ['mark', 'native'],
  ] as const)('at %s leaves a whole %s vault, and needs no hand', async (place, format) => {
    const { world, expected } = fixtureWorld('python')
    const before = world.read()
    // The first append lays the tutorial's log out anew; a log of ours makes it a plain append.
    await world.rotate('scavio_api_key', 'rotated')
    const tutorial = world.read()
    expect(tutorial.equals(before)).toBe(false)
    const key = (world.key as RawKey).bytes.reveal().toString('base64url')
    expect(() =>
      execFileSync(process.execPath, [child.path, world.directory, key, 'upgrade', place], { stdio: 'pipe' }),
    ).toThrow(expect.objectContaining({ signal: 'SIGKILL' }))
    expect(world.open().format).toBe(format)
    for (const [name, value] of Object.entries(expected.values)) {
      expect(world.text(name)).toBe(name === 'scavio_api_key' ? 'rotated' : value)
    }
    if (format === 'tutorial') await upgrade(world.access())
    await world.put('new', 'x')
    expect(world.history().slice(-3)).toEqual(['rotated scavio_api_key', 'imported -', 'created new'])
    expect(world.report()).toMatchObject({ problems: [], gaps: [], anchored: true })
    expect(world.read('.tutorial.bak').equals(tutorial)).toBe(true)
  })
})

function fixtureWorld(program: 'python' | 'node'): { readonly world: VaultWorld; readonly expected: Expected } {
  const from = (file: string): string => `test/fixtures/tutorial-${program}/${file}`
  const expected = JSON.parse(readFileSync(from('expected.json'), 'utf8')) as Expected
  const world = new VaultWorld({ key: parseRawKey(expected.MCP_ENCRYPTION_KEY) ?? rawKey() })
  expect(formatRawKey((world.key as RawKey).bytes.reveal(), (world.key as RawKey).spelling)).toBe(
    expected.MCP_ENCRYPTION_KEY,
  )
  world.write(readFileSync(from('mcp_credentials.enc')))
  if (existsSync(from('rotation_log.json'))) copyFileSync(from('rotation_log.json'), world.path('log'))
  return { world, expected }
}

function upgrade(access: VaultAccess): Promise<number> {
  return upgradeVault(access, {
    readDates: (log, names) => readDates(log, names, access.zone),
    readStoreId: (tokens: Reader) => {
      const head = tokens.read(0, 256)
      return parseHeader(head.subarray(0, head.indexOf(0x0a)))
    },
  })
}

function tokenAccess(world: VaultWorld): TokenAccess {
  return {
    store: world.store(),
    keys: world.open(),
    acceptRestore: false,
    now: () => START_MS,
    randomBytes,
    warn: (message) => world.warnings.push(message),
  }
}
