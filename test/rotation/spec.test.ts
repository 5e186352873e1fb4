import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import {
  formatHook,
  formatProbe,
  formatProvider,
  formatTarget,
  parseHook,
  parseProbe,
  parseProvider,
  parseTarget,
  pointerPath,
} from '../../src/rotation/spec.js'
import { temporaryDirectory } from '../support/directory.js'

const refusal = (read: () => unknown): VaultError => {
  try {
    read()
  } catch (error) {
    if (error instanceof VaultError) return error
  }
  throw new Error('it was taken')
}

describe('the SPEC of a provider', () => {
  it.each([
    ['manual', { kind: 'manual' }, 'manual'],
    ['generate', { kind: 'generate', length: 48 }, 'generate:48'],
    ['generate:16', { kind: 'generate', length: 16 }, 'generate:16'],
    ['command:/opt/new-key', { kind: 'command', argv: ['/opt/new-key'] }, 'command:/opt/new-key'],
    ['command:["/opt/new-key"]', { kind: 'command', argv: ['/opt/new-key'] }, 'command:/opt/new-key'],
    ['command: [ "a b", "" ]', { kind: 'command', argv: ['a b', ''] }, 'command:["a b",""]'],
  ])('reads %s', (text, spec, canonical) => {
    expect(parseProvider(text)).toEqual(spec)
    expect(formatProvider(parseProvider(text))).toBe(canonical)
  })

  it.each([
    ['', 'there is no such kind'],
    ['vending', 'there is no such kind'],
    ['manual:', 'nothing stands behind the colon'],
    ['manual:x', 'there is no such kind'],
    ['command', 'there is no such kind'],
    ['generate:15', 'a generated value has 16 to 4096 characters'],
    ['generate:4097', 'a generated value has 16 to 4096 characters'],
    ['generate:048', 'a generated value has 16 to 4096 characters'],
    ['command:[]', 'the command is not a JSON array of strings'],
    ['command:[""]', 'the command is not a JSON array of strings'],
    ['command:["a",1]', 'the command is not a JSON array of strings'],
    ['command:["a"', 'the command is not a JSON array of strings'],
    ['command:["a\\u0000"]', 'the command is not a JSON array of strings'],
    ['command:curl -s https://x', 'the command looks like a shell line, and no shell runs here'],
    ['command:systemctl reload x', 'the command looks like a shell line, and no shell runs here'],
    ['command:new-key | head', 'the command looks like a shell line, and no shell runs here'],
    ['command:a\nb', 'it holds a line end or a NUL'],
    ['command:a\0', 'it holds a line end or a NUL'],
    [`command:${'a'.repeat(4096)}`, 'it is longer than 4096 characters'],
    ['command:\ud800', 'it is not well-formed Unicode'],
  ])('refuses %j and does not repeat it', (text, reason) => {
    const error = refusal(() => parseProvider(text))
    expect(error).toMatchObject({ code: 'USAGE', message: `cannot use the provider: ${reason}` })
  })
})

describe('the SPEC of a probe', () => {
  it.each([
    ['scavio', { kind: 'scavio' }],
    ['http:@probe.json', { kind: 'http', file: 'probe.json' }],
    [`http:sha256:${'0a'.repeat(32)}@a@b`, { kind: 'http', file: 'a@b', sha256: '0a'.repeat(32) }],
    ['command:["probe","--now"]', { kind: 'command', argv: ['probe', '--now'] }],
  ])('reads %s and writes it the same', (text, spec) => {
    expect(parseProbe(text)).toEqual(spec)
    expect(formatProbe(parseProbe(text))).toBe(text)
  })

  it.each([['http:probe.json'], ['http:@'], ['http:sha256:0a@probe.json'], ['scavio:x'], ['manual']])(
    'refuses %s',
    (text) => {
      expect(refusal(() => parseProbe(text)).code).toBe('USAGE')
    },
  )
})

describe('the SPEC of a target', () => {
  it.each([
    ['json:a.json#/b', { kind: 'json', file: 'a.json', pointer: '/b' }],
    ['json:/x/y#z.json#/m~1n/~0/', { kind: 'json', file: '/x/y#z.json', pointer: '/m~1n/~0/' }],
    ['env:.env#API_KEY', { kind: 'env', file: '.env', name: 'API_KEY' }],
    ['env:a#b#C', { kind: 'env', file: 'a#b', name: 'C' }],
    ['file:/run/key', { kind: 'file', file: '/run/key' }],
  ])('reads %s and writes it the same', (text, spec) => {
    expect(parseTarget(text)).toEqual(spec)
    expect(formatTarget(parseTarget(text))).toBe(text)
  })

  it.each([
    ['json:a.json'],
    ['json:a.json#'],
    ['json:#/a'],
    ['json:a.json#/~2'],
    ['env:.env'],
    ['env:.env#1X'],
    ['env:#X'],
    ['file:'],
    ['file:/tmp/'],
    ['yaml:a#/b'],
  ])('refuses %s', (text) => {
    expect(refusal(() => parseTarget(text)).code).toBe('USAGE')
  })

  it('goes through the names of its pointer as RFC 6901 unescapes them', () => {
    expect(pointerPath('/a~1b/~01/')).toEqual(['a/b', '~1', ''])
  })
})

describe('the SPEC of a hook', () => {
  it('is a command', () => {
    const text = '["systemctl","reload","mcp-search"]'
    expect(parseHook(text)).toEqual(['systemctl', 'reload', 'mcp-search'])
    expect(formatHook(parseHook(text))).toBe(text)
    expect(refusal(() => parseHook('systemctl reload mcp-search; true')).message).toContain('no shell runs here')
    expect(refusal(() => parseHook('')).code).toBe('USAGE')
  })

  it('with spaces is taken for a shell line, unless a program has that very name', () => {
    const error = refusal(() => parseHook('systemctl reload mcp-search'))
    expect(error.message).toContain('no shell runs here')
    expect(error.hints).toEqual([expect.stringContaining('\'["systemctl","reload","mcp-search"]\'')])
    const program = join(temporaryDirectory(), 'reload it')
    expect(refusal(() => parseHook(program)).code).toBe('USAGE')
    writeFileSync(program, '')
    expect(formatHook(parseHook(program))).toBe(JSON.stringify([program]))
  })
})
