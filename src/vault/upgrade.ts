import { VaultError } from '../errors.js'
import { appendRecords } from '../log/append.js'
import { sealRecord } from '../log/record.js'
import type { Secret } from '../secret.js'
import type { Reader, Transaction } from '../storage/store.js'
import { formatUtc } from '../timestamp.js'
import { drawVault, logStand } from './create.js'
import { raiseMark } from './marks.js'
import { NativeDraft } from './native-draft.js'
import { NativeVault, noKey } from './native-vault.js'
import { isNative, readVault } from './open.js'
import { TutorialVault } from './tutorial-vault.js'
import type { VaultAccess } from './vault.js'

/** Options of {@link upgradeVault}. */
export interface UpgradeOptions {
  /** Reads the date that each value is known to be from, in milliseconds since the epoch, out of the log. */
  readonly readDates: (log: Reader, names: readonly string[]) => ReadonlyMap<string, number>
}

/**
 * Replaces a tutorial vault by a native one with the same values, and keeps the old file as `.tutorial.bak`. Gives the
 * number of credentials.
 *
 * The native file is read back from the disk and every value compared before it takes the old one's place.
 *
 * @throws {VaultError} INPUT if the vault is native already or a name cannot be kept, DAMAGED if a value does not open,
 * EXISTS if a `.tutorial.bak` is there, and what `changeVault` throws.
 */
export async function upgradeVault(access: VaultAccess, options: UpgradeOptions): Promise<number> {
  return access.store.transaction('upgrade', (transaction) => upgradeOnce(access, transaction, options))
}

function upgradeOnce(access: VaultAccess, transaction: Transaction, options: UpgradeOptions): number {
  const { key, store } = access
  const snapshot = readVault(transaction, store.locate('vault'))
  if (isNative(snapshot.bytes))
    throw new VaultError('INPUT', 'cannot upgrade: the vault is in the native format already')
  if (key === undefined) throw noKey()
  const values = readValues(new TutorialVault(snapshot.bytes, key), access.now())
  const names = [...values.keys()]
  const randomBytes = access.randomBytes.bind(access)
  const stand = logStand(transaction)
  const fresh = drawVault(key, randomBytes, stand)
  const event = {
    credential: null,
    rotated_at: formatUtc(access.now()),
    action: 'imported',
    count: names.length,
  } as const
  const record = sealRecord(
    { ...event, by: access.by, reason: 'upgraded from the tutorial format' },
    { seq: fresh.header.log.seq + 1, prev: fresh.header.log.head, id: randomBytes(8).toString('hex') },
  )
  const header = { ...fresh.header, log: { seq: record.seq ?? 0, head: record.hash ?? '', pending: [record] } }
  const draft = new NativeDraft(NativeVault.empty(header, fresh.keys), fresh.keys, { nowMs: access.now(), randomBytes })
  const dates = readDates(transaction, names, options)
  for (const [name, value] of values) draft.adopt(name, value, dates.get(name))
  const bytes = draft.seal(header)
  transaction.replace('vault', bytes, {
    expected: snapshot.revision,
    verify: (read) => compareValues(NativeVault.open(read, key), values),
    keepPrevious: '.tutorial.bak',
  })
  for (const value of values.values()) value.wipe()
  appendRecords(transaction, [record])
  raiseMark(NativeVault.openWith(bytes, fresh.keys), access)
  return names.length
}

function readValues(vault: TutorialVault, nowMs: number): Map<string, Secret> {
  const values = new Map<string, Secret>()
  for (const name of vault.names()) {
    if (!name.isWellFormed()) {
      throw new VaultError(
        'INPUT',
        'cannot upgrade: a name holds half of a surrogate pair, which the native format cannot keep',
        {
          hints: ['rename it in the file with an editor'],
        },
      )
    }
    values.set(name, vault.load(name, { nowMs }))
  }
  return values
}

function readDates(
  transaction: Transaction,
  names: readonly string[],
  options: UpgradeOptions,
): ReadonlyMap<string, number> {
  const reader = transaction.open('log')
  if (reader === undefined) return new Map()
  try {
    return options.readDates(reader, names)
  } finally {
    reader.close()
  }
}

function compareValues(vault: NativeVault, values: ReadonlyMap<string, Secret>): void {
  const isSame = [...values].every(([name, value]) =>
    vault.load(name, { nowMs: 0 }).use((bytes) => bytes.equals(value.reveal())),
  )
  if (!isSame || vault.names().length !== values.size) {
    throw new VaultError(
      'IO',
      'the native vault read back from the disk does not hold the same values; nothing was changed',
    )
  }
}
