import { VaultError } from '../errors.js'
import type { TokenAccess } from '../tokens/change.js'
import { TokenRecords } from '../tokens/records.js'
import { type TokenRequest, type Verdict, verifyToken } from '../tokens/verify.js'
import type { Opened } from './open-vault.js'

/**
 * Judges a token for a command that acts on it: damaged or shortened records refuse like a bad token, since whoever
 * holds the token is not told why.
 */
export function checkToken(token: string | undefined, request: TokenRequest, opened: Opened): Verdict {
  const { vault, access } = opened
  try {
    const records = TokenRecords.open(access.store, vault)
    return verifyToken(token, request, { records, nowMs: access.now() })
  } catch (error) {
    const isRefusal = error instanceof VaultError && (error.code === 'DAMAGED' || error.code === 'RESTORED')
    if (isRefusal) return { allowed: false, reason: 'damaged-records' }
    throw error
  }
}

/** Puts together what a change to the token records needs. */
export function tokenAccess({ vault, access }: Opened): TokenAccess {
  return {
    store: access.store,
    keys: vault,
    acceptRestore: access.acceptRestore,
    now: () => access.now(),
    randomBytes: (length) => access.randomBytes(length),
    warn: (message) => access.warn(message),
  }
}
