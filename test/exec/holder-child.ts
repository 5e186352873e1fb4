/** Registers, says so, and holds until its stdin ends; then releases. */

import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { registerHolder } from '../../src/exec/holders.js'
import { createFileStore } from '../../src/storage/file-store.js'

const [directory = '', name = ''] = process.argv.slice(2)
const host = { pid: process.pid, platform: process.platform, uid: process.geteuid?.() ?? -1 }
const store = createFileStore({
  paths: { vault: join(directory, 'mcp_credentials.enc'), log: join(directory, 'l'), tokens: join(directory, 't') },
  stateDirectory: join(directory, 'state'),
  lockTimeoutMs: 5000,
  host,
  randomBytes,
  warn: () => {},
})
const warn = (text: string): void => void writeSync(2, `${text}\n`)
const access = { store, now: () => Date.now(), randomBytes, warn }
const entry = await registerHolder(
  access,
  { command: 'exec', program: name, credentials: [{ name, version: 1 }] },
  host,
)
writeSync(1, 'registered\n')
process.stdin.resume().on('end', () => void entry.release())
