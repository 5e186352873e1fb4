/** A process that kills itself in the middle of a change. Arguments: directory, key, what to do, where to die. */

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Secret } from '../../src/secret.js'
import { createFileStore } from '../../src/storage/file-store.js'
import type { Store, Transaction } from '../../src/storage/store.js'
import { changeVault } from '../../src/vault/change.js'
import { upgradeVault } from '../../src/vault/upgrade.js'
import type { VaultAccess } from '../../src/vault/vault.js'

const [directory = '', key = '', action = '', place = ''] = process.argv.slice(2)

const real = createFileStore({
  paths: {
    vault: join(directory, 'mcp_credentials.enc'),
    log: join(directory, 'rotation_log.json'),
    tokens: join(directory, 'mcp_tokens.jsonl'),
  },
  stateDirectory: join(directory, 'state'),
  lockTimeoutMs: 5000,
  host: { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 },
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

const access: VaultAccess = {
  store,
  key: { type: 'raw', bytes: new Secret(Buffer.from(key, 'base64url')), spelling: 'base64url' },
  by: 'child@machine',
  zone: 'UTC',
  acceptRestore: false,
  isInGit: () => false,
  now: () => Date.UTC(2026, 10, 23),
  randomBytes,
  warn: () => {},
}

if (action === 'upgrade') {
  await upgradeVault(access, { readDates: () => new Map(), readStoreId: () => undefined })
} else if (action === 'rotate-often') {
  for (let round = 0; round < 40; round++) await rotate(`round ${round}`)
} else await rotate('from the child')

async function rotate(value: string): Promise<void> {
  await changeVault(access, 'rotate', (draft) => draft.rotate('a', Secret.fromText(value), { graceSeconds: 60 }))
}

function deadly(transaction: Transaction): Transaction {
  return {
    read: transaction.read.bind(transaction),
    open: transaction.open.bind(transaction),
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
