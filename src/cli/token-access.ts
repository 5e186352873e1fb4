import { VaultError } from '../errors.js'
import { BudgetKeeper, type Spending } from '../tokens/budget.js'
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
    if (isRefusal(error)) return { allowed: false, reason: 'damaged-records' }
    throw error
  }
}

/**
 * Spends one call of an allowed token's budgets, durably; gives false if none is left by now. Nothing is written for a
 * token without a budget.
 *
 * @throws {VaultError} LOCKED, IO, DURABILITY, UNSAFE: then the call must not be made.
 */
export async function spendCall(spending: Spending, opened: Opened): Promise<boolean> {
  try {
    // A command makes one call, and would forfeit whatever else it set aside.
    return await new BudgetKeeper(tokenAccess(opened), { ahead: 1 }).spend(spending)
  } catch (error) {
    if (isRefusal(error)) return false
    throw error
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof VaultError && (error.code === 'DAMAGED' || error.code === 'RESTORED')
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
