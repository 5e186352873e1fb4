import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { appendRecords, nextLink } from '../../src/log/append.js'
import { hasRecord, readBackward, readForward, readTail } from '../../src/log/read.js'
import type { LogRecord } from '../../src/log/record.js'
import { verifyLog } from '../../src/log/verify.js'
import type { Reader, Store } from '../../src/storage/store.js'
import { expectCode, makeDirectory, openStore, pathsIn, removeDirectory } from '../storage/storage-support.js'
import { foreignRecord, layLines, makeChain } from './log-support.js'

let directory: string
let store: Store

beforeEach(() => {
  directory = makeDirectory()
  store = openStore(directory)
})
afterEach(() => removeDirectory(directory))

function withReader<T>(read: (reader: Reader) => T): T {
  const reader = store.open('log')
  if (!reader) throw new Error('there is no log')
  try {
    return read(reader)
  } finally {
    reader.close()
  }
}

function append(records: readonly LogRecord[]): Promise<void> {
  return store.transaction('rotate', (tx) => appendRecords(tx, records))
}

describe('a log in a file', () => {
  test('is created private, then appended to in place', async () => {
    const path = pathsIn(directory).log
    await append(makeChain(1))
    const { ino, mode } = statSync(path)
    expect(mode & 0o777).toBe(0o600)
    await append(makeChain(3, makeChain(1)))
    expect(statSync(path).ino).toBe(ino)
    expect(readFileSync(path)).toEqual(layLines([...makeChain(1), ...makeChain(3, makeChain(1))]))
    expect(withReader((reader) => verifyLog(reader)).problems).toEqual([])
  })

  test('is cut at every length and mended by the next append', async () => {
    const path = pathsIn(directory).log
    const records = makeChain(2)
    const whole = layLines(records)
    const lastAt = whole.lastIndexOf('\n,') + 1
    for (let length = lastAt; length < whole.length; length++) {
      writeFileSync(path, whole, { mode: 0o600 })
      truncateSync(path, length)
      const seen = withReader((reader) => [...readBackward(reader)].toReversed())
      expect(seen).toEqual(records.slice(0, seen.length))
      expect(seen.length).toBeGreaterThan(0)
      const next = makeChain(1, seen)
      await append(next)
      expect(readFileSync(path)).toEqual(layLines([...seen, ...next]))
    }
  })

  test('is mended when more lies behind it than the append is long', async () => {
    const path = pathsIn(directory).log
    writeFileSync(path, Buffer.concat([layLines(makeChain(2)), Buffer.alloc(100_000)]), { mode: 0o600 })
    await append(makeChain(1, makeChain(2)))
    expect(readFileSync(path)).toEqual(layLines(makeChain(3)))
  })

  test('in another layout is laid out anew and keeps its mode', async () => {
    const path = pathsIn(directory).log
    const records = [foreignRecord(), ...makeChain(2, [foreignRecord()])]
    writeFileSync(path, JSON.stringify(records, null, 2), { mode: 0o644 })
    await append([foreignRecord('b')])
    expect(readFileSync(path)).toEqual(layLines([...records, foreignRecord('b')]))
    expect(statSync(path).mode & 0o777).toBe(0o644)
  })

  test('that is damaged stays as it is', async () => {
    const path = pathsIn(directory).log
    for (const bytes of ['', '{}', '[{"a":1},', 'x', '[\n{"a":1}\n,{"a":x}\n]\n']) {
      writeFileSync(path, bytes, { mode: 0o600 })
      await expectCode('DAMAGED', () => append(makeChain(1)))
      expect(readFileSync(path, 'utf8')).toBe(bytes)
    }
  })
})

test('a process that is killed while it appends loses no confirmed record, and the next one goes on', async () => {
  const program = join(directory, 'append-forever.mjs')
  await build({
    entryPoints: [fileURLToPath(new URL('append-forever.ts', import.meta.url))],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  })
  const confirmed: string[] = []
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    const closed = once(child, 'close')
    for await (const chunk of child.stdout) {
      output += chunk
      if (output.split('\n').length > 20 + round * 3) child.kill('SIGKILL')
    }
    await closed
    expect(child.signalCode).toBe('SIGKILL')
    confirmed.push(...output.split('\n').filter((line) => line.length === 16))
  }
  expect(confirmed.length).toBeGreaterThan(8 * 20)
  const ids = withReader((reader) => [...readForward(reader)].map((record) => record.id))
  expect(confirmed.filter((id) => !ids.includes(id))).toEqual([])
  expect(ids.length - confirmed.length).toBeLessThanOrEqual(8)
  expect(withReader((reader) => verifyLog(reader))).toMatchObject({ problems: [], gaps: [] })
  expect(withReader((reader) => hasRecord(reader, confirmed.at(-1) ?? '', 2))).toBe(true)
  expect(withReader((reader) => nextLink(readTail(reader)).seq)).toBe(ids.length + 1)
})
