import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, chmodSync, chownSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openFileChecked, readFileChecked, type ReadOptions } from '../../src/storage/read-file.js'
import { expectCode, HOST, makeDirectory, removeDirectory } from './storage-support.js'

let directory: string
let path: string
let warnings: string[]

const options = (changes: Partial<ReadOptions> = {}): ReadOptions => ({
  what: 'vault',
  host: HOST,
  warn: (text) => warnings.push(text),
  ...changes,
})

beforeEach(() => {
  directory = makeDirectory()
  path = join(directory, 'vault.enc')
  warnings = []
})
afterEach(() => removeDirectory(directory))

function write(text: string, mode = 0o600): void {
  writeFileSync(path, text)
  chmodSync(path, mode)
}

describe('reading a file whole', () => {
  test('gives its bytes and a revision that stays the same', () => {
    write('content')
    const snapshot = readFileChecked(path, options())
    expect(snapshot?.bytes.toString()).toBe('content')
    expect(snapshot?.revision.size).toBe(7)
    expect(readFileChecked(path, options())?.revision).toEqual(snapshot?.revision)
    expect(warnings).toEqual([])
  })

  test('reads an empty file', () => {
    write('')
    expect(readFileChecked(path, options())?.bytes.length).toBe(0)
  })

  test.each([
    ['a rewrite in place', () => writeFileSync(path, 'CONTENT')],
    ['an append', () => appendFileSync(path, '!')],
    [
      'a replacement by the same bytes',
      () => {
        writeFileSync(`${path}.new`, 'content')
        renameSync(`${path}.new`, path)
      },
    ],
  ])('gives another revision after %s', (_, change) => {
    write('content')
    const before = readFileChecked(path, options())?.revision
    change()
    expect(readFileChecked(path, options())?.revision.id).not.toBe(before?.id)
  })

  test('gives undefined where the file or its directory is missing', () => {
    expect(readFileChecked(path, options())).toBeUndefined()
    expect(readFileChecked(join(directory, 'no', 'such', 'file'), options())).toBeUndefined()
    symlinkSync(join(directory, 'nowhere'), path)
    expect(readFileChecked(path, options())).toBeUndefined()
  })

  test('follows symbolic links', () => {
    writeFileSync(join(directory, 'real'), 'content', { mode: 0o600 })
    symlinkSync('real', path)
    expect(readFileChecked(path, options())?.bytes.toString()).toBe('content')
  })

  test('says what is wrong with the path', async () => {
    write('content')
    const below = await expectCode('IO', () => readFileChecked(join(path, 'x'), options()))
    expect(below.message).toContain('not a directory')
    symlinkSync('loop', join(directory, 'loop'))
    const loop = await expectCode('IO', () => readFileChecked(join(directory, 'loop'), options()))
    expect(loop.message).toContain('too many symbolic links')
  })

  test('refuses what is over the bound, and reads what is just at it', async () => {
    write('content')
    expect(readFileChecked(path, options({ maxBytes: 7 }))?.bytes.length).toBe(7)
    const failure = await expectCode('INPUT', () => readFileChecked(path, options({ maxBytes: 6 })))
    expect(failure.message).toContain('larger than 6 bytes')
  })

  test('refuses a sparse file of a terabyte without taking memory', async () => {
    execFileSync('truncate', ['-s', '1T', path])
    chmodSync(path, 0o600)
    await expectCode('INPUT', () => readFileChecked(path, options({ maxBytes: 64 * 1024 * 1024 })))
  })

  test('gives the beginning of what another program keeps appending, never more or less than its revision says', async () => {
    write('')
    const script = `const fs = require('fs'), fd = fs.openSync(process.argv[1], 'a')
      for (let n = 0; n < 20000; n++) fs.writeSync(fd, 'x'.repeat(99) + '\\n')`
    const all = Buffer.from(`${'x'.repeat(99)}\n`.repeat(20_000))
    const child = spawn(process.execPath, ['-e', script, path])
    try {
      let reads = 0
      while (child.exitCode === null) {
        try {
          const snapshot = readFileChecked(path, options())
          expect(snapshot?.bytes.length).toBe(snapshot?.revision.size)
          expect(snapshot?.bytes.equals(all.subarray(0, snapshot.bytes.length))).toBe(true)
          reads++
        } catch (error) {
          if (!String(error).includes('another program keeps changing it')) throw error
        }
        await new Promise(setImmediate)
      }
      expect(reads).toBeGreaterThan(0)
    } finally {
      child.kill('SIGKILL')
    }
  })
})

