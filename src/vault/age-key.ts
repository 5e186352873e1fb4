import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import type { Store } from '../storage/store.js'
import type { AgeKey, VaultKey } from './key.js'
import { ageSlot, isStaleKey, passphraseSlot, rawSlot, type SlotKey, type SlotOptions } from './key-slots.js'
import type { RandomBytes } from './native-keys.js'
import { readSlots } from './slots.js'

const SLOT_KEY_BYTES = 32
const ATTEMPTS = 5

/** A slot for an age recipient, as far as reading it takes. */
export interface AgeSlot {
  readonly recipient: string
  /** The age file with the slot key, base64url. */
  readonly file: string
}

/**
 * Opens the slots that are for an age key's identities and keeps their slot keys in it, so that a vault can be opened at
 * once; those that were opened before are left alone.
 *
 * @throws {VaultError} NO_KEY if an identity has a typing error.
 */
export async function readAgeSlots(key: AgeKey, slots: readonly AgeSlot[]): Promise<void> {
  const { ageRecipient, openAge } = await import('../crypto/age.js')
  const identities = key.identities.reveal().toString('utf8').split('\n')
  if (key.recipients.length === 0) {
    for (const identity of identities) {
      const recipient = await ageRecipient(identity)
      if (recipient === undefined) throw malformedIdentity(key)
      key.recipients.push(recipient)
    }
  }
  for (const { recipient, file } of slots) {
    if (!key.recipients.includes(recipient) || key.slotKeys.has(file)) continue
    const opened = await openAge(identities, Buffer.from(file, 'base64url'))
    key.slotKeys.set(file, opened?.length === SLOT_KEY_BYTES ? new Secret(opened) : undefined)
  }
}

function malformedIdentity({ source }: AgeKey): VaultError {
  return new VaultError('NO_KEY', `cannot read the key from ${source ?? 'an age identity'}: its checksum does not fit`)
}

/**
 * Runs what opens the vault, and again when the vault was sealed anew for an age identity meanwhile.
 *
 * @throws {StaleKeyError} if that never ends, and what `open` throws.
 */
export async function withFreshKey<T>(
  { key, store }: { readonly key: VaultKey | undefined; readonly store: Pick<Store, 'open'> },
  open: () => T | Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open()
    } catch (error) {
      if (!isStaleKey(error) || key?.type !== 'age' || attempt === ATTEMPTS) throw error
      await readAgeSlots(key, ageSlotsOf(store))
    }
  }
}

/** The age slots that a vault lists. */
export function ageSlotsOf(store: Pick<Store, 'open'>): readonly AgeSlot[] {
  return (readSlots(store) ?? []).flatMap(({ age }) => age ?? [])
}

/**
 * Makes a slot for an age recipient under a fresh slot key.
 *
 * @throws {VaultError} INPUT if the recipient has a typing error.
 */
export async function sealAgeSlot(
  recipient: string,
  randomBytes: RandomBytes,
  options: SlotOptions = {},
): Promise<SlotKey> {
  const { sealAge } = await import('../crypto/age.js')
  const slotKey = randomBytes(SLOT_KEY_BYTES)
  const file = await sealAge(recipient, slotKey)
  if (file === undefined) {
    throw new VaultError('INPUT', `cannot seal for "${recipient}": its checksum does not fit`, {
      hints: ['the recipient is the line that begins with age1; mcpvault key identity prints it'],
    })
  }
  return ageSlot(new Secret(slotKey), { recipient, file, randomBytes }, options)
}

/**
 * Makes the slot of a key that is at hand. Of several age identities it is the first.
 *
 * @throws {VaultError} NO_KEY, INPUT
 */
export async function prepareSlot(
  key: VaultKey,
  randomBytes: RandomBytes,
  options: SlotOptions = {},
): Promise<SlotKey> {
  if (key.type === 'raw') return rawSlot(key, options)
  if (key.type === 'passphrase') return passphraseSlot(key.text, randomBytes, options)
  await readAgeSlots(key, [])
  const made = await sealAgeSlot(key.recipients[0] ?? '', randomBytes, options)
  const { kdf } = made.slot
  // What was sealed a moment ago need not be opened.
  if (kdf?.name === 'age') key.slotKeys.set(kdf.file, made.key)
  return made
}

/** Draws an age identity and gives it with its recipient. */
export async function drawIdentity(): Promise<{ readonly identity: Secret; readonly recipient: string }> {
  const { ageRecipient, drawAgeIdentity } = await import('../crypto/age.js')
  const identity = await drawAgeIdentity()
  return { identity: Secret.fromText(identity), recipient: (await ageRecipient(identity)) as string }
}
