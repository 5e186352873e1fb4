/**
 * Changes to who can open a native vault: another key slot, or another data key for the slots that stay. Each is one
 * commit with its record.
 *
 * @module
 */

import { VaultError } from '../errors.js'
import { formatUtc } from '../timestamp.js'
import { prepareSlot, sealAgeSlot, withFreshKey } from './age-key.js'
import { changeVault } from './change.js'
import { rawKeyId, type VaultKey } from './key.js'
import { findSlot, fitsPassphrase, MAX_PASSPHRASE_SLOTS, passphraseSlot, type SlotKey, wrapSlot } from './key-slots.js'
import { NativeDraft } from './native-draft.js'
import type { KeySlot, NativeHeader } from './native-format.js'
import { splitEntries } from './native-entry.js'
import { NativeVault } from './native-vault.js'
import { openVault } from './open.js'
import { drawResealing, type Resealing } from './reseal.js'
import type { Draft, LogEvent, VaultAccess } from './vault.js'

/**
 * Wraps the data key for more keys.
 *
 * @throws {VaultError} EXISTS if a key, recipient or label has a slot already; INPUT in the tutorial format, or if the
 * header would be too long; and what `changeVault` throws.
 */
export async function addSlots(access: VaultAccess, slotKeys: readonly SlotKey[]): Promise<readonly KeySlot[]> {
  return changeVault(access, 'key add', (draft) => {
    const native = requireNative(draft)
    const { header, keys } = native.opened
    const slots = [...header.keys]
    const context = {
      vaultId: Buffer.from(header.vault_id, 'base64url'),
      dekId: header.dek.id,
      randomBytes: access.randomBytes.bind(access),
    }
    const added = slotKeys.map((slotKey) => {
      refuseTwice(slots, slotKey.slot)
      const slot = wrapSlot(keys.dek.reveal(), slotKey, context)
      slots.push(slot)
      native.events.push(keyEvent('key-added', describeSlot(slot), access))
      return slot
    })
    native.slots = slots
    return added
  })
}

function refuseTwice(slots: readonly KeySlot[], { kid, type, label, kdf }: SlotKey['slot']): void {
  const same = slots.find(
    (slot) =>
      slot.kid === kid || (kdf?.name === 'age' && slot.kdf?.name === 'age' && slot.kdf.recipient === kdf.recipient),
  )
  if (same !== undefined) {
    throw new VaultError(
      'EXISTS',
      `cannot add the key: the vault opens with it already, by the slot ${describeSlot(same)}`,
    )
  }
  if (label !== undefined && slots.some((slot) => slot.label === label)) {
    throw new VaultError('EXISTS', `cannot add the key: another slot has the label "${label}"`)
  }
  if (type === 'passphrase' && slots.filter((slot) => slot.type === type).length >= MAX_PASSPHRASE_SLOTS) {
    throw new VaultError('INPUT', `cannot add the passphrase: a vault has at most ${MAX_PASSPHRASE_SLOTS} of them`)
  }
}

/** Names a slot for people: its id, and whose it is. */
export function describeSlot({ kid, type, label, kdf }: Omit<KeySlot, 'wrap'>): string {
  const whose = label ?? (kdf?.name === 'age' ? kdf.recipient : undefined)
  return `${kid} (${type}${whose === undefined ? '' : `, ${whose}`})`
}

/** How the slots that stay are sealed anew. */
export interface RekeyPlan {
  /** In the order of the header that it was made for. */
  readonly slots: readonly SlotKey[]
  readonly dropped: readonly KeySlot[]
  /** The header's data key and slots when the plan was made. */
  readonly madeFor: Pick<NativeHeader, 'dek' | 'keys'>
}

/** What a plan is made of. */
export interface PlanOptions {
  /** Ids of slots that go. */
  readonly drop: ReadonlySet<string>
  /** Keys beside the one at hand. */
  readonly keys: readonly VaultKey[]
  /** Asks for the passphrase of a slot; undefined where nobody can be asked. */
  readonly askPassphrase: (slot: KeySlot) => Promise<VaultKey | undefined>
}

