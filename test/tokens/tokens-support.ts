/** What the token tests share: a store over real files, keys as the two vault formats have them, and tokens. */

import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { hkdfSha256 } from '../../src/crypto/kdf.js'
import { type Macaroon, mintMacaroon } from '../../src/crypto/macaroon.js'
import { type ErrorCode, VaultError } from '../../src/errors.js'
import { Secret } from '../../src/secret.js'
import { createFileStore } from '../../src/storage/file-store.js'
import type { Store } from '../../src/storage/store.js'
import type { TokenAccess } from '../../src/tokens/change.js'
import type { TokenKeys } from '../../src/tokens/records.js'
import { deriveRootKey } from '../../src/tokens/token.js'
import type { TokenRequest } from '../../src/tokens/verify.js'

/** 2026-11-22T18:00:00Z. */
export const NOW = Date.UTC(2026, 10, 22, 18)
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE

export const SEARCH: TokenRequest = { method: 'tools', tool: 'web_search' }

const MASTER_KEY = Buffer.alloc(32, 0x42)

/** Keys as a native vault has them: the store id is the vault's. */
export function nativeKeys(fill = 0x11): TokenKeys {
  return { tokenStoreId: Buffer.alloc(16, fill), tokensKey: () => new Secret(Buffer.alloc(32, fill)) }
}

/** Keys as a tutorial vault has them: the file of records draws its own store id. */
export function tutorialKeys(master = MASTER_KEY): TokenKeys {
  return {
    tokenStoreId: undefined,
    tokensKey: (storeId) => new Secret(hkdfSha256(master, storeId, 'mcpvault/tokens', 32)),
  }
}

export interface TestAccess extends TokenAccess {
  readonly warnings: string[]
  readonly recordsPath: string
}

/** Opens token records in a directory, as one command does. */
export function openAccess(directory: string, options: Partial<TokenAccess> = {}): TestAccess {
  const warnings: string[] = []
  return {
    store: openStore(directory),
    keys: nativeKeys(),
    acceptRestore: false,
    now: () => NOW,
    randomBytes,
    warn: (message) => void warnings.push(message),
    ...options,
    warnings,
    recordsPath: recordsPath(directory),
  }
}

export function openStore(directory: string): Store {
  return createFileStore({
    paths: { vault: join(directory, 'v.enc'), log: join(directory, 'log.json'), tokens: recordsPath(directory) },
    stateDirectory: join(directory, 'state'),
    lockTimeoutMs: 30_000,
    host: { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 },
    randomBytes,
    warn() {},
  })
}

export function recordsPath(directory: string): string {
  return join(directory, 'mcp_tokens.jsonl')
}

/** Forgets what this machine has seen, as a fresh machine has. */
export function forgetMarks(directory: string): void {
  rmSync(join(directory, 'state'), { recursive: true, force: true })
}

export function readLines(path: string): string[] {
  return readFileSync(path, 'utf8').trimEnd().split('\n')
}

/** Writes in place, as an editor or an attacker does. */
export function overwrite(path: string, bytes: Buffer | string): void {
  writeFileSync(path, bytes)
}

/** Signs any caveats at all, as the owner of the key could. */
export function mintWith(tokensKey: Buffer, identifier: Buffer, caveats: readonly string[]): Macaroon {
  const bytes = caveats.map((caveat) => Buffer.from(caveat))
  return mintMacaroon(deriveRootKey(tokensKey, identifier), identifier, bytes)
}

/** Holds that something fails with a code, and that no token stands in what it says. */
export async function expectCode(code: ErrorCode, run: () => unknown): Promise<VaultError> {
  let failure: unknown
  try {
    await run()
  } catch (error) {
    failure = error
  }
  if (!(failure instanceof VaultError)) throw failure ?? new Error('it did not fail')
  expect(failure.code, failure.message).toBe(code)
  expect(failure.message).toMatch(/^cannot [^.]/)
  expect([failure.message, ...failure.hints].join()).not.toMatch(/mcpv_[A-Za-z0-9_-]{6}/)
  return failure
}
