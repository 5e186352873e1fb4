/** Where a key that was made here is kept: a file of this user alone, or the keychain. */

import { dirname } from 'node:path'
import { VaultError } from '../errors.js'
import { createPrivateFile, ensurePrivateDirectory } from '../storage/create-file.js'
import { formatRawKey, type RawKey, rawKeyId } from '../vault/key.js'
import type { Context } from './context.js'

/** Writes a new key into a new file. @throws {VaultError} EXISTS, IO */
export function keepKeyFile(path: string, key: RawKey, context: Context): void {
  ensurePrivateDirectory(dirname(path))
  const line = Buffer.from(`${formatRawKey(key.bytes.reveal(), key.spelling)}\n`)
  try {
    createPrivateFile(path, line, { randomBytes: (length) => context.randomBytes(length) })
  } finally {
    line.fill(0)
  }
}

/** A key that the keychain has kept. */
export interface KeptKey {
  /** Where it lies, in words. */
  readonly place: string
  undo(): void
}

/** Puts a new key into the keychain and reads it back. @throws {VaultError} NO_KEY if the keychain does not keep it */
export function keepInKeychain(key: RawKey, { keychain }: Pick<Context, 'keychain'>): KeptKey {
  const kid = rawKeyId(key.bytes.reveal())
  const text = formatRawKey(key.bytes.reveal(), key.spelling)
  keychain.write(kid, text)
  if (keychain.read(kid) !== text) {
    throw new VaultError('NO_KEY', 'cannot use the keychain: it gave back something else than it was given')
  }
  return { place: `in the keychain (mcpvault, ${kid})`, undo: () => void keychain.remove(kid) }
}