/** Opens the vault and gives its header. @throws {VaultError} INPUT in the tutorial format, and what opening throws */
export async function readHeader(access: VaultAccess): Promise<NativeHeader> {
  const vault = await withFreshKey(access, () => openVault(access))
  if (!(vault instanceof NativeVault)) throw needsSlots()
  return vault.parts.header
}

/**
 * Makes a fresh slot key for every slot that stays: an age slot takes its recipient alone, any other its key.
 *
 * @throws {VaultError} NO_KEY naming each slot whose key was not given, WRONG_KEY if a passphrase does not fit, INPUT if
 * no slot would stay.
 */
export async function planRekey(access: VaultAccess, options: PlanOptions): Promise<RekeyPlan> {
  const header = await readHeader(access)
  const dropped = header.keys.filter(({ kid }) => options.drop.has(kid))
  const staying = header.keys.filter(({ kid }) => !options.drop.has(kid))
  if (staying.length === 0) {
    throw new VaultError('INPUT', 'cannot drop every key slot: nobody could open the vault any more', {
      hints: ['add another key first: mcpvault key add'],
    })
  }
  refuseOwnSlot(access, header, dropped)
  const slots: SlotKey[] = []
  const missing: KeySlot[] = []
  for (const slot of staying) {
    const made = await renewSlot(slot, { header, access, options })
    if (made === undefined) missing.push(slot)
    else slots.push(made)
  }
  if (missing.length > 0) throw missingKeys(missing)
  return { slots, dropped, madeFor: header }
}

function refuseOwnSlot({ key }: VaultAccess, header: NativeHeader, dropped: readonly KeySlot[]): void {
  const own =
    key?.type === 'passphrase' ? dropped.find((slot) => fitsPassphrase(header, slot, key.text)) : findSlot(dropped, key)
  if (own === undefined) return
  throw new VaultError(
    'INPUT',
    `cannot drop the key slot ${describeSlot(own)}: it is the one that opens the vault here`,
    {
      hints: ['run the command with another key of the vault'],
    },
  )
}

interface Renewal {
  readonly header: NativeHeader
  readonly access: VaultAccess
  readonly options: PlanOptions
}

async function renewSlot(slot: KeySlot, { header, access, options }: Renewal): Promise<SlotKey | undefined> {
  const randomBytes = access.randomBytes.bind(access)
  const { key } = access
  if (slot.kdf?.name === 'age') {
    const made = await sealAgeSlot(slot.kdf.recipient, randomBytes, slot)
    const isMine = key?.type === 'age' && findSlot([slot], key) !== undefined
    if (isMine && made.slot.kdf?.name === 'age') key.slotKeys.set(made.slot.kdf.file, made.key)
    return made
  }
  const given = [...(key === undefined ? [] : [key]), ...options.keys]
  if (slot.type === 'raw') {
    const raw = given.find((one) => one.type === 'raw' && rawKeyId(one.bytes.reveal()) === slot.kid)
    return raw && prepareSlot(raw, randomBytes, slot)
  }
  const known = given.find((one) => one.type === 'passphrase' && fitsPassphrase(header, slot, one.text))
  const passphrase = known ?? (await options.askPassphrase(slot))
  if (passphrase?.type !== 'passphrase') return undefined
  if (known === undefined && !fitsPassphrase(header, slot, passphrase.text)) {
    throw new VaultError('WRONG_KEY', `cannot renew the key slot ${describeSlot(slot)}: the passphrase does not fit`)
  }
  return passphraseSlot(passphrase.text, randomBytes, slot)
}

function missingKeys(slots: readonly KeySlot[]): VaultError {
  const named = slots.map(describeSlot).join(', ')
  return new VaultError(
    'NO_KEY',
    `cannot change the data key: these slots can only be renewed with their keys: ${named}`,
    {
      hints: [
        ...(slots.some(({ type }) => type === 'raw') ? ['give each raw key: --slot-key-file FILE'] : []),
        ...(slots.some(({ type }) => type === 'passphrase') ? ['a passphrase is asked on a terminal'] : []),
        `or drop them: --drop-slots ${slots.map(({ kid }) => kid).join(',')}`,
      ],
    },
  )
}

