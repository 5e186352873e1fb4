/**
 * Measures the check of a scoped token in a running process that follows 10,000 live records: `node bench/tokens.js`.
 *
 * "Known" is a token whose signature was verified before, "new" one that is seen for the first time. "With a look at the
 * file" adds what every request pays so that a revocation counts at once. Times are set against one HMAC of the same
 * runtime, since a time alone proves nothing.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const RECORDS = 10_000
const ROUNDS = 7
/** Microseconds. */
const KNOWN = 5
const NEW = 60
const NOW = Date.UTC(2026, 10, 22, 18)
const ASKED = { method: 'tools', tool: 'web_search' }

/** Gives rows of `{ title, bound, microseconds, hmacs, isWithin }`; a row without a bound is for comparison. */
export async function measureTokens() {
  const root = mkdtempSync(join(tmpdir(), 'mcpvault-bench-tokens-'))
  try {
    const world = await makeWorld(root)
    return measureAll(world)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function measureAll(world) {
  const hmac = median(rounds(() => timeHmac()))
  const row = (title, bound, times) => {
    const microseconds = median(times)
    return {
      title,
      bound,
      microseconds,
      hmacs: microseconds / hmac,
      isWithin: bound === undefined || microseconds <= bound,
    }
  }
  const known = new world.SignatureCache()
  check(world, known, false)
  return [
    row('one HMAC-SHA-256', undefined, [hmac]),
    row(
      'a look at the file',
      undefined,
      rounds(() => timeEach(world.tokens, () => world.records.refresh())),
    ),
    row(
      'token check, known',
      KNOWN,
      rounds(() => check(world, known, false)),
    ),
    row(
      'token check, known, with a look at the file',
      undefined,
      rounds(() => check(world, known, true)),
    ),
    row(
      'token check, new',
      NEW,
      rounds(() => check(world, new world.SignatureCache(), false)),
    ),
    row(
      'token check, new, with a look at the file',
      NEW,
      rounds(() => check(world, new world.SignatureCache(), true)),
    ),
  ]
}

/** Checks every token once; microseconds of CPU a token, which other processes on the machine do not lengthen. */
function check({ tokens, records, verifyToken }, cache, isLooking) {
  const circumstances = { records, nowMs: NOW, cache }
  return timeEach(tokens, (token) => {
    if (isLooking) records.refresh()
    if (!verifyToken(token, ASKED, circumstances).allowed) throw new Error('a good token was refused')
  })
}

function timeHmac() {
  const key = Buffer.alloc(32)
  const text = Buffer.from('{"tools":["web_search"]}')
  return timeEach(Array.from({ length: RECORDS }), () => createHmac('sha256', key).update(text).digest())
}

function timeEach(items, run) {
  const start = process.cpuUsage()
  for (const item of items) run(item)
  const { user, system } = process.cpuUsage(start)
  return (user + system) / items.length
}

/** The first round warms up. */
function rounds(run) {
  return Array.from({ length: ROUNDS + 1 }, run).slice(1)
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]
}

/** Lays out the records as the owner of the key, and follows them as a server does. */
async function makeWorld(root) {
  const rooms = await loadRooms(root)
  const storeId = Buffer.alloc(16, 1)
  const keys = { tokenStoreId: storeId, tokensKey: () => new rooms.Secret(Buffer.alloc(32, 2)) }
  const caveats = [
    { type: 'methods', methods: ['tools'] },
    { type: 'tools', tools: ['web_search', 'github/get_issue'] },
    { type: 'before', epochMs: NOW + 3_600_000 },
  ]
  const identifiers = Array.from({ length: RECORDS }, () => randomBytes(16))
  const entries = identifiers.map((id) => ({ type: 'create', id: id.toString('hex'), atMs: NOW, caveats }))
  const header = rooms.encodeHeader(storeId)
  const tokensKey = keys.tokensKey().reveal()
  const lines = rooms.sealRecords(entries, tokensKey, { seq: 1, previousMac: rooms.headerDigest(header) })
  const path = join(root, 'mcp_tokens.jsonl')
  writeFileSync(path, Buffer.concat([header, Buffer.from('\n'), lines]), { mode: 0o600 })
  const store = rooms.createFileStore({
    paths: { vault: join(root, 'v.enc'), log: join(root, 'log.json'), tokens: path },
    stateDirectory: join(root, 'state'),
    lockTimeoutMs: 1000,
    host: { pid: process.pid, platform: process.platform, uid: process.geteuid() },
    randomBytes,
    warn() {},
  })
  const bytes = caveats.map(rooms.encodeCaveat)
  const tokens = identifiers.map((id) =>
    rooms.encodeToken(rooms.mintMacaroon(rooms.deriveRootKey(tokensKey, id), id, bytes)),
  )
  return { ...rooms, tokens, records: rooms.TokenRecords.open(store, keys) }
}

async function loadRooms(root) {
  const contents = `
    export { Secret } from './secret.js'
    export { mintMacaroon } from './crypto/macaroon.js'
    export { createFileStore } from './storage/file-store.js'
    export { encodeCaveat } from './tokens/caveats.js'
    export { encodeHeader, headerDigest, sealRecords } from './tokens/record-line.js'
    export { TokenRecords } from './tokens/records.js'
    export { SignatureCache } from './tokens/signature-cache.js'
    export { deriveRootKey, encodeToken } from './tokens/token.js'
    export { verifyToken } from './tokens/verify.js'`
  const outfile = join(root, 'rooms.mjs')
  const resolveDir = fileURLToPath(new URL('../src', import.meta.url))
  await build({
    stdin: { contents, resolveDir },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
  })
  return import(pathToFileURL(outfile).href)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const rows = await measureTokens()
  for (const { title, bound, microseconds, hmacs, isWithin } of rows) {
    const verdict = bound === undefined ? '' : isWithin ? `holds (${bound} µs)` : `FAILS (${bound} µs)`
    console.log(
      `${title.padEnd(45)} ${microseconds.toFixed(2).padStart(7)} µs ${hmacs.toFixed(1).padStart(6)} HMACs  ${verdict}`,
    )
  }
  process.exitCode = rows.every(({ isWithin }) => isWithin) ? 0 : 1
}
