import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { systemContext } from '../../src/cli/system.js'
import { Secret } from '../../src/secret.js'
import { createFileStore } from '../../src/storage/file-store.js'
import { formatNaive } from '../../src/timestamp.js'
import { changeVault } from '../../src/vault/change.js'
import { parseRawKey } from '../../src/vault/key.js'
import type { VaultAccess } from '../../src/vault/vault.js'
import { launcher } from '../support/built.js'
import { need } from '../support/need.js'
import { findPython, type LogEntry, NO_PYTHON, Place, PROGRAM_DIRECTORY, type Tutorial, tutorials } from './programs.js'

const DAY_MS = 86_400_000
// Python takes its zones from the system; without them it falls back to UTC.
const ZONE = existsSync('/usr/share/zoneinfo/Asia/Kolkata') ? 'Asia/Kolkata' : 'UTC'
const python = findPython()
const pythonTutorial = tutorials().find(({ language }) => language === 'Python')

if (python === undefined) it('the Python program of the tutorial', (context) => need(context, false, NO_PYTHON))

describe.for(tutorials())('the $language program of the tutorial and mcpvault on the same files', (tutorial) => {
  it('each load every value of a vault that the program made, byte for byte', () => {
    const place = new Place(tutorial)
    const names = Object.keys(place.values)
    expect(names.length).toBeGreaterThan(5)
    expect(JSON.parse(place.mcpvault(['export']))).toEqual(place.values)
    for (const name of ['empty', 'multi_line', 'unicode', 'ключ', 'long']) {
      expect(place.mcpvault(['load', '-n', name])).toBe(place.values[name])
    }
    expect(place.program('load', 'unicode')).toBe(place.values.unicode)
  })

  it('read what the other stored and rotated, rotation after rotation', () => {
    const place = new Place(tutorial, { zone: ZONE })
    place.mcpvault(['store', 'ours', '--stdin'], 'value of mcpvault')
    place.program('store', 'theirs', 'value of the program')
    expect(place.program('load', 'ours')).toBe('value of mcpvault')
    expect(place.mcpvault(['load', '-n', 'theirs'])).toBe('value of the program')
    for (let round = 0; round < 4; round++) {
      const name = round % 4 < 2 ? 'ours' : 'theirs'
      const value = `välue ${round} — with "quotes"\nand lines`
      if (round % 2 === 0) place.mcpvault(['rotate', name, '--stdin'], value)
      else place.program('rotate', name, value)
      expect(place.program('load', name)).toBe(value)
      expect(place.mcpvault(['load', '-n', name])).toBe(value)
      if (round % 4 === 3) expect(place.due(name)).toBe(false)
    }
    const { records, sealed, checkpoints } = JSON.parse(place.mcpvault(['log', 'verify', '--json']))
    expect(sealed).toBe(3)
    expect(records).toBe(place.readLog().length)
    expect(checkpoints).toBe(records - sealed)
    expect(place.mcpvault(['load', '-n', 'unicode'])).toBe(place.values.unicode)
  })

  it('agree on what is due, also after a removal and with dates of any age', () => {
    const place = new Place(tutorial, { isEmpty: true, zone: ZONE })
    place.program('store', 'first', 'a')
    for (const name of ['nearly', 'just', 'old', 'removed', 'twice']) place.mcpvault(['store', name, '--generate'])
    place.mcpvault(['rotate', 'twice', '--generate'])
    place.mcpvault(['remove', 'removed', '--yes'])
    expect(place.readLog().at(-1)).toMatchObject({ credential: null, subject: 'removed', action: 'removed' })
    const days: Record<string, number> = { first: 31, nearly: 29.999, just: 30.001, old: 4000, removed: 1 }
    const dated = place.readLog().map((entry): LogEntry => {
      const ageMs = (days[entry.credential ?? ''] ?? 0) * DAY_MS
      return { ...entry, rotated_at: formatNaive(Date.now() - ageMs, ZONE) }
    })
    place.writeLog(dated)
    const due = Object.fromEntries(
      ['first', 'nearly', 'just', 'old', 'twice', 'removed', 'never seen'].map((name) => [name, place.due(name)]),
    )
    expect(due).toEqual({
      first: true,
      nearly: false,
      just: true,
      old: true,
      twice: false,
      // The removal is no rotation: its record must not make the name young, nor be mistaken for another name's.
      removed: false,
      'never seen': true,
    })
  })

  it('leave a vault that a diff can be read of: a rotation changes one line', () => {
    const place = new Place(tutorial)
    const before = place.readVault().split('\n')
    place.mcpvault(['rotate', 'with space', '--generate'])
    const after = place.readVault().split('\n')
    const changed = after.filter((line, index) => line !== before[index])
    expect(after).toHaveLength(before.length)
    expect(changed).toHaveLength(1)
    expect(changed[0]).toMatch(/^ {2}"with space": "/)
    place.mcpvault(['store', 'fresh', '--generate'])
    place.mcpvault(['remove', 'fresh', '--yes'])
    expect(place.readVault().split('\n')).toEqual(after)
  })

  it('take over an export, and a vault that init made', () => {
    const place = new Place(tutorial, { isEmpty: true })
    place.mcpvault(['init', '--vault', 'native.enc'])
    place.mcpvault(['store', 'token', '--stdin', '--vault', 'native.enc'], 'naïve 🔑')
    place.mcpvault(['export', '--vault', 'native.enc', '--format', tutorial.codec, '-o', 'mcp_credentials.enc'])
    expect(place.program('load', 'token')).toBe('naïve 🔑')
    const other = new Place(tutorial, { isEmpty: true })
    other.mcpvault(['init', '--vault', 'mcp_credentials.enc', '--format', tutorial.codec])
    other.program('store', 'first', 'of the program')
    expect(other.mcpvault(['load', '-n', 'first'])).toBe('of the program')
  })

  it('keep out of each other: a program that was forgotten at the upgrade does not harm the vault', () => {
    const place = new Place(tutorial)
    expect(place.mcpvault(['upgrade', '--json'])).toContain('"credentials"')
    expect(JSON.parse(place.mcpvault(['export']))).toEqual(place.values)
    const native = place.readVault()
    expect(() => place.program('load', 'unicode')).toThrow()
    if (tutorial.language === 'Python') {
      expect(() => place.program('rotate', 'unicode', 'x')).toThrow()
      expect(place.readVault()).toBe(native)
    } else {
      // A property set on an array is lost when JavaScript prints it: the program changes the layout and nothing else.
      place.program('rotate', 'unicode', 'x')
      expect(place.readVault()).not.toBe(native)
      const { status, stdout, stderr } = place.tryMcpvault(['load', '-n', 'unicode'])
      expect([status, stdout]).toEqual([0, place.values.unicode])
      expect(stderr).toContain('what it stored is lost, the vault is not')
    }
    expect(JSON.parse(place.mcpvault(['export']))).toEqual(place.values)
    place.mcpvault(['rotate', 'unicode', '--stdin'], 'mended')
    const mended = place.tryMcpvault(['load', '-n', 'unicode'])
    expect(mended.stdout).toBe('mended')
    expect(mended.stderr).not.toContain('lost')
    expect(readFileSync(place.path('mcp_credentials.enc.tutorial.bak'), 'utf8')).toMatch(/^\{/)
  })

  it('read while the other rotates: every read succeeds', async () => {
    const place = new Place(tutorial)
    const stop = place.path('stop')
    const values = ['start', ...Array.from({ length: 8 }, (_, round) => `value ${round}`)]
    place.mcpvault(['rotate', 'scavio_api_key', '--stdin'], values[0])
    const reading = readInALoop(place, stop)
    for (const value of values.slice(1)) {
      await place.run(process.execPath, [launcher(), 'rotate', 'scavio_api_key', '--stdin'], value)
    }
    writeFileSync(stop, '')
    const seen = await reading
    expect(seen.length).toBeGreaterThan(5)
    for (const value of seen) expect(values).toContain(value)
    expect(new Set(seen).size).toBeGreaterThan(3)
  })

  it('write at once: what the program wrote while mcpvault was about to is kept, and so is what mcpvault wrote', async () => {
    const place = new Place(tutorial)
    let attempts = 0
    await changeVault(accessTo(place), 'rotate', (draft) => {
      attempts += 1
      // Between mcpvault's reading and its commit; the program knows no locks.
      if (attempts <= 2) place.program('store', `theirs ${attempts}`, `value ${attempts}`)
      draft.rotate('unicode', Secret.fromText('of mcpvault'), { graceSeconds: 0 })
    })
    expect(attempts).toBe(3)
    const { unicode, 'theirs 1': first, 'theirs 2': second, ...others } = JSON.parse(place.mcpvault(['export']))
    expect([unicode, first, second]).toEqual(['of mcpvault', 'value 1', 'value 2'])
    const { unicode: _, ...expected } = place.values
    expect(others).toEqual(expected)
    const logged = place.readLog().slice(-3)
    expect(logged.map(({ credential }) => credential)).toEqual(['theirs 1', 'theirs 2', 'unicode'])
  })

  it('write in loops at once: files stay whole, and nothing is there that nobody wrote', async () => {
    const place = new Place(tutorial)
    const stop = place.path('stop')
    const writing = writeInALoop(place, stop)
    for (let round = 0; round < 5; round++) {
      await place.run(process.execPath, [launcher(), 'rotate', 'unicode', '--stdin'], `ours ${round}`)
    }
    writeFileSync(stop, '')
    const written = await writing
    expect(written).toBeGreaterThan(2)
    const { unicode, theirs, ...others } = JSON.parse(place.mcpvault(['export']))
    // The program ignores the lock, so it may take back what was rotated while it was writing; never to something else.
    expect([place.values.unicode, ...Array.from({ length: 5 }, (_, round) => `ours ${round}`)]).toContain(unicode)
    expect(theirs).toBe(`theirs ${written - 1}`)
    const { unicode: _, ...expected } = place.values
    expect(others).toEqual(expected)
    expect(place.readLog().filter(({ credential }) => credential === 'theirs')).toHaveLength(written)
    place.mcpvault(['rotate', 'unicode', '--stdin'], 'afterwards')
    expect(place.program('load', 'unicode')).toBe('afterwards')
    expect(place.readLog().at(-1)).toMatchObject({ credential: 'unicode', action: 'rotated' })
  })
})

describe('the log that mcpvault keeps beside a tutorial vault', () => {
  beforeEach((context) => need(context, python !== undefined, NO_PYTHON))

  it('is read by json.loads and datetime.fromisoformat, and can be subtracted from now', async () => {
    const place = new Place(pythonTutorial as Tutorial)
    place.mcpvault(['rotate', 'empty', '--stdin'], 'x')
    place.mcpvault(['store', 'ours', '--generate'])
    place.mcpvault(['remove', 'ours', '--yes'])
    const script = `
import json
from datetime import datetime, timedelta
log = json.loads(open("rotation_log.json").read())
for entry in log:
    assert abs(datetime.now() - datetime.fromisoformat(entry["rotated_at"])) < timedelta(days=10000)
    assert list(entry)[:3] == ["credential", "rotated_at", "action"], entry
print(len(log))`
    expect(Number(await place.run(python ?? '', ['-c', script]))).toBe(place.readLog().length)
    // Before Python 3.11 fromisoformat takes no Z, and three or six digits of a second only.
    const ours = place.readLog().filter((entry) => 'seq' in entry)
    expect(ours).toHaveLength(3)
    for (const { rotated_at } of ours) expect(rotated_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  })
})

/** Loads a credential again and again until a file is there, and gives what was read. */
async function readInALoop(place: Place, stop: string): Promise<readonly string[]> {
  if (place.tutorial.language === 'Python') {
    const printed = await runPython(
      place,
      `
while not os.path.exists(${JSON.stringify(stop)}):
    print(manager.load("scavio_api_key"))`,
    )
    return printed.trim().split('\n')
  }
  const seen: string[] = []
  const [file = '', ...args] = place.tutorial.command
  while (!existsSync(stop)) seen.push(await place.run(file, [...args, 'load', 'scavio_api_key']))
  return seen
}

/** Stores a credential again and again until a file is there, and gives how often. */
async function writeInALoop(place: Place, stop: string): Promise<number> {
  if (place.tutorial.language === 'Python') {
    const printed = await runPython(
      place,
      `
import time
count = 0
while not os.path.exists(${JSON.stringify(stop)}):
    manager.store("theirs", "theirs %d" % count)
    count += 1
    time.sleep(0.05)
print(count)`,
    )
    return Number(printed)
  }
  const [file = '', ...args] = place.tutorial.command
  let count = 0
  for (; !existsSync(stop); count++) await place.run(file, [...args, 'store', 'theirs'], `theirs ${count}`)
  return count
}

function runPython(place: Place, body: string): Promise<string> {
  const head = `import os, sys\nsys.path.insert(0, ${JSON.stringify(PROGRAM_DIRECTORY)})\nsys.dont_write_bytecode = True\nimport mcp_server\nmanager = mcp_server.CredentialManager()`
  return place.run(place.tutorial.command[0] ?? '', ['-c', `${head}\n${body}\n`])
}

/** What a command hands to the vault room, for a change that the test looks into. */
function accessTo(place: Place): VaultAccess {
  const { host, randomBytes } = systemContext()
  const store = createFileStore({
    paths: {
      vault: place.path('mcp_credentials.enc'),
      log: place.path('rotation_log.json'),
      tokens: place.path('mcp_tokens.jsonl'),
    },
    stateDirectory: place.path('state'),
    lockTimeoutMs: 5000,
    host,
    randomBytes,
    warn: () => {},
  })
  const key = parseRawKey(place.key)
  return {
    store,
    key,
    by: 'tester@machine',
    zone: undefined,
    acceptRestore: false,
    isInGit: () => false,
    now: () => Date.now(),
    randomBytes,
    warn: () => {},
  }
}
