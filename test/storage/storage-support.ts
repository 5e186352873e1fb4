/** What the storage tests share: a temporary directory, and a store over files in it. */

import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type ErrorCode, VaultError } from '../../src/errors.js'
import { createFileStore, type FileStoreOptions } from '../../src/storage/file-store.js'
import { describeSelf, formatOwner, type Owner } from '../../src/storage/owner.js'
import type { StorageHost } from '../../src/storage/read-file.js'
import type { DocumentName, ReplaceOptions, Revision, Store } from '../../src/storage/store.js'

/** This process. */
export const HOST: StorageHost = {
  pid: process.pid,
  platform: process.platform,
  uid: process.geteuid?.() ?? -1,
}

/** Makes a directory that {@link removeDirectory} removes. */
export function makeDirectory(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'mcpvault-storage-')))
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
}

/** Opens a store over `vault.enc`, `log.json` and `tokens.jsonl` in a directory. */
export function openStore(directory: string, options: Partial<FileStoreOptions> = {}): Store {
  return createFileStore({
    paths: pathsIn(directory),
    stateDirectory: join(directory, 'state'),
    lockTimeoutMs: 10_000,
    host: HOST,
    randomBytes,
    warn: () => {},
    ...options,
  })
}

export function pathsIn(directory: string): Readonly<Record<DocumentName, string>> {
  return {
    vault: join(directory, 'vault.enc'),
    log: join(directory, 'log.json'),
    tokens: join(directory, 'tokens.jsonl'),
  }
}

/** Replaces the vault with a text, from whatever state it is in. */
export function put(store: Store, text: string, options: Partial<ReplaceOptions> = {}): Promise<Revision> {
  return store.transaction('store', (tx) =>
    tx.replace('vault', Buffer.from(text), { expected: tx.read('vault')?.revision, verify() {}, ...options }),
  )
}

export function textOf(store: Store, name: DocumentName = 'vault'): string | undefined {
  return store.read(name)?.bytes.toString('utf8')
}

/** Names everything in a directory that is neither a document, a kept previous one nor the state directory. */
export function leftovers(directory: string): readonly string[] {
  const known = ['vault.enc', 'vault.enc.bak', 'vault.enc.tutorial.bak', 'log.json', 'tokens.jsonl', 'state']
  return readdirSync(directory).filter((name) => !known.includes(name))
}

/** Gives what was thrown, and fails when nothing was. */
export async function failureOf(run: () => unknown): Promise<Error> {
  try {
    await run()
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** Holds that something fails with a {@link VaultError} of a code; gives it for a closer look. */
export async function expectCode(code: ErrorCode, run: () => unknown): Promise<VaultError> {
  const failure = await failureOf(run)
  if (!(failure instanceof VaultError)) throw failure
  expect(failure.code, failure.message).toBe(code)
  expect(failure.message).toMatch(/^cannot [^.]/)
  return failure
}

/** Writes an owner record of this process with some members changed. */
export function ownerRecord(changes: Partial<Owner>): string {
  return formatOwner({ ...describeSelf(HOST, 'f'.repeat(32), 'rotate'), ...changes })
}

/** Says loudly, where a check cannot run, that it did not. */
export function announceMissing(what: string): void {
  process.stderr.write(`\n!!! NOT CHECKED on this machine: ${what}\n`)
}

/** Lets any user into a directory, for children that run as another one. */
export function openToAll(directory: string): void {
  chmodSync(directory, 0o777)
}
