/** A process that kills itself in the middle of a restore. Arguments: directory, key, backup, where to die. */

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { openBackup, readBackup } from '../../src/backup/read-backup.js'
import { restoreBackup } from '../../src/backup/restore.js'
import { Secret } from '../../src/secret.js'
import { createFileStore } from '../../src/storage/file-store.js'
import type { Store, Transaction } from '../../src/storage/store.js'
import type { VaultAccess } from '../../src/vault/vault.js'

const [directory = '', keyText = '', backupDirectory = '', place = ''] = process.argv.slice(2)
const host = { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 }

const real = createFileStore({
  paths: {
    vault: join(directory, 'mcp_credentials.enc'),
    log: join(directory, 'rotation_log.json'),
    tokens: join(directory, 'mcp_tokens.jsonl'),
  },
  stateDirectory: join(directory, 'state'),
  lockTimeoutMs: 5000,
  host,
  randomBytes,
  warn: () => {},
})

const store: Store = {
  ...real,
  transaction: (command, body) => real.transaction(command, (transaction) => body(deadly(transaction))),
  marks: {
    read: (id) => real.marks.read(id),
    raise: (id, merge) => {
      dieAt('mark')
      return real.marks.raise(id, merge)
    },
  },
}

const key = { type: 'raw', bytes: new Secret(Buffer.from(keyText, 'base64url')), spelling: 'base64url' } as const
const access: VaultAccess = {
  store,
  key,
  by: 'child@machine',
  zone: 'UTC',
  acceptRestore: false,
  isInGit: () => false,
  now: () => Date.UTC(2026, 10, 23),
  randomBytes,
  warn: () => {},
}

const backup = readBackup(backupDirectory, host)
await restoreBackup(access, openBackup(backup, key, store), {
  keepIn: join(directory, `kept-${process.pid}`),
  mayReplace: true,
  host,
})
backup.close()

function deadly(transaction: Transaction): Transaction {
  return {
    read: transaction.read.bind(transaction),
    open(name) {
      dieAt(`open ${name}`)
      return transaction.open(name)
    },
    discardPrevious: transaction.discardPrevious.bind(transaction),
    replace(name, bytes, options) {
      const verify = (read: Buffer): void => {
        options.verify(read)
        dieAt(`verify ${name}`)
      }
      const revision = transaction.replace(name, bytes, { ...options, verify })
      dieAt(`replaced ${name}`)
      return revision
    },
    append(name, bytes, options) {
      dieAt(`append ${name}`)
      const revision = transaction.append(name, bytes, options)
      dieAt(`appended ${name}`)
      return revision
    },
  }
}

function dieAt(here: string): void {
  if (here === place) process.kill(process.pid, 'SIGKILL')
}
