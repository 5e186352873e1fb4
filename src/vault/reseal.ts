import { VaultError } from '../errors.js'
import { damaged } from './canonical.js'
import { type SlotKey, unwrapSlot, wrapSlot } from './key-slots.js'
import { formatEntry, parseEntry } from './native-entry.js'
import { type DataKeyHeader, joinNative, type NativeHeader } from './native-format.js'
import {
  type DataKeys,
  deriveDataKeys,
  MAX_PAST,
  macOf,
  openPast,
  openTokensKey,
  openValue,
  type RandomBytes,
  sealPast,
  sealTokensKey,
  sealValue,
  valueContext,
} from './native-keys.js'
import type { NativeVault } from './native-vault.js'

/** Seals a vault under another data key. */
export interface Resealing {
  readonly keys: DataKeys
  /** The new data key as the header names it; its count is known once the file was sealed. */
  readonly dek: () => DataKeyHeader
  /** Gives the file for a header and entry lines that the data key before has sealed. */
  seal(header: NativeHeader, lines: readonly Buffer[]): Buffer
  /** Refuses what was read back from the disk unless every key opens it and every value in it. @throws {VaultError} */
  verify(vault: NativeVault): void
}

/** What sealing anew takes. */
export interface ResealOptions {
  /** One for each slot of the new header. */
  readonly slots: readonly SlotKey[]
  readonly randomBytes: RandomBytes
  /** Told after each credential. */
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Draws a new data key and prepares to seal a vault under it: every version of every entry, the tokens key, and the data
 * keys before it.
 */
export function drawResealing(
  opened: { readonly header: NativeHeader; readonly keys: DataKeys },
  { slots, randomBytes, onProgress }: ResealOptions,
): Resealing {
  const { header: before, keys: old } = opened
  const vaultId = Buffer.from(before.vault_id, 'base64url')
  const dek = randomBytes(32)
  const { commit, ...keys } = deriveDataKeys(dek, vaultId)
  const dekId = nextId(before.dek.id)
  const context = { vaultId, dekId, randomBytes }
  const past = [...openPast(old, before), old.dek.reveal()].slice(-MAX_PAST)
  const members = {
    keys: slots.map((slot) => wrapSlot(dek, slot, context)),
    tokens_key: sealTokensKey(keys, openTokensKey(old, before).reveal(), context),
    dek: { id: dekId, commit: commit.toString('base64url'), count: 0, past: sealPast(keys, past, context) },
  }
  let count = 0
  return {
    keys,
    dek: () => ({ ...members.dek, count }),
    seal(header, lines) {
      const next: NativeHeader = { ...header, ...members }
      const sealer = new Sealer({ header: before, keys: old }, { header: next, keys, randomBytes })
      const sealed = lines.map((line, index) => {
        onProgress?.(index, lines.length)
        return sealer.reseal(line)
      })
      onProgress?.(lines.length, lines.length)
      count = sealer.count
      return joinNative({ ...next, dek: { ...next.dek, count } }, sealed, (input) => macOf(keys, input))
    },
    verify(vault) {
      for (const [index, { key, slot }] of slots.entries()) {
        const kept = vault.parts.header.keys[index]
        const opens = kept !== undefined && unwrapSlot(vault.parts.header, kept, key.reveal())?.equals(dek)
        if (!opens) throw new VaultError('IO', `the key slot ${slot.kid} read back from the disk does not open`)
      }
      for (const name of vault.names()) {
        for (const version of vault.entry(name)?.versions ?? []) vault.openVersion(name, version).wipe()
      }
    },
  }
}

/** d3 follows d2. */
function nextId(id: string): string {
  const number = /^d([1-9]\d{0,8})$/.exec(id)?.[1]
  return number === undefined ? `${id.slice(0, 64)}+` : `d${Number(number) + 1}`
}

interface Side {
  readonly header: NativeHeader
  readonly keys: DataKeys
}

/** Seals entry lines under another data key. */
class Sealer {
  count = 0
  readonly #from: Side
  readonly #to: Side & { readonly randomBytes: RandomBytes }

  constructor(from: Side, to: Side & { readonly randomBytes: RandomBytes }) {
    this.#from = from
    this.#to = to
  }

  reseal(line: Buffer): Buffer {
    const { header, keys, randomBytes } = this.#to
    const [name, entry] = parseEntry(line)
    const versions = entry.versions.map((version) => {
      const value = openValue(this.#from.keys, version, valueContext(this.#from.header, name, version.ver))
      if (value === undefined) throw damaged(`version ${version.ver} of "${name}" does not open`)
      this.count += 1
      try {
        return { ...version, ...sealValue(keys, value, { aad: valueContext(header, name, version.ver), randomBytes }) }
      } finally {
        value.fill(0)
      }
    })
    return formatEntry(name, { ...entry, versions })
  }
}
