import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readEnvValue, setEnvValue } from '../../src/clients/env-file.js'
import { VaultError } from '../../src/errors.js'

const FILE = '\uFEFF# keys\r\nexport A = "one" # why\r\nB=two\r\nC=\'th\nree\'\r\nD= # none\r\nE=x#y\r\nF='

function set(name: string, value: string, text = FILE): string {
  return setEnvValue(text, { name, value }, '.env')
}

function failure(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof VaultError && error.code === 'INPUT') return error.message
    throw error
  }
  throw new Error('it was taken')
}

describe('an assignment of a .env file', () => {
  it('is read', () => {
    expect(readEnvValue(FILE, 'A', '.env')).toBe('one')
    expect(readEnvValue(FILE, 'C', '.env')).toBe('th\nree')
    expect(readEnvValue(FILE, 'D', '.env')).toBe('')
    expect(readEnvValue(FILE, 'Z', '.env')).toBeUndefined()
  })

  it('is replaced and keeps its export, quotes, comment and line end', () => {
    expect(set('A', 'new')).toBe(FILE.replace('"one"', '"new"'))
    expect(set('B', 'new/2=+')).toBe(FILE.replace('two', 'new/2=+'))
    expect(set('C', 'x')).toBe(FILE.replace("'th\nree'", "'x'"))
    expect(set('D', 'x')).toBe(FILE.replace('D= # none', 'D= x # none'))
    expect(set('F', 'x')).toBe(`${FILE}x`)
  })

  it('gets quotes when the value needs them', () => {
    expect(set('B', 'a b')).toBe(FILE.replace('two', "'a b'"))
    expect(set('B', 'a#$b\n"')).toBe(FILE.replace('two', "'a#$b\n\"'"))
    expect(set('B', 'it\'s "$5"')).toBe(FILE.replace('two', '"it\'s \\"\\$5\\""'))
    expect(set('A', 'say "$x"')).toBe(FILE.replace('"one"', '\'say "$x"\''))
  })

  it('is added at the end when it is missing', () => {
    expect(set('NEW', '1')).toBe(`${FILE}\r\nNEW=1\r\n`)
    expect(set('NEW', '1', '')).toBe('NEW=1\n')
    expect(set('NEW', '1', 'A=1\n')).toBe('A=1\nNEW=1\n')
  })

  it('is refused, with the line and no piece of the text, where it is ambiguous or broken', () => {
    expect(failure(() => set('E', '1'))).toMatch(/^cannot read ".env": line 7: programs disagree about a #/)
    expect(failure(() => set('A', '1', 'A=1\nA=2\n'))).toBe('cannot read ".env": "A" stands in line 2 again')
    expect(failure(() => set('A', '1', 'A=1\n!!s3cret\n'))).toBe(
      'cannot read ".env": line 2: expected NAME=VALUE or a comment',
    )
    expect(failure(() => set('A B', '1'))).toBe('cannot read ".env": that is no name of a variable')
    expect(failure(() => set('A', 'x\0'))).toBe('cannot read ".env": the value of "A" is no text that it can hold')
  })

  it('reads back as it was written, and everything else stays', () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: fc.constantFrom(...'\'"`$\\#\r\n ab'.split('')) }),
    )
    fc.assert(
      fc.property(fc.constantFrom('A', 'B', 'C', 'D', 'F', 'NEW'), value, (name, text) => {
        const edited = set(name, text)
        expect(readEnvValue(edited, name, '.env')).toBe(text)
        for (const other of ['A', 'B', 'C', 'D', 'F'].filter((one) => one !== name)) {
          expect(readEnvValue(edited, other, '.env')).toBe(readEnvValue(FILE, other, '.env'))
        }
        expect(edited.startsWith('\uFEFF# keys\r\nexport A = ')).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})
