import type { Store } from '../storage/store.js'

/** A way to open a native vault, as its header lists it, unverified. */
export interface ListedSlot {
  readonly kid: string
  readonly type: string
}

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
    const slots = head.matchAll(/"kid":\s*"([0-9a-f]{16})",\s*"type":\s*"([a-z]+)"/g)
    const listed = Array.from(slots, ([, kid = '', type = '']) => ({ kid, type }))
    // A header without slots is damaged, which opening it says better.
    return listed.length === 0 ? undefined : listed
  } finally {
    reader.close()
  }
}
