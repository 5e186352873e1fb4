import { VaultError } from '../errors.js'
import { findNeighbour } from '../storage/neighbours.js'
import type { Store, Transaction } from '../storage/store.js'
import { commitVault } from './commit.js'
import { runChange } from './change.js'
import { prepareSlot } from './age-key.js'
import { type SlotKey, type SlotOptions, wrapSlot } from './key-slots.js'
import { raiseMark } from './marks.js'
import { joinNative, NATIVE_MAGIC, type NativeHeader } from './native-format.js'
import { type DataKeys, deriveDataKeys, macOf, type RandomBytes, sealTokensKey } from './native-keys.js'
import { NativeVault, noKey } from './native-vault.js'
import { readLogTail } from './outbox.js'
import type { VaultAccess, VaultFormat } from './vault.js'
import { shellWord } from '../shell-word.js'

/** An empty native vault in memory, with the keys that were drawn for it. */
export interface FreshVault {
  readonly header: NativeHeader
  readonly keys: DataKeys
}

/** What a vault is made with instead of drawing it: `upgrade` keeps the tokens that there are. */
export interface KeptTokens {
  /** 16 bytes. */
  readonly vaultId: Buffer
  /** 32 bytes. */
  readonly tokensKey: Buffer
}

const NO_RECORD = '0'.repeat(64)

/** Draws the keys of a new native vault and wraps the data key for one slot. */
export function drawVault(slotKey: SlotKey, randomBytes: RandomBytes, kept?: KeptTokens): FreshVault {
  const vaultId = kept?.vaultId ?? randomBytes(16)
  const dekId = 'd1'
  const dek = randomBytes(32)
  const { commit, ...keys } = deriveDataKeys(dek, vaultId)
  const slot = wrapSlot(dek, slotKey, { vaultId, dekId, randomBytes })
  const tokensKey = kept?.tokensKey ?? randomBytes(32)
  const header: NativeHeader = {
    vault_id: vaultId.toString('base64url'),
    gen: 1,
    keys: [slot],
    dek: { id: dekId, commit: commit.toString('base64url'), count: 0 },
    tokens_key: sealTokensKey(keys, tokensKey, { vaultId, dekId, randomBytes }),
    configs: [],
    journal: [],
    log: { seq: 0, head: NO_RECORD, pending: [] },
  }
  return { header, keys }
}

/**
 * Creates an empty vault.
 *
 * @throws {VaultError} EXISTS if there is one, or it would share the directory, log or token records of another;
 * NO_KEY, LOCKED, IO, DURABILITY, and DAMAGED if the log beside it is.
 */
export async function createVault(access: VaultAccess, format: VaultFormat, slot: SlotOptions = {}): Promise<void> {
  const { key, store } = access
  if (key === undefined) throw noKey()
  const slotKey = format === 'native' ? await prepareSlot(key, access.randomBytes.bind(access), slot) : undefined
  await runChange(access, 'init', (transaction) => {
    if (transaction.read('vault') !== undefined) {
      throw new VaultError('EXISTS', `a vault is already there: "${store.locate('vault')}"`, {
        hints: ['mcpvault list'],
      })
    }
    refuseSharing(access, transaction, format)
    if (slotKey !== undefined) createNative(access, slotKey, transaction)
    else transaction.replace('vault', Buffer.from('{}\n'), { expected: undefined, verify: () => undefined })
  })
}

function createNative(access: VaultAccess, slotKey: SlotKey, transaction: Transaction): void {
  const { key } = access
  const fresh = drawVault(slotKey, access.randomBytes.bind(access))
  const bytes = joinNative(fresh.header, [], (input) => macOf(fresh.keys, input))
  commitVault(
    () =>
      transaction.replace('vault', bytes, { expected: undefined, verify: (read) => void NativeVault.open(read, key) }),
    [() => raiseMark(NativeVault.openWith(bytes, fresh.keys), access, { isOwn: true })],
  )
}

/**
 * One vault a directory: two in one log would take each other for restored copies, neither could read the other's token
 * records, and they lie under different locks. Only records by other programs are what a tutorial vault goes on with.
 */
function refuseSharing({ store }: VaultAccess, transaction: Transaction, format: VaultFormat): void {
  refuseNeighbour('make a vault', store)
  const log = store.locate('log')
  const tail = readLogTail(transaction)
  if (format === 'native' ? tail?.lastRecord !== undefined : (tail?.lastSeq ?? 0) > 0) {
    throw new VaultError('EXISTS', `cannot make a vault: the rotation log "${log}" belongs to another one`, {
      hints: [
        'make the vault in a directory of its own, or add --log FILE to every command',
        `if its vault is gone: mv -i ${shellWord(log)} ${shellWord(`${log}.old`)}`,
      ],
    })
  }
  const tokens = store.locate('tokens')
  if ((transaction.read('tokens')?.bytes.length ?? 0) > 0) {
    throw new VaultError('EXISTS', `cannot make a vault: the token records "${tokens}" belong to another one`, {
      hints: [
        'make the vault in a directory of its own',
        `if their vault is gone: mv -i ${shellWord(tokens)} ${shellWord(`${tokens}.old`)}`,
      ],
    })
  }
}

/** Refuses to `make a vault` or the like beside another native vault. @throws {VaultError} EXISTS */
export function refuseNeighbour(what: string, store: Store): void {
  const other = findNeighbour(store.locate('vault'), Buffer.from(NATIVE_MAGIC))
  if (other === undefined) return
  throw new VaultError('EXISTS', `cannot ${what}: "${other}" is another one in the same directory`, {
    hints: ['keep one vault in a directory: they would share the rotation log and the token records'],
  })
}
