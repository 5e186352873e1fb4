import type { AgeSlot } from './age-key.js'
import type { Store } from '../storage/store.js'

/** A way to open a native vault, as its header lists it, unverified. */
export interface ListedSlot {
  readonly kid: string
  readonly type: string
  /** Whether the key lies in a keychain under `kid`. */
  readonly isInKeychain: boolean
  /** What reading an `age` slot takes. */
  readonly age: AgeSlot | undefined
}

/** As native-format.ts prints a slot, with white space where a tutorial program has printed it anew. */
const SLOT =
  /"kid":\s*"([0-9a-f]{16})",\s*"type":\s*"([a-z]+)"(,\s*"keychain":\s*true)?(?:,\s*"label":\s*"[^"\\]*")?(?:,\s*"kdf":\s*\{\s*"name":\s*"age",\s*"recipient":\s*"(age1[a-z0-9]+)",\s*"file":\s*"([A-Za-z0-9_-]{1,1024})")?/g

/** A header line has at most 64 KiB; the first line comes before it. */
const HEAD_BYTES = 65 * 1024

/**
 * Reads which keys a vault lists, for choosing one; undefined when it is no native vault, which lists none.
 *
 * Only the beginning of the file is read and nothing is verified: a forged list can make us ask for a passphrase in vain,
 * no more.
 */
export function readSlots(store: Pick<Store, 'open'>): readonly ListedSlot[] | undefined {
  const reader = store.open('vault')
  if (reader === undefined) return undefined
  try {
    const head = reader.read(0, HEAD_BYTES).toString('latin1')
    if (!/^\[\s*"mcpvault\/1"/.test(head)) return undefined
    const listed = Array.from(head.matchAll(SLOT), ([, kid = '', type = '', keychain, recipient, file]): ListedSlot => {
      const age = recipient === undefined || file === undefined ? undefined : { recipient, file }
      return { kid, type, isInKeychain: keychain !== undefined, age }
    })
    // A header without slots is damaged, which opening it says better.
    return listed.length === 0 ? undefined : listed
  } finally {
    reader.close()
  }
}
