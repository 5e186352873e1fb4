import { truncateSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.js'
import { drawVault } from '../../src/vault/create.js'
import { NativeDraft } from '../../src/vault/native-draft.js'
import { joinNative, type NativeHeader, splitNative } from '../../src/vault/native-format.js'
import { type DataKeys, macOf } from '../../src/vault/native-keys.js'
import { NativeVault } from '../../src/vault/native-vault.js'
import { MAX_ENTRIES, MAX_VALUE_BYTES, MAX_VAULT_BYTES } from '../../src/vault/vault.js'
import { rawSlot } from '../../src/vault/key-slots.js'
import { expectCode, rawKey, secret, START_MS, VaultWorld } from './vault-support.js'

const randomBytes = (length: number): Buffer => Buffer.alloc(length, 1)
const MAX_HEADER_BYTES = 64 * 1024

describe('the limits of a native vault', () => {
  it('are 100,000 credentials', async () => {
    const { header, keys } = drawVault(rawSlot(rawKey()), randomBytes)
    const line = JSON.stringify({
      versions: [
        { ver: 1, stage: 'current', n: 'A'.repeat(16), c: 'A'.repeat(22), created: '2026-11-22T12:00:00.000Z' },
      ],
    })
    const lines = Array.from({ length: MAX_ENTRIES + 1 }, (_, index) =>
      Buffer.from(`["${String(index).padStart(6, '0')}",${line}],\n`),
    )
    const full = seal(header, keys, lines.slice(1))
    expect(full.names()).toHaveLength(MAX_ENTRIES)
    const draft = new NativeDraft(full, keys, { nowMs: START_MS, randomBytes })
    const failure = await expectCode('INPUT', () => draft.store('one_more', secret('x'), {}))
    expect(failure.message).toBe('cannot store: the vault holds 100,000 credentials, its limit')
    const over = seal(header, keys, lines)
    await expectCode('DAMAGED', () => over.names())
  })

  it('are 64 KiB of header, for the writer and the reader alike', async () => {
    const { header, keys } = drawVault(rawSlot(rawKey()), randomBytes)
    const spare = MAX_HEADER_BYTES - Buffer.byteLength(JSON.stringify(header))
    const ofLength = (more: number): NativeHeader => ({
      ...header,
      dek: { ...header.dek, id: header.dek.id + 'x'.repeat(more) },
    })
    const sealMac = (input: Buffer): Buffer => macOf(keys, input)
    const largest = joinNative(ofLength(spare), [], sealMac)
    expect(splitNative(largest).header.gen).toBe(1)
    await expectCode('INPUT', () => joinNative(ofLength(spare + 1), [], sealMac))
    const over = Buffer.from(largest.toString('latin1').replace('"dek":{"id":"d1', '"dek":{"id":"d1x'), 'latin1')
    const failure = await expectCode('DAMAGED', () => splitNative(over))
    expect(failure.message).toContain('its header line is cut or too long')
  })

  it('are 64 MiB of file: what could not be read again is not written', async () => {
    const { header, keys } = drawVault(rawSlot(rawKey()), randomBytes)
    const draft = new NativeDraft(NativeVault.empty(header, keys), keys, { nowMs: START_MS, randomBytes })
    const value = Buffer.alloc(MAX_VALUE_BYTES)
    const each = Math.ceil((MAX_VALUE_BYTES * 4) / 3)
    for (let index = 0; (index - 1) * each < MAX_VAULT_BYTES; index++)
      draft.adopt(`name_${index}`, new Secret(value), 0)
    const failure = await expectCode('INPUT', () => draft.seal(header))
    expect(failure.message).toBe('cannot write the vault: it would be over 64 MiB, its limit')
  })

  it('are 2^32 encryptions under one data key', async () => {
    const { header, keys } = drawVault(rawSlot(rawKey()), randomBytes)
    const used = { ...header, dek: { ...header.dek, count: 2 ** 32 - 1 } }
    const draft = new NativeDraft(NativeVault.empty(used, keys), keys, { nowMs: START_MS, randomBytes })
    draft.store('last', secret('x'), {})
    expect(NativeVault.openWith(draft.seal(used), keys).parts.header.dek.count).toBe(2 ** 32)
    draft.store('one_more', secret('x'), {})
    await expectCode('INPUT', () => draft.seal(used))
  })
})

describe('a file that is too large', () => {
  it.each(['native', 'tutorial'] as const)('is refused before any of it is read (%s)', async (format) => {
    const world = await VaultWorld.create({ format })
    // A terabyte of holes: no machine would survive reading it.
    truncateSync(world.path('vault'), 2 ** 40)
    for (const use of [() => world.open(), () => world.open({ key: undefined }), () => world.put('a', 'x')]) {
      const failure = await expectCode('INPUT', use)
      expect(failure.message).toContain(`larger than ${MAX_VAULT_BYTES} bytes`)
    }
  })
})

function seal(header: NativeHeader, keys: DataKeys, lines: readonly Buffer[]): NativeVault {
  return NativeVault.openWith(
    joinNative(header, lines, (input) => macOf(keys, input)),
    keys,
  )
}
