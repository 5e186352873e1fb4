/** What the backup tests share: vaults with tokens, backups of them, and places to put them back. */

import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createBackup } from '../../src/backup/backup.js'
import { type Backup, openBackup, readBackup } from '../../src/backup/read-backup.js'
import { type Restored, restoreBackup } from '../../src/backup/restore.js'
import { createToken, revokeTokens, type TokenAccess } from '../../src/tokens/change.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { verifyToken } from '../../src/tokens/verify.js'
import type { VaultFormat } from '../../src/vault/vault.js'
import { VaultWorld } from '../vault/vault-support.js'

export const HOST = { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 }

export const FILES = ['mcp_credentials.enc', 'rotation_log.json', 'mcp_tokens.jsonl'] as const

/** A vault with two credentials and a token, and what is done with it. */
export class BackupWorld {
  readonly world: VaultWorld
  #count = 0

  constructor(world: VaultWorld) {
    this.world = world
  }

  static async create(format: VaultFormat = 'native'): Promise<BackupWorld> {
    const made = new BackupWorld(await VaultWorld.create({ format }))
    await made.world.put('a', 'a1')
    await made.world.put('b', 'b1')
    return made
  }

  path(name: string): string {
    return join(this.world.directory, name)
  }

  async backup(name = `backup-${++this.#count}`): Promise<string> {
    await createBackup(this.world.access(), { directory: this.path(name), host: HOST })
    return this.path(name)
  }

  /** Puts a backup back and gives what that did; a new directory each time for what was there. */
  async restore(directory: string, options: { readonly mayReplace?: boolean } = {}): Promise<Restored> {
    return this.withBackup(directory, (backup) => {
      const access = this.world.access()
      const opened = openBackup(backup, this.world.key, access.store)
      const keepIn = this.path(`kept-${++this.#count}`)
      return restoreBackup(access, opened, { keepIn, mayReplace: options.mayReplace ?? true, host: HOST })
    })
  }

  async withBackup<T>(directory: string, use: (backup: Backup) => T | Promise<T>): Promise<T> {
    const backup = readBackup(directory, HOST)
    try {
      return await use(backup)
    } finally {
      backup.close()
    }
  }

  tokenAccess(): TokenAccess {
    const { store, now, randomBytes, warn } = this.world.access()
    return { store, keys: this.world.open(), acceptRestore: false, now, randomBytes, warn }
  }

  async token(): Promise<string> {
    const { token } = await createToken(this.tokenAccess(), { tools: ['x'], ttlSeconds: 20 * 86_400 })
    return token
  }

  async revoke(token: string): Promise<void> {
    await revokeTokens(this.tokenAccess(), { names: [token] })
  }

  /** Whether a token may be used now; the records must be readable. */
  allows(token: string): boolean {
    const records = TokenRecords.open(this.world.store(), this.world.open())
    return verifyToken(token, { method: 'tools', tool: 'x' }, { records, nowMs: this.world.nowMs }).allowed
  }

  remove(...names: readonly string[]): void {
    for (const name of names) rmSync(this.path(name), { recursive: true })
  }

  /** Forgets what this machine has seen, as a fresh one. */
  forgetMarks(): void {
    rmSync(this.world.stateDirectory, { recursive: true, force: true })
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name))
  }

  list(directory: string): readonly string[] {
    return readdirSync(directory).sort()
  }
}
