/** The story that the golden vaults in test/fixtures/native were made with, and what is expected of them. */

import { upgradeVault } from '../../src/vault/upgrade.js'
import type { RawKey } from '../../src/vault/key.js'
import { createVault } from '../../src/vault/create.js'
import { DAY_MS, sealed, secret, type VaultWorld } from './vault-support.js'
import type { ReadVault } from './independent-reader.js'

/** A golden vault's key and content, as its `.json` holds them. */
export interface Golden {
  /** The key as text: 44 characters of base64url, or a passphrase. */
  readonly key: string
  readonly id: string
  readonly gen: number
  readonly count: number
  readonly tokens_key: string
  readonly log: { readonly seq: number; readonly head: string; readonly pending: number }
  readonly entries: readonly (readonly [string, object])[]
}

/** Plays everything that the raw golden vault holds: an upgrade, odd names, bytes, notes, versions, a rollback. */
export async function playRaw(world: VaultWorld): Promise<void> {
  const legacy = sealed(world.key as RawKey, 'fernet', 'älter')
  world.write(JSON.stringify({ ключ: legacy, 'with space': legacy }, null, 2))
  await upgradeVault(world.access(), {
    readDates: () => new Map(),
    readStoreId: () => undefined,
  })
  await world.put('__proto__', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)))
  await world.put('empty', '')
  await world.put('scavio_api_key', 'sk_live_first', 'from "the" dashboard ✓')
  world.nowMs += DAY_MS
  await world.rotate('scavio_api_key', 'sk_live_second')
  await world.put('rolled_back', 'good')
  await world.rotate('rolled_back', 'bad')
  world.nowMs += DAY_MS
  await world.rollback('rolled_back')
  await world.change((draft) =>
    draft.rotate('scavio_api_key', secret('sk_live_third'), { graceSeconds: 3600, reason: 'third' }),
  )
}

/** Plays what the golden vault under a passphrase holds. */
export async function playPassphrase(world: VaultWorld): Promise<void> {
  await createVault(world.access(), 'native')
  await world.put('a', 'under a passphrase')
}

/** Describes what a reader found, in the golden files' form. */
export function describeRead(key: string, read: ReadVault): Golden {
  return {
    key,
    id: read.id.toString('base64url'),
    gen: read.gen,
    count: read.count,
    tokens_key: read.tokensKey.toString('base64url'),
    log: { seq: read.log.seq, head: read.log.head, pending: read.log.pending.length },
    entries: [...read.entries].map(([name, { note, versions }]) => [
      name,
      { note, versions: versions.map(({ value, ...rest }) => ({ ...rest, value: value.toString('base64url') })) },
    ]),
  }
}
