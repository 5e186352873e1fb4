import type { VaultError } from '../errors.js'
import type { StorageHost } from '../storage/read-file.js'
import type { Store } from '../storage/store.js'
import type { NativeVault } from '../vault/native-vault.js'
import type { TutorialVault } from '../vault/tutorial-vault.js'
import type { VaultAccess } from '../vault/vault.js'

/** What is known of the key before the vault is opened. */
export type KeyState =
  /** `path` is the file that it came from, if it came from one. */
  | { readonly kind: 'found'; readonly source: string; readonly path: string | undefined }
  /** It is there, and is malformed or unsafe. */
  | { readonly kind: 'refused'; readonly error: VaultError }
  /** None is at hand without asking or running a program. */
  | { readonly kind: 'none' }

/** All that an examination looks at. */
export interface Scene {
  /** Its key is undefined unless one was found. */
  readonly access: VaultAccess
  readonly key: KeyState
  readonly host: StorageHost
  readonly stateDirectory: string
  /** Says where temporary directories lie. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A vault of either format. */
export type AnyVault = NativeVault | TutorialVault

/** Makes a store that only looks: it moves no marks and changes nothing. */
export function lookingOnly(store: Store): Store {
  return {
    ...store,
    transaction: () => Promise.reject(new Error('an examination changes nothing')),
    marks: { read: (id) => store.marks.read(id), raise: () => true },
  }
}
