import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MAX_TEXT_BYTES, readTextFile, replaceTextFile, type TextFile } from '../../src/clients/replace-text-file.js'
import { type ErrorCode, VaultError } from '../../src/errors.js'
import { HOST } from '../storage/storage-support.js'
import { temporaryDirectory } from '../support/directory.js'

const access = { host: HOST, randomBytes, now: Date.now }

function read(path: string): TextFile {
  const file = readTextFile(path, 'config', access)
  if (file === undefined) throw new Error(`${path} is not there`)
  return file
}

function failure(run: () => unknown): { readonly code: ErrorCode; readonly message: string } {
  try {
    run()
  } catch (error) {
    if (error instanceof VaultError) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('it went well')
}

function file(text = '{}\n', mode = 0o640): string {
  const path = join(temporaryDirectory(), 'mcp.json')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

describe('a text file of another program', () => {
  it('is replaced with its mode kept, and nothing is left beside it', () => {
    const path = file('old\r\n')
    replaceTextFile(read(path), 'new\r\n', access)
    expect(readFileSync(path, 'utf8')).toBe('new\r\n')
    expect(statSync(path).mode & 0o7777).toBe(0o640)
    expect(readdirSync(join(path, '..'))).toEqual(['mcp.json'])
  })

  it('is replaced again from what the first replacement gives', () => {
    const path = file('one')
    replaceTextFile(replaceTextFile(read(path), 'two', access), 'three', access)
    expect(readFileSync(path, 'utf8')).toBe('three')
  })

  it('is found through symbolic links, which stay', () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'dotfiles'))
    writeFileSync(join(directory, 'dotfiles', 'real.json'), 'old')
    symlinkSync(join('dotfiles', 'real.json'), join(directory, 'mcp.json'))
    replaceTextFile(read(join(directory, 'mcp.json')), 'new', access)
    expect(readlinkSync(join(directory, 'mcp.json'))).toBe(join('dotfiles', 'real.json'))
    expect(readFileSync(join(directory, 'dotfiles', 'real.json'), 'utf8')).toBe('new')
  })

  it('is not written when its content, its file or its link has changed meanwhile', () => {
    const expected = { code: 'LOCKED', message: expect.stringContaining('another program has changed it meanwhile') }
    const rewritten = file('old')
    const before = read(rewritten)
    writeFileSync(rewritten, 'their')
    expect(failure(() => replaceTextFile(before, 'mine', access))).toEqual(expected)
    expect(readFileSync(rewritten, 'utf8')).toBe('their')
    expect(readdirSync(join(rewritten, '..'))).toEqual(['mcp.json'])

    const gone = file('old')
    const lost = { ...read(gone), target: `${gone}-gone` }
    expect(failure(() => replaceTextFile(lost, 'mine', access))).toEqual(expected)
    expect(existsSync(`${gone}-gone`)).toBe(false)

    const link = join(temporaryDirectory(), 'link.json')
    symlinkSync(file('one'), link)
    const linked = read(link)
    const elsewhere = `${linked.target}.2`
    writeFileSync(elsewhere, 'two')
    expect(lstatSync(link).isSymbolicLink()).toBe(true)
    const moved = { ...linked, path: elsewhere }
    expect(failure(() => replaceTextFile(moved, 'mine', access))).toEqual(expected)
    expect(readFileSync(linked.target, 'utf8')).toBe('one')
  })

  it('is not written when only its content differs, with the same size, inode and time', () => {
    const path = file('old')
    const { atime, mtime } = statSync(path)
    utimesSync(path, atime, mtime)
    const before = read(path)
    writeFileSync(path, 'OLD')
    utimesSync(path, atime, mtime)
    expect(read(path).revision).toEqual(before.revision)
    expect(failure(() => replaceTextFile(before, 'mine', access)).code).toBe('LOCKED')
    expect(readFileSync(path, 'utf8')).toBe('OLD')
  })

  it('is not written when it is read-only, not even by root', () => {
    const path = file('old', 0o444)
    expect(failure(() => replaceTextFile(read(path), 'new', access))).toEqual({
      code: 'IO',
      message: `cannot write the config "${path}": it is read-only`,
    })
    expect(readFileSync(path, 'utf8')).toBe('old')
  })

  it('is read up to 10 MiB, and only if it is UTF-8 in a regular file that nobody else writes', () => {
    expect(read(file('a'.repeat(MAX_TEXT_BYTES))).text.length).toBe(MAX_TEXT_BYTES)
    const large = file('a'.repeat(MAX_TEXT_BYTES + 1))
    expect(failure(() => read(large)).message).toBe(
      `cannot read the config "${large}": it is larger than 10485760 bytes`,
    )
    const small = file('a')
    expect(failure(() => replaceTextFile(read(small), 'a'.repeat(MAX_TEXT_BYTES + 1), access)).code).toBe('INPUT')
    const latin = file()
    writeFileSync(latin, Buffer.from([0x7b, 0xe9]))
    expect(failure(() => read(latin)).message).toBe(`cannot read the config "${latin}": it is not UTF-8 text`)
    expect(failure(() => read(join(latin, '..'))).message).toContain('it is a directory, not a regular file')
    expect(failure(() => read(file('a', 0o666))).code).toBe('UNSAFE')
    expect(readTextFile(`${latin}-none`, 'config', access)).toBeUndefined()
    const loop = join(temporaryDirectory(), 'loop')
    symlinkSync(loop, loop)
    expect(failure(() => read(loop))).toEqual({
      code: 'IO',
      message: `cannot read the config "${loop}": its symbolic links lead nowhere`,
    })
  })
})
