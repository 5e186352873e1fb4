import { VaultError } from '../errors.js'
import { readTail } from '../log/read.js'
import { hashRecord } from '../log/record.js'
import type { Transaction } from '../storage/store.js'
import type { VaultKey } from './key.js'
import { raiseMark } from './marks.js'
import { joinNative, type NativeHeader } from './native-format.js'
import { type DataKeys, deriveDataKeys, macOf, type RandomBytes, sealTokensKey, wrapSlot } from './native-keys.js'
import { NativeVault, noKey } from './native-vault.js'
import type { VaultAccess, VaultFormat } from './vault.js'

/** An empty native vault in memory, with the keys that were drawn for it. */
export interface FreshVault {
  readonly header: NativeHeader
  readonly keys: DataKeys
}

const NO_RECORD = '0'.repeat(64)

/**
 * Draws the keys of a new native vault and wraps the data key for one key.
 *
 * @param log where the rotation log stands, when one lies there already: its chain goes on.
 */
export function drawVault(
  key: VaultKey,
  randomBytes: RandomBytes,
  log?: { readonly seq: number; readonly head: string },
): FreshVault {
  const vaultId = randomBytes(16)
  const dekId = 'd1'
  const dek = randomBytes(32)
  const { commit, ...keys } = deriveDataKeys(dek, vaultId)
  const slot = wrapSlot(dek, key, { vaultId, dekId, randomBytes })
  const header: NativeHeader = {
    vault_id: vaultId.toString('base64url'),
    gen: 1,
    keys: [slot],
    dek: { id: dekId, commit: commit.toString('base64url'), count: 0 },
    tokens_key: sealTokensKey(keys, randomBytes(32), { vaultId, dekId, randomBytes }),
    configs: [],
    journal: [],
    log: { seq: log?.seq ?? 0, head: log?.head ?? NO_RECORD, pending: [] },
  }
  return { header, keys }
}

/**
 * Creates an empty vault.
 *
 * @throws {VaultError} EXISTS if there is one, NO_KEY, LOCKED, IO, DURABILITY, and DAMAGED if the log beside it is
 */
export async function createVault(access: VaultAccess, format: VaultFormat): Promise<void> {
  const { key, store } = access
  if (key === undefined) throw noKey()
  await store.transaction('init', (transaction) => {
    if (transaction.read('vault') !== undefined) {
      throw new VaultError('EXISTS', `a vault is already there: "${store.locate('vault')}"`, {
        hints: ['mcpvault list'],
      })
    }
    if (format === 'tutorial') {
      transaction.replace('vault', Buffer.from('{}\n'), { expected: undefined, verify: () => undefined })
      return
    }
    const fresh = drawVault(key, access.randomBytes.bind(access), logStand(transaction))
    const bytes = joinNative(fresh.header, [], (input) => macOf(fresh.keys, input))
    transaction.replace('vault', bytes, { expected: undefined, verify: (read) => void NativeVault.open(read, key) })
    raiseMark(NativeVault.openWith(bytes, fresh.keys), access)
  })
}

/** Where a log that lies there already ends, so that a new vault's records continue its chain. */
export function logStand(transaction: Transaction): { readonly seq: number; readonly head: string } | undefined {
  const reader = transaction.open('log')
  if (reader === undefined) return undefined
  try {
    const last = readTail(reader).lastRecord
    return last && { seq: last.seq ?? 0, head: hashRecord(last) }
  } finally {
    reader.close()
  }
}
