import { VaultError } from '../errors.js'
import { damaged } from './canonical.js'
import { type SlotKey, unwrapSlot, wrapSlot } from './key-slots.js'
import { formatEntry, type NativeVersion, parseEntry } from './native-entry.js'
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
  /**
   * Seals every value of entry lines ahead, and opens it again: what takes long is done before the lock is taken. A value
   * that is not among them is sealed by `seal`.
   */
  prepare(lines: Iterable<Buffer>, total: number): void
  /** Gives the file for a header and entry lines that the data key before has sealed. */
  seal(header: NativeHeader, lines: readonly Buffer[]): Buffer
  /** Refuses what was read back from the disk unless every key opens it; its MAC was checked. @throws {VaultError} IO */
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
  const after = { ...before, ...members }
  const sealer = new Sealer({ header: before, keys: old }, { header: after, keys, randomBytes })
  const dekNow = (): DataKeyHeader => ({ ...members.dek, count: sealer.count })
  return {
    keys,
    dek: dekNow,
    prepare(lines, total) {
      let done = 0
      for (const line of lines) {
        onProgress?.(done++, total)
        sealer.reseal(line)
      }
      onProgress?.(total, total)
    },
    seal(header, lines) {
      const sealed = lines.map((line) => sealer.reseal(line))
      return joinNative({ ...header, ...members, dek: dekNow() }, sealed, (input) => macOf(keys, input))
    },
    verify(vault) {
      for (const [index, { key, slot }] of slots.entries()) {
        const kept = vault.parts.header.keys[index]
        const opens = kept !== undefined && unwrapSlot(vault.parts.header, kept, key.reveal())?.equals(dek)
        if (!opens) throw new VaultError('IO', `the key slot ${slot.kid} read back from the disk does not open`)
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

/** Seals entry lines under another data key; a value that was sealed before is not sealed again. */
class Sealer {
  count = 0
  readonly #from: Side
  readonly #to: Side & { readonly randomBytes: RandomBytes }
  /** By the nonce under the data key before, which is no other value's. */
  readonly #sealed = new Map<string, { readonly place: string; readonly fresh: SealedValue }>()

  constructor(from: Side, to: Side & { readonly randomBytes: RandomBytes }) {
    this.#from = from
    this.#to = to
  }

  reseal(line: Buffer): Buffer {
    const [name, entry] = parseEntry(line)
    const versions = entry.versions.map((version) => ({ ...version, ...this.#resealVersion(name, version) }))
    return formatEntry(name, { ...entry, versions })
  }

  #resealVersion(name: string, version: NativeVersion): SealedValue {
    const place = JSON.stringify([name, version.ver, version.c])
    const known = this.#sealed.get(version.n)
    if (known?.place === place) return known.fresh
    const fresh = this.#seal(name, version)
    this.#sealed.set(version.n, { place, fresh })
    return fresh
  }

  #seal(name: string, version: NativeVersion): SealedValue {
    const { header, keys, randomBytes } = this.#to
    const value = openValue(this.#from.keys, version, valueContext(this.#from.header, name, version.ver))
    if (value === undefined) throw damaged(`version ${version.ver} of "${name}" does not open`)
    const aad = valueContext(header, name, version.ver)
    this.count += 1
    const fresh = sealValue(keys, value, { aad, randomBytes })
    const again = openValue(keys, fresh, aad)
    const isSame = again?.equals(value) === true
    value.fill(0)
    again?.fill(0)
    if (!isSame) throw new VaultError('IO', `cannot seal "${name}" anew: what was sealed does not open again`)
    return fresh
  }
}

type SealedValue = ReturnType<typeof sealValue>