describe('what is no regular file is refused at once', () => {
  test.each([
    ['a directory', () => mkdirSync(path)],
    ['a FIFO', () => execFileSync('mkfifo', [path])],
    ['a device', () => symlinkSync('/dev/zero', path)],
    ['a device', () => symlinkSync('/dev/tty', path)],
  ])('%s', async (kind, make) => {
    make()
    const failure = await expectCode('INPUT', () => readFileChecked(path, options()))
    expect(failure.message).toContain(`it is ${kind}, not a regular file`)
    await expectCode('INPUT', () => openFileChecked(path, options()))
  })

  test('a socket', async () => {
    const server = createServer().listen(path)
    await once(server, 'listening')
    try {
      const failure = await expectCode('INPUT', () => readFileChecked(path, options()))
      expect(failure.message).toContain('a socket')
    } finally {
      server.close()
    }
  })
})

describe('modes', () => {
  const isRoot = HOST.uid === 0

  test.each(['602', '606', '622', '666', '777'])('%s is refused with the command that mends it', async (mode) => {
    write('content', Number.parseInt(mode, 8))
    const failure = await expectCode('UNSAFE', () => readFileChecked(path, options()))
    expect(failure.hints).toEqual([`chmod go-w ${path}`])
    expect(warnings).toEqual([])
  })

  test.each(['604', '644'])('%s is read with a warning', (mode) => {
    write('content', Number.parseInt(mode, 8))
    expect(readFileChecked(path, options())?.bytes.toString()).toBe('content')
    expect(warnings).toEqual([`other users can read the vault "${path}": chmod 600 ${path}`])
  })

  test('a private group may do what the owner may, another group may not write', async () => {
    if (!isRoot) return
    write('content', 0o660)
    chownSync(path, 1234, 1234)
    expect(readFileChecked(path, options())?.bytes.toString()).toBe('content')
    chownSync(path, 1234, 5678)
    await expectCode('UNSAFE', () => readFileChecked(path, options()))
    chmodSync(path, 0o640)
    expect(warnings).toEqual([])
    readFileChecked(path, options())
    expect(warnings).toHaveLength(1)
  })

  test('mean nothing where there are no user ids', () => {
    write('content', 0o666)
    expect(readFileChecked(path, options({ host: { ...HOST, uid: -1 } }))?.bytes.toString()).toBe('content')
  })
})

describe('reading by position', () => {
  test('sees one state, whatever is appended or put in its place', () => {
    write('0123456789')
    const reader = openFileChecked(path, options())
    appendFileSync(path, 'abc')
    writeFileSync(`${path}.new`, 'other')
    renameSync(`${path}.new`, path)
    expect(reader?.size).toBe(10)
    expect(reader?.read(0, 100).toString()).toBe('0123456789')
    expect(reader?.read(8, 1).toString()).toBe('8')
    expect(reader?.read(10, 5).length).toBe(0)
    expect(reader?.read(99, 5).length).toBe(0)
    reader?.close()
  })

  test('has the revision that reading whole has', () => {
    write('content')
    const reader = openFileChecked(path, options())
    expect(reader?.revision).toEqual(readFileChecked(path, options())?.revision)
    reader?.close()
  })

  test('gives undefined for a missing file', () => {
    expect(openFileChecked(path, options())).toBeUndefined()
  })
})
