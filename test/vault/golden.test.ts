import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseRawKey, type VaultKey } from '../../src/vault/key.js'
import { NativeVault } from '../../src/vault/native-vault.js'
import type { Vault } from '../../src/vault/vault.js'
import { describeRead, type Golden, playPassphrase, playRaw } from './golden.js'
import { readNativeVault } from './independent-reader.js'
import { DAY_MS, passphraseKey, rawKey, START_MS, VaultWorld } from './vault-support.js'

/** Binary members and hashes, which differ each time, become their lengths. */
const RANDOM = /"(vault_id|kid|salt|wrap|commit|tokens_key|n|c|head|id|prev|hash)":"([A-Za-z0-9_-]{4,})"/g

describe.each(['raw', 'passphrase'] as const)('the golden vault under a %s key', (kind) => {
  const file = readFileSync(`test/fixtures/native/${kind}.enc`)
  const golden = JSON.parse(readFileSync(`test/fixtures/native/${kind}.json`, 'utf8')) as Golden
  const parsed = parseRawKey(golden.key) ?? rawKey()
  const key: VaultKey = kind === 'raw' ? parsed : passphraseKey(golden.key)

  it('is read by the independent reader', () => {
    const read = readNativeVault(file, kind === 'raw' ? { raw: parsed.bytes.reveal() } : { passphrase: golden.key })
    expect(JSON.parse(JSON.stringify(describeRead(golden.key, read)))).toEqual(golden)
  })

  it('is read by mcpvault', () => {
    const vault = NativeVault.open(file, key)
    expect(vault.id).toBe(golden.id)
    expect(vault.tokensKey().reveal().toString('base64url')).toBe(golden.tokens_key)
    expect(describeOpened(vault)).toEqual(golden.entries)
  })

  it('goes on being changed', async () => {
    const world = new VaultWorld({ key })
    world.nowMs = START_MS + 10 * DAY_MS
    world.write(file)
    if (kind === 'raw') writeFileSync(world.path('log'), readFileSync('test/fixtures/native/raw.log.json'))
    const [name = ''] = world.open().names()
    await world.rotate(name, 'changed today')
    expect(world.text(name)).toBe('changed today')
  })

  it('has the form in which the same story is written today', async () => {
    const world = new VaultWorld({ key: kind === 'raw' ? rawKey() : passphraseKey('another one') })
    await (kind === 'raw' ? playRaw(world) : playPassphrase(world))
    expect(maskRandom(world.read())).toBe(maskRandom(file))
    // The control: what is masked is not everything.
    expect(maskRandom(file)).toContain('"stage":"current"')
  })
})

describe('the golden log', () => {
  it('is whole and known to the golden vault', async () => {
    const golden = JSON.parse(readFileSync('test/fixtures/native/raw.json', 'utf8')) as Golden
    const world = new VaultWorld({ key: parseRawKey(golden.key) ?? rawKey() })
    world.write(readFileSync('test/fixtures/native/raw.enc'))
    writeFileSync(world.path('log'), readFileSync('test/fixtures/native/raw.log.json'))
    expect(world.report()).toMatchObject({ records: 10, sealed: 10, problems: [], gaps: [], anchored: true })
  })
})

describe('docs/file-format.md', () => {
  it('names the members of the header, a slot and a version as they stand in the file', () => {
    const document = readFileSync('docs/file-format.md', 'utf8')
    const lines = readFileSync('test/fixtures/native/passphrase.enc', 'utf8').split('\n')
    const header = JSON.parse((lines[1] ?? '').slice(0, -1))
    const [, { versions }] = JSON.parse((lines[2] ?? '').slice(0, -1)) as [string, { versions: readonly object[] }]
    const documented = (start: string): readonly string[] =>
      membersOf(document.split('\n').find((line) => line.startsWith(start)) ?? '')
    const written = membersOf(JSON.stringify({ ...header, keys: [], log: { ...header.log, pending: [] } }))
    // `past` and `label` are optional.
    expect(documented('{"vault_id"').filter((member) => member !== 'past')).toEqual(written)
    const slot = documented('{"kid":K,"type":"passphrase"').filter((member) => member !== 'label')
    expect(slot).toEqual(membersOf(JSON.stringify(header.keys[0])))
    expect(documented('{"ver"')).toEqual([
      ...membersOf(JSON.stringify(versions[0])),
      ...['until', 'leaked', 'handle', 'provider', 'revoke', 'revoke_failed'],
    ])
    expect(written).toContain('tokens_key')
  })
})

function membersOf(json: string): readonly string[] {
  return [...json.matchAll(/"([a-z_]+)":/g)].map((match) => match[1] ?? '')
}

function maskRandom(file: Buffer): string {
  return file
    .toString('utf8')
    .replace(RANDOM, (_, member: string, text: string) => `"${member}":"<${text.length}>"`)
    .replace(/"[A-Za-z0-9_-]{43}"\]\n$/, '"<mac>"]\n')
}

function describeOpened(vault: Vault): unknown {
  const entries = vault.names().map((name) => {
    const credential = vault.describe(name)
    const versions = credential?.versions.map(({ version, stage, createdMs, sinceMs, untilMs }) => ({
      ver: version,
      stage,
      created: new Date(createdMs).toISOString(),
      since: sinceMs === undefined ? undefined : new Date(sinceMs).toISOString(),
      until: untilMs === undefined ? undefined : new Date(untilMs).toISOString(),
      value: vault.load(name, { version, nowMs: START_MS }).reveal().toString('base64url'),
    }))
    return [name, { note: credential?.note, versions }]
  })
  return JSON.parse(JSON.stringify(entries))
}
