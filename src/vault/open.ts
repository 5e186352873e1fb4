import { VaultError } from '../errors.js'
import type { Snapshot, Store } from '../storage/store.js'
import type { VaultKey } from './key.js'
import { checkMark } from './marks.js'
import { NativeVault } from './native-vault.js'
import { TutorialVault } from './tutorial-vault.js'
import { MAX_VAULT_BYTES, type Vault, type VaultAccess } from './vault.js'

const ATTEMPTS = 6
const PAUSE_MS = 25

/**
 * Reads and opens the vault; without a key it is opened unverified and gives no values.
 *
 * A tutorial program writes in place, so its file may be half-written at the moment of reading, and a writer may move the
 * marks between our two reads: a failure counts only once the file has kept still.
 *
 * @throws {VaultError} NOT_FOUND, DAMAGED, WRONG_KEY, RESTORED, UNSAFE, INPUT, IO
 */
export function openVault(access: VaultAccess): Vault {
  for (let attempt = 1; ; attempt++) {
    const snapshot = readVault(access.store, access.store.locate('vault'))
    try {
      const vault = parseVault(snapshot.bytes, access.key)
      if (vault instanceof NativeVault) checkMark(vault, access, 'read')
      return vault
    } catch (error) {
      if (attempt === ATTEMPTS || !mayPass(error, snapshot, access)) throw error
    }
  }
}

/** Reads the vault's bytes. @throws {VaultError} NOT_FOUND, INPUT, UNSAFE, IO */
export function readVault(source: Pick<Store, 'read'>, path: string): Snapshot {
  const snapshot = source.read('vault', MAX_VAULT_BYTES)
  if (snapshot === undefined) throw new VaultError('NOT_FOUND', `no vault at "${path}"`, { hints: ['mcpvault init'] })
  return snapshot
}

/** Opens bytes in whichever format they are. @throws {VaultError} DAMAGED, WRONG_KEY */
export function parseVault(bytes: Buffer, key: VaultKey | undefined): NativeVault | TutorialVault {
  return isNative(bytes) ? NativeVault.open(bytes, key) : new TutorialVault(bytes, key)
}

/** A native vault is a JSON array; everything else is held to be a tutorial vault, which says itself when it is none. */
export function isNative(bytes: Buffer): boolean {
  return bytes[0] === 0x5b
}

function mayPass(error: unknown, snapshot: Snapshot, access: VaultAccess): boolean {
  if (!(error instanceof VaultError)) return false
  if (error.code === 'DAMAGED' && !isNative(snapshot.bytes)) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
  } else if (error.code !== 'RESTORED') return false
  return access.store.read('vault', MAX_VAULT_BYTES)?.revision.id !== snapshot.revision.id
}
