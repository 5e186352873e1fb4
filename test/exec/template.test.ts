import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { fillTemplate } from '../../src/exec/fill.js'
import { Secret } from '../../src/secret.js'

const values: Readonly<Record<string, string>> = { key: 'v"1', 'eu:key@1': 'two', 'odd"name\\x é': 'three' }

function fill(template: string | Buffer): string {
  const filled = fillTemplate(Buffer.from(template), ({ name, version }) => {
    const value = values[name]
    if (value === undefined) throw new VaultError('NOT_FOUND', `no credential is named "${name}"`, { hints: ['list'] })
    return Secret.fromText(version === undefined ? value : `${value}#${version}`)
  })
  return filled.bytes.toString('latin1')
}

function failure(template: string): VaultError {
  try {
    fill(template)
  } catch (error) {
    if (error instanceof VaultError) return error
    throw error
  }
  throw new Error(`filled: ${template}`)
}

describe('filling a template', () => {
  it('puts values in, byte for byte', () => {
    expect(fill('a={{ vault "key" }}\n{{vault "eu:key@1"}}{{  vault\n"key"  "previous" }};{{ vault "key" "3" }}')).toBe(
      'a=v"1\ntwov"1#previous;v"1#3',
    )
    expect(fill('{{ vault "odd\\"name\\\\x é" }}')).toBe('three')
  })

  it('copies everything else as it is, whatever bytes it is made of', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString('latin1').replaceAll('{{', '{')
        expect(fill(Buffer.from(text, 'latin1'))).toBe(text)
      }),
    )
    expect(fill('{ {x} }} }}}} { { vault "key" } }')).toBe('{ {x} }} }}}} { { vault "key" } }')
    expect(fill('')).toBe('')
  })

  it('writes braces that are meant as such', () => {
    expect(fill('{{ "{{" }} vault "key" }} {{"a\\"b"}}')).toBe('{{ vault "key" }} a"b')
  })

  it('fills nothing of what it has filled in, and gives back any text that is quoted', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !/[\r\n]/.test(text)),
        (text) => {
          const quoted = text.replace(/["\\]/g, '\\$&')
          expect(fill(`<{{ "${quoted}" }}>`)).toBe(Buffer.from(`<${text}>`).toString('latin1'))
        },
      ),
    )
  })

  it('names the place of what it does not understand, and nothing of it', () => {
    const cases: readonly (readonly [string, string])[] = [
      ['a\nbé {{ key }}', 'line 2, column 4: this "{{" is not understood'],
      ['{{ vault key }}', 'line 1, column 1: this "{{" is not understood'],
      ['{{ vault "key"', 'line 1, column 1: this "{{" has no "}}"'],
      ['{{{ vault "key" }}}', 'line 1, column 1: this "{{" is not understood'],
      ['{{- vault "key" }}', 'line 1, column 1: this "{{" is not understood'],
      ['{{ vault "" }}', 'line 1, column 1: it names no credential'],
      ['\n\n{{ vault "key" "last" }}', 'line 3, column 1: a version is a number or "previous"'],
      ['{{ vault "key" "previous" "x" }}', 'line 1, column 1: this "{{" is not understood'],
      ['{{ "a" "b" }}', 'line 1, column 1: this "{{" is not understood'],
    ]
    for (const [template, reason] of cases) {
      const error = failure(template)
      expect(error.message).toBe(`cannot fill the template: ${reason}`)
      expect(error.code).toBe('INPUT')
    }
  })

  it('names everything that is missing at once', () => {
    const error = failure('{{ vault "one" }} {{ vault "key" }}\n{{ vault "two" }}')
    expect(error).toMatchObject({ code: 'NOT_FOUND', hints: ['list'] })
    expect(error.message).toBe(
      'cannot fill the template: line 1, column 1: no credential is named "one"; line 2, column 1: no credential is named "two"',
    )
  })
})
