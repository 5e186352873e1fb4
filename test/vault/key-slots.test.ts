import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { formatRawKey, parseRawKey, type RawKey, rawKeyId, wipeKey } from '../../src/vault/key.js'
import { joinNative, type KeySlot, type NativeHeader } from '../../src/vault/native-format.js'
import { deriveDataKeys, macOf } from '../../src/vault/native-keys.js'
import { NativeVault } from '../../src/vault/native-vault.js'
import { keyId, openDataKey, readNativeVault } from './independent-reader.js'
import { expectCode, passphraseKey, rawKey, VaultWorld } from './vault-support.js'

describe('a raw key', () => {
  it('is read as 44 characters of base64url or 64 hex digits, in either case', () => {
    const bytes = randomBytes(32)
    for (const text of [
      formatRawKey(bytes, 'base64url'),
      formatRawKey(bytes, 'hex'),
      bytes.toString('hex').toUpperCase(),
    ]) {
      expect(parseRawKey(text)?.bytes.reveal().equals(bytes), text.length.toString()).toBe(true)
    }
    expect(parseRawKey(formatRawKey(bytes, 'base64url'))?.spelling).toBe('base64url')
    expect(parseRawKey(formatRawKey(bytes, 'hex'))?.spelling).toBe('hex')
  })

  it('is never padded, cut, trimmed or hashed into shape', () => {
    const [base64url, hex] = [formatRawKey(Buffer.alloc(32, 0xa5), 'base64url'), 'a5'.repeat(32)]
    const wrong = [
      '',
      'short',
      'correct horse battery staple',
      hex.slice(2),
      `${hex}a5`,
      `${hex} `,
      `${hex.slice(1)}g`,
      base64url.slice(0, -1),
      `${base64url.slice(0, -1)}A`,
      `${base64url}\n`,
      // The same 32 bytes, but with spare bits set in the last character.
      base64url.replace(/.=$/, (end) => `${String.fromCharCode(end.charCodeAt(0) + 1)}=`),
      Buffer.alloc(32, 0xff).toString('base64'),
    ]
    for (const text of wrong) expect(parseRawKey(text), text).toBeUndefined()
  })

  it('has an id that is the start of a hash of it', () => {
    const bytes = randomBytes(32)
    expect(rawKeyId(bytes)).toBe(keyId(bytes))
    expect(rawKeyId(bytes)).toMatch(/^[0-9a-f]{16}$/)
  })

  it('opens a vault in whichever spelling it is given', async () => {
    const bytes = randomBytes(32)
    const world = await VaultWorld.create({ key: rawKey(bytes, 'base64url') })
    await world.put('a', 'x')
    const vault = world.open({ key: rawKey(bytes, 'hex') })
    expect(vault.load('a', { nowMs: world.nowMs }).revealText()).toBe('x')
  })

  it('that is not listed is the wrong one, and both ids are named', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const before = world.read()
    const key = rawKey()
    const ids = `the key at hand has the id ${rawKeyId(key.bytes.reveal())}; the vault was sealed for ${rawKeyId(bytesOf(world))}`
    const reading = await expectCode('WRONG_KEY', () => world.open({ key }))
    expect(reading.hints).toEqual([ids])
    const other = new VaultWorld({ key, directory: world.directory })
    const writing = await expectCode('WRONG_KEY', () => other.rotate('a', 'y'))
    expect(writing.hints).toEqual([ids])
    expect(world.read().equals(before)).toBe(true)
  })
})

describe('a key slot', () => {
  it('that is listed and does not unwrap is damage, not a wrong key', async () => {
    const world = await VaultWorld.create()
    const other = await VaultWorld.create({ key: world.key })
    const stranger = headerOf(other.read())
    const altered = [
      // The wrapped key of another vault under the same key.
      withSlot(world, (slots) => slots.map((slot) => ({ ...slot, wrap: stranger.keys[0]?.wrap ?? '' }))),
      withSlot(world, (slots) => slots.map((slot) => ({ ...slot, wrap: Buffer.alloc(60, 7).toString('base64url') }))),
      withHeader(world, (header) => ({ ...header, vault_id: stranger.vault_id })),
      withHeader(world, (header) => ({ ...header, dek: { ...header.dek, id: 'd2' } })),
    ]
    for (const bytes of altered) {
      const failure = await expectCode('DAMAGED', () => NativeVault.open(bytes, world.key))
      expect(failure.message).toContain(`key slot ${rawKeyId(bytesOf(world))} does not open`)
    }
  })

  it('whose data key is not the one committed to is damage', async () => {
    const world = await VaultWorld.create()
    const commit = Buffer.alloc(32, 7).toString('base64url')
    const bytes = withHeader(world, (header) => ({ ...header, dek: { ...header.dek, commit } }))
    const failure = await expectCode('DAMAGED', () => NativeVault.open(bytes, world.key))
    expect(failure.message).toContain('commits to')
  })

  it('may stand beside others: each key opens its own', async () => {
    const world = await VaultWorld.create()
    const foreign = { ...slotOf(world), kid: '0123456789abcdef' }
    const bytes = withSlot(world, (slots) => [foreign, ...slots])
    expect(NativeVault.open(bytes, world.key).isVerified).toBe(true)
    const failure = await expectCode('WRONG_KEY', () => NativeVault.open(bytes, rawKey()))
    expect(failure.hints[0]).toContain(`sealed for 0123456789abcdef, ${rawKeyId(bytesOf(world))}`)
  })

  it('of an unknown kind or with unknown members is refused', async () => {
    const world = await VaultWorld.create()
    const odd: readonly object[] = [
      { ...slotOf(world), type: 'age' },
      { ...slotOf(world), extra: 1 },
      { ...slotOf(world), kid: 'XYZ' },
      { ...slotOf(world), wrap: slotOf(world).wrap.slice(1) },
    ]
    for (const slot of odd) {
      await expectCode('DAMAGED', () =>
        NativeVault.open(
          withSlot(world, () => [slot as KeySlot]),
          world.key,
        ),
      )
    }
    await expectCode('DAMAGED', () =>
      NativeVault.open(
        withSlot(world, () => []),
        world.key,
      ),
    )
  })
})

