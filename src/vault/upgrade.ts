import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { DocumentName, Reader, Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { runChange } from './change.js'
import { commitVault } from './commit.js'
import { drawVault, type KeptTokens, refuseNeighbour } from './create.js'
import { rawSlot } from './key-slots.js'
import { raiseMark, readMark } from './marks.js'
import { NativeDraft } from './native-draft.js'
import { isNativeName } from './native-entry.js'
import { NativeVault, noKey } from './native-vault.js'
import { readAndParse } from './open.js'
import { appendCommitted, linkEvents, readLogTail, whenStill } from './outbox.js'
import type { TutorialVault } from './tutorial-vault.js'
import { type LogEvent, MAX_ENTRIES, type VaultAccess } from './vault.js'
import { shellWord } from '../shell-word.js'

/** Options of {@link upgradeVault}. */
export interface UpgradeOptions {
  /** Reads the date that each value is known to be from, in milliseconds since the epoch, out of the log. */
  readonly readDates: (log: Reader, names: readonly string[]) => ReadonlyMap<string, number>
  /** Reads the store id out of token records; undefined when they are damaged. */
  readonly readStoreId: (tokens: Reader) => Buffer | undefined
}

/**
 * Replaces a tutorial vault by a native one with the same values, and keeps the old file as `.tutorial.bak`. Gives the
 * number of credentials.
 *
 * The native file is read back from the disk and every value compared before it takes the old one's place. Tokens that
 * were made before stay valid.
 *
 * @throws {VaultError} INPUT if the vault is native already or a name or value cannot be kept, DAMAGED if a value or the
 * token records or the mark are, EXISTS if a `.tutorial.bak` or another native vault is there, and what `changeVault` throws.
 */
export async function upgradeVault(access: VaultAccess, options: UpgradeOptions): Promise<number> {
  return runChange(access, 'upgrade', (transaction) => {
    const { key } = access
    const { snapshot, vault } = readAndParse(transaction, access)
    if (vault instanceof NativeVault)
      throw new VaultError('INPUT', 'cannot upgrade: the vault is in the native format already')
    if (key === undefined) throw noKey()
    refuseNeighbour('upgrade', access.store)
    const values = readValues(vault, access.now())
    try {
      const fresh = sealNative({ access, transaction, options }, vault, values)
      const replacement = {
        expected: snapshot.revision,
        verify: (read: Buffer) => compareValues(NativeVault.open(read, key), values),
        keepPrevious: '.tutorial.bak',
      } as const
      commitVault(
        () => transaction.replace('vault', fresh.bytes, replacement),
        [() => appendCommitted(transaction, fresh.vault.logAnchor.pending), () => raiseMark(fresh.vault, access)],
      )
      return values.size
    } finally {
      for (const value of values.values()) value.wipe()
    }
  })
}

/** What an upgrade works with. */
interface Upgrade {
  readonly access: VaultAccess
  readonly transaction: Transaction
  readonly options: UpgradeOptions
}

/** Seals the values in a native vault whose first pending record says that they were imported. */
function sealNative(
  { access, transaction, options }: Upgrade,
  old: TutorialVault,
  values: ReadonlyMap<string, Secret>,
): { readonly bytes: Buffer; readonly vault: NativeVault } {
  const randomBytes = access.randomBytes.bind(access)
  const { header, keys } = drawVault(
    rawSlot(old.rawKey()),
    randomBytes,
    keptTokens(old, { access, transaction, options }),
  )
  const nowMs = access.now()
  const event: LogEvent = {
    credential: null,
    rotated_at: formatUtc(nowMs),
    action: 'imported',
    count: values.size,
    reason: 'upgraded from the tutorial format',
  }
  const tail = whenStill(transaction, () => readLogTail(transaction))
  const pending = linkEvents([event], access, { tail })
  const names = [...values.keys()]
  const dates = withDocument(transaction, 'log', (log) => log && options.readDates(log, names))
  const draft = new NativeDraft(NativeVault.empty(header, keys), keys, { nowMs, randomBytes })
  for (const [name, value] of values) draft.adopt(name, value, dates?.get(name))
  const last = pending.at(-1)
  const log = { seq: last?.seq ?? 0, head: last?.hash ?? header.log.head, pending }
  const bytes = draft.seal({ ...header, log })
  return { bytes, vault: NativeVault.openWith(bytes, keys) }
}

/** The store id of the token records becomes the vault's id and their key its tokens key, so that they stay readable. */
function keptTokens(old: TutorialVault, { access, transaction, options }: Upgrade): KeptTokens | undefined {
  return withDocument(transaction, 'tokens', (tokens) => {
    if (tokens === undefined || tokens.size === 0) return undefined
    const vaultId = options.readStoreId(tokens)
    if (vaultId !== undefined) {
      // Read here, before anything is written: a damaged mark would otherwise be found when the upgrade is done.
      if (readMark(vaultId.toString('base64url'), access) !== undefined) throw foreignTokens(access)
      return { vaultId, tokensKey: old.tokensKey(vaultId).reveal() }
    }
    throw new VaultError('DAMAGED', 'cannot upgrade: the token records beside the vault are damaged', {
      hints: ['mcpvault token list'],
    })
  })
}

function foreignTokens({ store }: VaultAccess): VaultError {
  const tokens = store.locate('tokens')
  return new VaultError('EXISTS', `cannot upgrade: the token records "${tokens}" belong to another native vault`, {
    hints: [
      'keep one vault in a directory',
      `if their vault is gone: mv -i ${shellWord(tokens)} ${shellWord(`${tokens}.old`)}`,
    ],
  })
}

function readValues(vault: TutorialVault, nowMs: number): ReadonlyMap<string, Secret> {
  const names = vault.names()
  if (names.length > MAX_ENTRIES) throw unkept('it holds more than 100,000 credentials')
  const odd = names.find((name) => !isNativeName(name))
  if (odd !== undefined) {
    const why = odd.isWellFormed() ? `the name "${odd}" is over 256 bytes` : 'a name holds half of a surrogate pair'
    throw unkept(why, 'rename it in the file with an editor')
  }
  return new Map(names.map((name) => [name, vault.load(name, { nowMs })]))
}

function unkept(why: string, ...hints: readonly string[]): VaultError {
  return new VaultError('INPUT', `cannot upgrade: ${why}, which the native format cannot keep`, { hints })
}

function withDocument<T>(transaction: Transaction, name: DocumentName, read: (reader: Reader | undefined) => T): T {
  const reader = transaction.open(name)
  try {
    return read(reader)
  } finally {
    reader?.close()
  }
}

function compareValues(vault: NativeVault, values: ReadonlyMap<string, Secret>): void {
  const isSame =
    vault.names().length === values.size &&
    [...values].every(([name, value]) => vault.load(name, { nowMs: 0 }).use((bytes) => bytes.equals(value.reveal())))
  if (!isSame) {
    throw new VaultError(
      'IO',
      'the native vault read back from the disk does not hold the same values; nothing was changed',
    )
  }
}
