import { chmodSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import { expectCode, passphraseKey, rawKey, sealed, START_MS, VaultWorld } from './vault-support.js'

describe('the text around a change', () => {
  const key = rawKey()
  const [one, two, three] = ['1', '2', '3'].map((value) => sealed(key, 'fernet', value))
  const layouts: Readonly<Record<string, string>> = {
    'two spaces': `{\n  "b": "${one}",\n  "a": "${two}",\n  "ключ": "${three}"\n}`,
    'tabs and a line feed at the end': `{\n\t"b": "${one}",\n\t"a": "${two}",\n\t"ключ": "${three}"\n}\n`,
    'CR LF': `{\r\n    "b": "${one}",\r\n    "a": "${two}",\r\n    "ключ": "${three}"\r\n}\r\n`,
    compact: `{"b":"${one}","a":"${two}","ключ":"${three}"}`,
    'commas in front': `{ "b" : "${one}"\n, "a" : "${two}"\n, "ключ" : "${three}" }\n\n`,
    'escapes in names': `{\n  "\\u0062": "${one}",\n  "a": "${two}",\n  "\\u043a\\u043b\\u044e\\u0447": "${three}"\n}`,
    'a byte order mark': `\uFEFF{\n  "b": "${one}",\n  "a": "${two}",\n  "ключ": "${three}"\n}`,
  }

  it.each(Object.keys(layouts))('(%s) stays byte for byte', async (layout) => {
    const text = layouts[layout] ?? ''
    const world = new VaultWorld({ key })
    world.write(text)
    expect(world.open().names()).toEqual(['b', 'a', 'ключ'])
    expect(['b', 'a', 'ключ'].map((name) => world.text(name))).toEqual(['1', '2', '3'])
    await world.rotate('a', 'rotated')
    const rotated = world.read().toString('utf8')
    const fresh = /gAAAAA[^"]*/.exec(rotated.replace(one ?? '', ''))?.[0] ?? ''
    expect(rotated).toBe(text.replace(two ?? '', fresh))
    await world.put('new', 'added')
    const added = world.read().toString('utf8')
    const [head = '', tail = ''] = splitAfter(rotated, three ?? '')
    expect(added.startsWith(head) && added.endsWith(tail)).toBe(true)
    expect(world.open().names()).toEqual(['b', 'a', 'ключ', 'new'])
    await world.remove('new')
    expect(world.read().toString('utf8')).toBe(rotated)
    await world.remove('b')
    expect(world.open().names()).toEqual(['a', 'ключ'])
    expect(['a', 'ключ'].map((name) => world.text(name))).toEqual(['rotated', '3'])
  })

  it('of an empty object becomes what the tutorial would write', async () => {
    const world = await VaultWorld.create({ key, format: 'tutorial' })
    expect(world.read().toString()).toBe('{}\n')
    await world.put('a', '1')
    expect(world.read().toString()).toMatch(/^\{\n {2}"a": "gAAAAA[^"]+"\n\}\n$/)
    await world.remove('a')
    expect(world.read().toString()).toBe('{}\n')
  })

  it('keeps its mode', async () => {
    const world = new VaultWorld({ key })
    world.write(layouts['two spaces'] ?? '')
    chmodSync(world.path('vault'), 0o644)
    await world.rotate('a', 'rotated')
    expect(statSync(world.path('vault')).mode & 0o777).toBe(0o644)
    expect(world.warnings.some((warning) => warning.includes('other users can read'))).toBe(true)
  })

  it('knows names that play tricks', async () => {
    const world = await VaultWorld.create({ key, format: 'tutorial' })
    expect(world.open().describe('__proto__')).toBeUndefined()
    for (const name of ['b', '__proto__', 'constructor', '7', '1']) await world.put(name, name)
    expect(world.open().names()).toEqual(['b', '__proto__', 'constructor', '7', '1'])
    for (const name of world.open().names()) expect(world.text(name)).toBe(name)
    await world.rotate('__proto__', 'rotated')
    expect(world.text('__proto__')).toBe('rotated')
  })
})

describe('a key that does not fit', () => {
  it('reads nothing and writes nothing', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'x')
    const before = world.read()
    const wrong = new VaultWorld({ directory: world.directory })
    for (const use of [
      () => wrong.text('a'),
      () => wrong.put('b', 'y'),
      () => wrong.rotate('a', 'y'),
      () => wrong.remove('a'),
    ]) {
      await expectCode('WRONG_KEY', use)
    }
    expect(world.read().equals(before)).toBe(true)
    expect(world.history()).toEqual(['created a'])
  })

  it('may be a passphrase, which this format does not know', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await expectCode('WRONG_KEY', () => world.open({ key: passphraseKey('x') }))
  })

  it('may be none: names can be read, values cannot', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'x')
    const vault = world.open({ key: undefined })
    expect(vault.names()).toEqual(['a'])
    await expectCode('NO_KEY', () => vault.load('a', { nowMs: START_MS }))
    await expectCode('NO_KEY', () =>
      changeVault(world.access({ key: undefined }), 'remove', (draft) => draft.remove('a', {})),
    )
  })
})

describe('what the tutorial format does not have', () => {
  it('is refused with the hint to upgrade', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    await world.put('a', 'x')
    const before = world.read()
    for (const use of [
      () => world.text('a', 1),
      () => world.text('a', 'previous'),
      () => world.rollback('a'),
      () => world.put('b', 'y', 'a note'),
      () => world.put('b', Buffer.from('ff', 'hex')),
      () => world.rotate('a', Buffer.from('c328', 'hex')),
    ]) {
      const failure = await expectCode('INPUT', use)
      expect(failure.hints).toEqual(['mcpvault upgrade'])
    }
    await expectCode('INPUT', () => world.rotate('a', 'x'))
    await expectCode('INPUT', () => world.put('b', Buffer.alloc(1024 * 1024 + 1, 'x')))
    expect(world.read().equals(before)).toBe(true)
  })

  it('includes new names that programs would stumble over', async () => {
    const world = await VaultWorld.create({ format: 'tutorial' })
    for (const name of ['ключ', 'with space', '', 'x'.repeat(257)])
      await expectCode('INPUT', () => world.put(name, 'x'))
    await world.put('a', 'x')
    await expectCode('EXISTS', () => world.put('a', 'y'))
    const missing = await expectCode('NOT_FOUND', () => world.rotate('b', 'y'))
    expect(missing.hints).toEqual(['did you mean "a"?'])
  })
})

function splitAfter(text: string, part: string): readonly [string, string] {
  const end = text.indexOf(part) + part.length + 1
  return [text.slice(0, end), text.slice(end)]
}
