import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { appendRecords, nextLink } from '../../src/log/append.js'
import { readForward, readTail } from '../../src/log/read.js'
import { type LogFields, sealRecord } from '../../src/log/record.js'
import { verifyLog } from '../../src/log/verify.js'
import { dueState, lastRotations } from '../../src/rotation/due.js'
import type { Reader, Store } from '../../src/storage/store.js'
import { formatNaive } from '../../src/timestamp.js'
import { findPython } from '../interop/programs.js'
import { makeDirectory, openStore, removeDirectory } from '../storage/storage-support.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url))
const DAY_MS = 86_400_000

const PROGRAMS = {
  python: {
    fixture: 'tutorial-python',
    command: [findPython() ?? 'python3', join(FIXTURES, 'tutorial/mcp_server.py')],
  },
  node: { fixture: 'tutorial-node', command: [process.execPath, join(FIXTURES, 'tutorial/mcp-server.mjs')] },
} as const

let directory: string
let store: Store

beforeEach(() => {
  directory = makeDirectory()
  store = openStore(directory, {
    paths: {
      vault: join(directory, 'mcp_credentials.enc'),
      log: join(directory, 'rotation_log.json'),
      tokens: join(directory, 'mcp_tokens.jsonl'),
    },
  })
})
afterEach(() => removeDirectory(directory))

function withLog<T>(read: (reader: Reader) => T): T {
  const reader = store.open('log')
  if (!reader) throw new Error('there is no log')
  try {
    return read(reader)
  } finally {
    reader.close()
  }
}

/** Appends one record as a command does in the tutorial format. */
async function log(fields: LogFields): Promise<void> {
  await store.transaction('rotate', (tx) => {
    const reader = tx.open('log')
    const link = nextLink(reader && readTail(reader))
    reader?.close()
    appendRecords(tx, [sealRecord(fields, { ...link, id: String(link.seq).padStart(16, '0') })])
  })
}

function isDue(name: string): boolean {
  const last = withLog((reader) => lastRotations(reader, [name])).get(name)
  const age = { sinceMs: last?.at?.epochMs, isNaive: last?.at?.isNaive ?? false }
  return dueState({ ...age, maxAgeSeconds: 30 * 86_400, nowMs: Date.now() }).isDue
}

describe.for(Object.entries(PROGRAMS))('the %s program of the tutorial', ([, { fixture, command }]) => {
  const expected = JSON.parse(readFileSync(join(FIXTURES, fixture, 'expected.json'), 'utf8')) as {
    MCP_ENCRYPTION_KEY: string
    values: Record<string, string>
  }

  function run(action: string, name: string, input = ''): string {
    const [file, ...args] = command
    return execFileSync(file, [...args, action, name], {
      cwd: directory,
      input,
      encoding: 'utf8',
      env: { ...process.env, MCP_ENCRYPTION_KEY: expected.MCP_ENCRYPTION_KEY },
    })
  }

  function copyFixture(): void {
    for (const file of ['mcp_credentials.enc', 'rotation_log.json']) {
      const source = join(FIXTURES, fixture, file)
      if (existsSync(source)) copyFileSync(source, join(directory, file))
    }
  }

  test('reads the values of the fixture', () => {
    copyFixture()
    expect(Object.keys(expected.values).length).toBeGreaterThan(5)
    for (const [name, value] of Object.entries(expected.values)) expect(run('load', name)).toBe(value)
  })

  test('and mcpvault write the same log in turns, and no record or hash is lost', async () => {
    copyFixture()
    const before = existsSync(join(directory, 'rotation_log.json'))
      ? withLog((reader) => [...readForward(reader)].length)
      : 0
    run('store', 'ключ "x"', 'first')
    for (let round = 0; round < 3; round++) {
      await log({
        credential: 'scavio_api_key',
        rotated_at: formatNaive(Date.now()),
        action: 'rotated',
        reason: 'é — 🔑',
      })
      expect(withLog((reader) => readTail(reader).layout)).toBe('line')
      run('rotate', 'ключ "x"', `value ${round}`)
      expect(withLog((reader) => readTail(reader).layout)).toBe('foreign')
    }
    const report = withLog((reader) => verifyLog(reader))
    expect(report).toMatchObject({ records: before + 7, sealed: 3, problems: [], gaps: [], torn: false })
    expect(run('load', 'ключ "x"')).toBe('value 2')
    expect(withLog((reader) => lastRotations(reader, undefined)).has('ключ "x"')).toBe(true)
  })

  test('agrees on what is due', async () => {
    const age = async (name: string, days: number, fields: Partial<LogFields> = {}): Promise<void> => {
      const rotatedAt = formatNaive(Date.now() - days * DAY_MS)
      await log({ credential: name, rotated_at: rotatedAt, action: 'rotated', ...fields })
    }
    await age('fresh', 0)
    await age('nearly', 29.99)
    await age('just', 30.01)
    await age('old', 400)
    await age('renewed', 400)
    await age('renewed', 1)
    await age('rolled back', 400)
    await age('rolled back', 0, { credential: null, subject: 'rolled back', action: 'rolled-back' })
    const answers: Record<string, boolean> = {}
    for (const name of ['fresh', 'nearly', 'just', 'old', 'renewed', 'rolled back', 'unknown']) {
      answers[name] = isDue(name)
      expect(`${name} ${run('due', name).trim()}`).toBe(`${name} ${answers[name] ? 'True' : 'False'}`)
    }
    expect(answers).toEqual({
      fresh: false,
      nearly: false,
      just: true,
      old: true,
      renewed: false,
      'rolled back': true,
      unknown: true,
    })
    run('store', 'theirs', 'x')
    expect(isDue('theirs')).toBe(false)
    expect(run('due', 'theirs').trim()).toBe('False')
  })
})