/** What changing the data key did. */
export interface Rekeyed {
  readonly dekId: string
  readonly commit: string
  /** How many values were sealed anew. */
  readonly values: number
  readonly credentials: number
}

/** How the data key is changed. */
export interface RekeyOptions {
  readonly action: 'key-rotated' | 'key-removed'
  readonly reason?: string | undefined
  /** Marks every credential as leaked in the same commit. */
  readonly isLeaked: boolean
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Draws a new data key, seals every version of every credential under it, and wraps it for the slots that stay: one
 * commit. The generation before, and a `.bak` of it, are gone afterwards; the tokens key and all tokens stay.
 *
 * @throws {VaultError} LOCKED if somebody else changed the key slots since the plan was made, and what `changeVault`
 * throws.
 */
export async function changeDataKey(access: VaultAccess, plan: RekeyPlan, options: RekeyOptions): Promise<Rekeyed> {
  const command = options.action === 'key-removed' ? 'key remove' : 'key rotate'
  const resealing = await prepareResealing(access, plan, options)
  const credentials = await changeVault(access, command, (draft) => {
    const native = requireNative(draft)
    refuseStalePlan(plan, native.opened.header)
    if (options.isLeaked) markAllLeaked(native, options, access)
    native.resealing = resealing
    native.dropsValues = true
    for (const slot of plan.dropped) native.events.push(keyEvent('key-removed', describeSlot(slot), access))
    native.events.push(keyEvent('key-rotated', options.reason, access))
    return native.names().length
  })
  const { id, commit, count } = resealing.dek()
  return { dekId: id, commit, values: count, credentials }
}

/** Seals everything ahead of the lock, which is not held for as long as that may take. */
async function prepareResealing(
  access: VaultAccess,
  plan: RekeyPlan,
  { onProgress }: RekeyOptions,
): Promise<Resealing> {
  const vault = await withFreshKey(access, () => openVault(access))
  if (!(vault instanceof NativeVault) || vault.keys === undefined) throw needsSlots()
  const { header, entries } = vault.parts
  refuseStalePlan(plan, header)
  const resealing = drawResealing(
    { header, keys: vault.keys },
    {
      slots: plan.slots,
      randomBytes: access.randomBytes.bind(access),
      ...(onProgress === undefined ? {} : { onProgress }),
    },
  )
  const lines = splitEntries(entries)
  resealing.prepare(lines.values(), lines.size)
  return resealing
}

/** One record stands for all: a record for each would not fit into the header. */
function markAllLeaked(draft: NativeDraft, { reason }: RekeyOptions, access: VaultAccess): void {
  const from = draft.events.length
  for (const name of draft.names()) draft.markLeaked(name, {})
  const count = draft.events.splice(from).length
  if (count === 0) return
  const base = { credential: null, rotated_at: formatUtc(access.now()), action: 'leaked' } as const
  draft.events.push({ ...base, count, ...(reason === undefined ? {} : { reason }) })
}

function refuseStalePlan({ madeFor }: RekeyPlan, header: NativeHeader): void {
  const same = JSON.stringify(madeFor.keys) === JSON.stringify(header.keys) && madeFor.dek.commit === header.dek.commit
  if (same) return
  throw new VaultError('LOCKED', 'cannot change the data key: somebody else changed the keys of the vault just now', {
    hints: ['nothing was changed; look at them with mcpvault key list and run the command again'],
  })
}

function keyEvent(
  action: 'key-added' | 'key-removed' | 'key-rotated',
  reason: string | undefined,
  access: VaultAccess,
): LogEvent {
  return { credential: null, rotated_at: formatUtc(access.now()), action, ...(reason === undefined ? {} : { reason }) }
}

function requireNative(draft: Draft): NativeDraft {
  if (draft instanceof NativeDraft) return draft
  throw needsSlots()
}

/** Builds the error for the tutorial format, which has no key slots. */
export function needsSlots(): VaultError {
  return new VaultError('INPUT', 'the tutorial format knows one raw key and no key slots', {
    hints: ['mcpvault upgrade'],
  })
}
