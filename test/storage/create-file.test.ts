import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPrivateFile, ensurePrivateDirectory } from '../../src/storage/create-file.js'
import { announceMissing, expectCode, makeDirectory, openStore, removeDirectory } from './storage-support.js'

let directory: string
let path: string

beforeEach(() => {
  directory = makeDirectory()
  path = join(directory, 'file')
})
afterEach(() => removeDirectory(directory))

const create = (text: string): void => createPrivateFile(path, Buffer.from(text), { randomBytes })

test('a new file is whole and for nobody else', () => {
  create('content')
  expect(readFileSync(path, 'utf8')).toBe('content')
  expect(statSync(path).mode & 0o7777).toBe(0o600)
  expect(readdirSync(directory)).toEqual(['file'])
})

test.each([
  ['a file', () => writeFileSync(path, 'theirs')],
  ['a directory', () => mkdirSync(path)],
  ['a dangling link', () => symlinkSync('nowhere', path)],
])('%s of that name is left alone', async (_, make) => {
  make()
  const failure = await expectCode('EXISTS', () => create('mine'))
  expect(failure.message).toBe(`cannot create "${path}": it exists already`)
  expect(readdirSync(directory)).toEqual(['file'])
  expect(existsSync(join(directory, 'nowhere'))).toBe(false)
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) expect(readFileSync(path, 'utf8')).toBe('theirs')
})

test('a missing directory is an error that names it', async () => {
  path = join(directory, 'missing', 'file')
  const failure = await expectCode('IO', () => create('mine'))
  expect(failure.message).toBe(`cannot create "${path}": no such file or directory`)
})

test('what a killed process left of the same file is swept once it is too old to be in use', () => {
  const [old, young] = ['.file.tmp-0123456789abcdef', '.file.tmp-fedcba9876543210']
  for (const name of [old, young]) writeFileSync(join(directory, name), 'secret')
  utimesSync(join(directory, old), Date.now() / 1000 - 61, Date.now() / 1000 - 61)
  create('content')
  expect(readdirSync(directory).sort()).toEqual([young, 'file'].sort())
})

test('a directory that can never be made is an error at once, as under /proc', async () => {
  if (!existsSync('/proc/self')) return announceMissing('there is no /proc here')
  const failure = await expectCode('IO', () => ensurePrivateDirectory('/proc/nope/mcpvault'))
  expect(failure.message).toMatch(/^cannot create the directory "\/proc\/nope\/mcpvault": /)
  expect(openStore(directory, { stateDirectory: '/proc/nope' }).marks.raise('abc', () => ({}))).toBe(false)
})

test('missing directories are made for nobody else, existing ones are left as they are', async () => {
  chmodSync(directory, 0o755)
  expect(ensurePrivateDirectory(join(directory, 'a', 'b'))).toBe(join(directory, 'a'))
  expect(statSync(join(directory, 'a')).mode & 0o7777).toBe(0o700)
  expect(statSync(join(directory, 'a', 'b')).mode & 0o7777).toBe(0o700)
  chmodSync(join(directory, 'a'), 0o750)
  expect(ensurePrivateDirectory(join(directory, 'a'))).toBeUndefined()
  expect(statSync(join(directory, 'a')).mode & 0o7777).toBe(0o750)
  expect(statSync(directory).mode & 0o7777).toBe(0o755)
})

test('a file where a directory should be is an error', async () => {
  create('content')
  const same = await expectCode('IO', () => ensurePrivateDirectory(path))
  expect(same.message).toContain('a file has that name')
  await expectCode('IO', () => ensurePrivateDirectory(join(path, 'below')))
})
