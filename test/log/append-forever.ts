/** A process that appends to a log until it is killed and says which records are confirmed. */

import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { appendRecords, nextLink } from '../../src/log/append.js'
import { readTail } from '../../src/log/read.js'
import { sealRecord } from '../../src/log/record.js'
import { createFileStore } from '../../src/storage/file-store.js'

const directory = process.argv[2] ?? ''
const store = createFileStore({
  paths: {
    vault: join(directory, 'vault.enc'),
    log: join(directory, 'log.json'),
    tokens: join(directory, 'tokens.jsonl'),
  },
  stateDirectory: join(directory, 'state'),
  lockTimeoutMs: 60_000,
  host: { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 },
  randomBytes,
  warn: () => {},
})

async function appendForever(): Promise<never> {
  for (;;) {
    const id = randomBytes(8).toString('hex')
    await store.transaction('rotate', (tx) => {
      const reader = tx.open('log')
      const link = nextLink(reader && readTail(reader))
      reader?.close()
      const fields = { credential: 'a', rotated_at: '2026-11-22T18:02:11.123Z', action: 'rotated' } as const
      appendRecords(tx, [sealRecord({ ...fields, reason: 'x'.repeat(link.seq % 2000) }, { ...link, id })])
    })
    writeSync(1, `${id}\n`)
  }
}

await appendForever()