describe('a passphrase', () => {
  it('opens its vault for reading and writing, and the independent reader too', async () => {
    const world = await VaultWorld.create({ key: passphraseKey('Größe 🔑 x') })
    await world.put('a', 'value')
    expect(world.text('a')).toBe('value')
    const read = readNativeVault(world.read(), { passphrase: 'Größe 🔑 x' })
    expect(read.entries.get('a')?.versions[0]?.value.toString()).toBe('value')
    expect(slotOf(world)).toMatchObject({ type: 'passphrase', kdf: { name: 'scrypt', n: 131_072, r: 8, p: 1 } })
    const failure = await expectCode('WRONG_KEY', () => world.open({ key: passphraseKey('Größe 🔑 y') }))
    expect(failure.message).toBe(`cannot open the vault "${world.path('vault')}": the passphrase does not fit`)
    const raw = await expectCode('WRONG_KEY', () => world.open({ key: rawKey() }))
    expect(raw.hints[0]).toContain('the vault opens with a passphrase only')
  })

  it('is stretched once for a slot, however often its vault is opened, until it is wiped', async () => {
    const key = passphraseKey('battery')
    const world = await VaultWorld.create({ key })
    await world.put('a', 'x')
    key.text.wipe()
    expect(world.text('a')).toBe('x')
    wipeKey(key)
    await expectCode('WRONG_KEY', () => world.text('a'))
  })

  it('gets a random id and salt each time', async () => {
    const [a, b] = [
      await VaultWorld.create({ key: passphraseKey('same') }),
      await VaultWorld.create({ key: passphraseKey('same') }),
    ].map(slotOf)
    expect(a?.kid).not.toBe(b?.kid)
    expect(a?.kdf).not.toEqual(b?.kdf)
  })

  it.each([{ n: 2 ** 14 }, { n: 2 ** 21 }, { n: 2 ** 17 + 1 }, { n: 0 }, { r: 7 }, { r: 16 }, { p: 0 }, { p: 5 }])(
    'slot that asks for %o is refused before anything is computed',
    async (cost) => {
      const world = await VaultWorld.create()
      const kdf = {
        name: 'scrypt',
        n: 2 ** 17,
        r: 8,
        p: 1,
        salt: Buffer.alloc(16).toString('base64url'),
        ...cost,
      } as const
      const slot: KeySlot = { kid: '0123456789abcdef', type: 'passphrase', kdf, wrap: slotOf(world).wrap }
      const bytes = withSlot(world, () => [slot])
      const failure = await expectCode('DAMAGED', () => NativeVault.open(bytes, passphraseKey('x')))
      expect(failure.message).toContain('the cost of its passphrase slot')
    },
  )

  it('slot of a lower accepted cost is read', async () => {
    const world = await VaultWorld.create()
    const salt = Buffer.alloc(16).toString('base64url')
    const kdf = { name: 'scrypt', n: 2 ** 15, r: 8, p: 1, salt } as const
    const slot: KeySlot = { kid: '0123456789abcdef', type: 'passphrase', kdf, wrap: slotOf(world).wrap }
    const bytes = withSlot(world, () => [slot])
    // The cost is accepted; the slot is of no use, since its key was wrapped for another.
    await expectCode('WRONG_KEY', () => NativeVault.open(bytes, passphraseKey('x')))
  })

  it('slot must be spelled in its one form', async () => {
    const world = await VaultWorld.create()
    const salt = Buffer.alloc(16).toString('base64url')
    for (const kdf of [
      { name: 'argon2', n: 2 ** 17, r: 8, p: 1, salt },
      { name: 'scrypt', n: 2 ** 17, r: 8, p: 1, salt: 'AAAA' },
      { name: 'scrypt', n: '131072', r: 8, p: 1, salt },
      { n: 2 ** 17, r: 8, p: 1, salt, name: 'scrypt' },
    ]) {
      const slot = { kid: '0123456789abcdef', type: 'passphrase', kdf, wrap: slotOf(world).wrap } as KeySlot
      await expectCode('DAMAGED', () =>
        NativeVault.open(
          withSlot(world, () => [slot]),
          passphraseKey('x'),
        ),
      )
    }
  })
})

function bytesOf(world: VaultWorld): Buffer {
  return (world.key as RawKey).bytes.reveal()
}

function headerOf(bytes: Buffer): NativeHeader {
  return JSON.parse((bytes.toString('utf8').split('\n')[1] ?? '').slice(0, -1))
}

function slotOf(world: VaultWorld): KeySlot {
  return headerOf(world.read()).keys[0] as KeySlot
}

/** The vault with another header under a MAC that fits, as somebody who knows the data key could write it. */
function withHeader(world: VaultWorld, change: (header: NativeHeader) => NativeHeader): Buffer {
  const bytes = world.read()
  const { dek, id } = openDataKey(bytes, bytesOf(world))
  return joinNative(change(headerOf(bytes)), [], (input) => macOf(deriveDataKeys(dek, id), input))
}

function withSlot(world: VaultWorld, change: (slots: readonly KeySlot[]) => readonly KeySlot[]): Buffer {
  // A passphrase slot of its own makes no vault that opens; what is tried is how it is refused.
  return withHeader(world, (header) => ({ ...header, keys: change(header.keys) }))
}
