import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Mark, Store } from '../../src/storage/store.js'
import {
  announceMissing,
  expectCode,
  HOST,
  makeDirectory,
  openStore,
  ownerRecord,
  removeDirectory,
} from './storage-support.js'

const ID = 'AAECAwQFBgcICQoLDA0ODw'
const MARK: Mark = { vault: { gen: 42, mac: 'bWFj', commit: 'Y29tbWl0' }, tokens: { seq: 7, mac: 'dG9r' } }

let directory: string
let state: string
let path: string
let store: Store

beforeEach(() => {
  directory = makeDirectory()
  state = join(directory, 'state', 'mcpvault')
  path = join(state, `${ID}.json`)
  store = openStore(directory, { stateDirectory: state })
})
afterEach(() => removeDirectory(directory))

test('a vault that was never seen has no mark', () => {
  expect(store.marks.read(ID)).toBeUndefined()
  expect(existsSync(state)).toBe(false)
})

test('what was raised is read, also by another store, from files for nobody else', () => {
  expect(store.marks.raise(ID, () => MARK)).toBe(true)
  expect(openStore(directory, { stateDirectory: state }).marks.read(ID)).toEqual(MARK)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(state).mode & 0o777).toBe(0o700)
  expect(readdirSync(state)).toEqual([`${ID}.json`])
})

test('merge gets the stored mark; undefined and an equal one leave the file alone', () => {
  store.marks.raise(ID, () => MARK)
  const before = statSync(path).ino
  const seen: (Mark | undefined)[] = []
  const merge = (result: Mark | undefined) => (stored: Mark | undefined) => {
    seen.push(stored)
    return result
  }
  expect(store.marks.raise(ID, merge(undefined))).toBe(true)
  expect(store.marks.raise(ID, merge({ ...MARK }))).toBe(true)
  expect(statSync(path).ino).toBe(before)
  const higher = { tokens: { seq: 8, mac: 'bmV3' } }
  expect(store.marks.raise(ID, merge(higher))).toBe(true)
  expect(store.marks.read(ID)).toEqual(higher)
  expect(new Set(seen.map((mark) => JSON.stringify(mark)))).toEqual(new Set([JSON.stringify(MARK)]))
})

test('what killed processes left beside a mark is swept when it is raised', () => {
  mkdirSync(state, { recursive: true })
  const left = [`.${ID}.json.tmp-0123456789abcdef`, `.${ID}.json.lock.tmp-0123456789abcdef`]
  for (const name of [...left, '.other.json.tmp-0123456789abcdef']) writeFileSync(join(state, name), '{')
  expect(store.marks.raise(ID, () => MARK)).toBe(true)
  expect(readdirSync(state).sort()).toEqual(['.other.json.tmp-0123456789abcdef', `${ID}.json`])
})

test('marks of different vaults do not touch each other', () => {
  store.marks.raise(ID, () => MARK)
  store.marks.raise('other', () => ({ tokens: { seq: 1, mac: 'x' } }))
  expect(store.marks.read(ID)).toEqual(MARK)
})

test('every cut and every flipped byte is noticed', async () => {
  store.marks.raise(ID, () => MARK)
  const whole = readFileSync(path)
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    await expectCode('DAMAGED', () => store.marks.read(ID))
  }
  for (let at = 0; at < whole.length; at++) {
    for (const bit of [0x01, 0x20, 0x80]) {
      const flipped = Buffer.from(whole)
      flipped[at] = (flipped[at] ?? 0) ^ bit
      writeFileSync(path, flipped)
      await expectCode('DAMAGED', () => store.marks.read(ID))
    }
  }
  for (const text of ['null', '[]', '{}', '{"mark":null}', '{"mark":{"vault":1}}', `${whole}x`, ` ${whole}`]) {
    writeFileSync(path, text)
    await expectCode('DAMAGED', () => store.marks.read(ID))
  }
  writeFileSync(path, whole)
  expect(store.marks.read(ID)).toEqual(MARK)
})

test('a damaged mark is not raised over, and the hint removes it', async () => {
  mkdirSync(state, { recursive: true })
  writeFileSync(path, 'damaged', { mode: 0o600 })
  const failure = await expectCode('DAMAGED', () => store.marks.raise(ID, () => MARK))
  expect(failure.hints.join()).toContain(`rm -i ${path}`)
  expect(readFileSync(path, 'utf8')).toBe('damaged')
  expect(readdirSync(state)).toEqual([`${ID}.json`])
})

test.each([
  ['a directory', () => mkdirSync(path)],
  ['a FIFO', () => execFileSync('mkfifo', [path])],
  ['too large', () => writeFileSync(path, 'x'.repeat(4097), { mode: 0o600 })],
])('a mark that is %s is damaged, and the hint removes that, too', async (_, make) => {
  mkdirSync(state, { recursive: true })
  make()
  for (const use of [() => store.marks.read(ID), () => store.marks.raise(ID, () => MARK)]) {
    const failure = await expectCode('DAMAGED', use)
    expect(failure.message).toContain(path)
    expect(failure.hints.join()).toContain(`rm -ri ${path}`)
  }
})

test('a mark that root makes belongs to the owner of the directory', () => {
  if (HOST.uid !== 0) return announceMissing('only root can create files for another user')
  mkdirSync(state, { recursive: true })
  chownSync(state, 4711, 4712)
  store.marks.raise(ID, () => MARK)
  expect([statSync(path).uid, statSync(path).gid]).toEqual([4711, 4712])
})

test.each(['', '../x', 'a/b', 'a.b', '.', 'ä', 'x'.repeat(87), 'a\0'])('the id %j reaches no file', async (id) => {
  await expectCode('DAMAGED', () => store.marks.read(id))
  await expectCode('DAMAGED', () => store.marks.raise(id, () => MARK))
  expect(existsSync(state)).toBe(false)
})

test('raising gives false where the state directory cannot be', () => {
  writeFileSync(join(directory, 'state'), 'a file')
  expect(store.marks.raise(ID, () => MARK)).toBe(false)
  expect(store.marks.read(ID)).toBeUndefined()
})

test('raising gives false while another process is at it, and breaks a dead lock', () => {
  mkdirSync(state, { recursive: true })
  writeFileSync(`${path}.lock`, ownerRecord({}), { mode: 0o600 })
  expect(store.marks.raise(ID, () => MARK)).toBe(false)
  expect(store.marks.read(ID)).toBeUndefined()
  writeFileSync(`${path}.lock`, ownerRecord({ start: 'another' }), { mode: 0o600 })
  expect(store.marks.raise(ID, () => MARK)).toBe(true)
  expect(store.marks.read(ID)).toEqual(MARK)
})

test('a lock that a killed process left beside a mark is cleared away even when nothing is to be raised', () => {
  store.marks.raise(ID, () => MARK)
  writeFileSync(`${path}.lock`, ownerRecord({ start: 'another' }), { mode: 0o600 })
  expect(store.marks.raise(ID, () => undefined)).toBe(true)
  expect(readdirSync(state)).toEqual([`${ID}.json`])
  writeFileSync(`${path}.lock`, ownerRecord({}), { mode: 0o600 })
  expect(store.marks.raise(ID, () => undefined)).toBe(true)
  expect(existsSync(`${path}.lock`)).toBe(true)
})

test('a mark that others can write is not trusted', async () => {
  store.marks.raise(ID, () => MARK)
  chmodSync(path, 0o666)
  await expectCode('UNSAFE', () => store.marks.read(ID))
})
