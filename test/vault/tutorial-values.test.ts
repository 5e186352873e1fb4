import { createCipheriv, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { sealFernet } from '../../src/crypto/fernet.js'
import { parseRawKey, type RawKey } from '../../src/vault/key.js'
import { expectCode, rawKey, sealed, VaultWorld } from './vault-support.js'

const GCM_HEX = /^[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]*$/
const FERNET = /^gAAAAA[A-Za-z0-9_-]+=*$/

describe.each(['python', 'node'])('a vault that the %s tutorial wrote', (program) => {
  const fixture = (file: string): string => `test/fixtures/tutorial-${program}/${file}`
  const expected = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as {
    readonly MCP_ENCRYPTION_KEY: string
    readonly values: Readonly<Record<string, string>>
  }
  let world: VaultWorld

  beforeEach(() => {
    world = new VaultWorld({ key: parseRawKey(expected.MCP_ENCRYPTION_KEY) ?? rawKey() })
    world.write(readFileSync(fixture('mcp_credentials.enc')))
  })

  it('gives every value, in file order', () => {
    const vault = world.open()
    expect(vault.format).toBe('tutorial')
    expect(vault.names()).toEqual(Object.keys(expected.values))
    for (const [name, value] of Object.entries(expected.values)) expect(world.text(name), name).toBe(value)
  })

  it('changes in one line alone when a value is rotated', async () => {
    const before = world.lines()
    await world.rotate('with space', 'rotated')
    const after = world.lines()
    expect(after.filter((line, index) => line !== before[index])).toHaveLength(1)
    expect(after).toHaveLength(before.length)
    for (const [name, value] of Object.entries(expected.values)) {
      expect(world.text(name)).toBe(name === 'with space' ? 'rotated' : value)
    }
  })
})

describe('the codec of a value', () => {
  it('is the one that the spelling of the key names', async () => {
    for (const [spelling, pattern] of [
      ['hex', GCM_HEX],
      ['base64url', FERNET],
    ] as const) {
      const world = await VaultWorld.create({ key: rawKey(randomBytes(32), spelling), format: 'tutorial' })
      await world.put('a', 'value')
      expect(world.json().a).toMatch(pattern)
      expect(world.text('a')).toBe('value')
    }
  })

  it('is kept when an entry has one already, so one file may hold both', async () => {
    const bytes = randomBytes(32)
    const python = await VaultWorld.create({ key: rawKey(bytes, 'base64url'), format: 'tutorial' })
    await python.put('fernet', '1')
    const node = new VaultWorld({ key: rawKey(bytes, 'hex'), directory: python.directory })
    await node.put('gcm', '2')
    await node.rotate('fernet', '3')
    await python.rotate('gcm', '4')
    expect(node.json().fernet).toMatch(FERNET)
    expect(node.json().gcm).toMatch(GCM_HEX)
    expect([python.text('fernet'), node.text('fernet'), python.text('gcm'), node.text('gcm')]).toEqual([
      '3',
      '3',
      '4',
      '4',
    ])
    expect(node.open().describe('fernet')?.codec).toBe('fernet')
    expect(node.open().describe('gcm')?.codec).toBe('aes-256-gcm')
  })
})

describe('a value that is not what a tutorial program writes', () => {
  const key = rawKey(randomBytes(32), 'hex')
  const keyBytes = key.bytes.reveal()
  const good = sealed(key, 'aes-256-gcm', 'a good value')
  const [iv = '', tag = '', text = ''] = good.split(':')
  const fernet = sealed(key, 'fernet', 'a good value')
  const odd: Readonly<Record<string, unknown>> = {
    'a tag of 4 bytes': withTag(keyBytes, 4),
    'a tag of 12 bytes': withTag(keyBytes, 12),
    'a tag cut to 4 bytes': `${iv}:${tag.slice(0, 8)}:${text}`,
    'an IV of 8 bytes': `${iv.slice(0, 16)}:${tag}:${text}`,
    'an IV of 20 bytes': `${iv}00000000:${tag}:${text}`,
    'an odd number of hex digits': `${iv}:${tag}:${text}0`,
    'a letter that is no hex digit': `${iv}:${tag}:${text.slice(0, -1)}g`,
    'a part too many': `${good}:00`,
    'a part too few': `${iv}:${tag}`,
    'white space around it': ` ${good} `,
    'Fernet without its padding': fernet.replace(/=+$/, '').slice(0, -1),
    'Fernet in the other alphabet': Buffer.from(fernet, 'base64url').toString('base64').replace(/^g/, '+'),
    'Fernet of another version': `h${fernet.slice(1)}`,
    'plain text': 'sk_live_plain',
    'an empty string': '',
    'a number': 7,
    'a nested object': { value: good, list: [1, { deep: '}' }] },
    null: null,
  }

  it.each(Object.keys(odd))('(%s) is damaged, and leaves the others usable', async (what) => {
    const world = new VaultWorld({ key })
    world.write(JSON.stringify({ before: good, odd: odd[what], after: good }, null, 2))
    const failure = await expectCode('DAMAGED', () => world.text('odd'))
    expect(failure.message).toBe('the value of "odd" is damaged')
    expect(world.open().describe('odd')).toMatchObject({ name: 'odd', codec: undefined })
    expect([world.text('before'), world.text('after')]).toEqual(['a good value', 'a good value'])
    await world.rotate('after', 'rotated beside it')
    expect(world.json()).toMatchObject({ odd: odd[what], before: good })
    await world.rotate('odd', 'mended')
    expect(world.text('odd')).toBe('mended')
  })

  it('is damage even when it is well-formed and does not open while others do', async () => {
    const world = new VaultWorld({ key })
    const broken = `${iv}:${tag}:${text.slice(0, -2)}${text.endsWith('00') ? '01' : '00'}`
    world.write(JSON.stringify({ broken, good }))
    await expectCode('DAMAGED', () => world.text('broken'))
    expect(world.text('good')).toBe('a good value')
  })

  it('may have an IV of 12 bytes', () => {
    const world = new VaultWorld({ key })
    const cipher = createCipheriv('aes-256-gcm', keyBytes, Buffer.alloc(12, 9))
    const body = Buffer.concat([cipher.update('short IV'), cipher.final()])
    world.write(
      JSON.stringify({ a: `${'09'.repeat(12)}:${cipher.getAuthTag().toString('hex')}:${body.toString('hex')}` }),
    )
    expect(world.text('a')).toBe('short IV')
  })

  it('has no time to live: a Fernet token from 1970 opens', () => {
    const world = new VaultWorld({ key })
    world.write(
      JSON.stringify({ a: sealFernet(keyBytes, Buffer.from('old'), { epochSeconds: 0, iv: Buffer.alloc(16) }) }),
    )
    expect(world.text('a')).toBe('old')
  })
})

describe('a file that is no tutorial vault', () => {
  it.each([
    ['empty', ''],
    ['cut', '{"a": "b'],
    ['text', 'hello'],
    ['a string', '"hello"'],
    ['null', 'null'],
    ['two objects', '{}{}'],
    ['a trailing comma', '{"a":"b",}'],
    ['a comment', '{} // none'],
    ['not UTF-8', Buffer.from('7b2261223a22ff227d', 'hex')],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
  ])('(%s) is damage, not an empty vault, and is never written', async (_what, content) => {
    const world = new VaultWorld()
    world.write(content)
    await expectCode('DAMAGED', () => world.open())
    await expectCode('DAMAGED', () => world.put('a', 'x'))
    expect(world.read().equals(Buffer.from(content))).toBe(true)
  })

  it('names a member twice: refused, since programs disagree about which counts', async () => {
    const world = new VaultWorld()
    const value = sealed(world.key as RawKey, 'fernet', 'x')
    for (const second of ['"a"', '"\\u0061"']) {
      world.write(`{"a":"${value}",${second}:"${value}"}`)
      const failure = await expectCode('DAMAGED', () => world.open())
      expect(failure.message).toBe(`the vault "${world.path('vault')}" is damaged: "a" stands in it twice`)
      await expectCode('DAMAGED', () => world.remove('a'))
    }
  })
})

/** A value with a tag that is genuine and short, which Node would accept unless told otherwise. */
function withTag(key: Buffer, length: number): string {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: length })
  const body = Buffer.concat([cipher.update('short tag'), cipher.final()])
  return `${iv.toString('hex')}:${cipher.getAuthTag().toString('hex')}:${body.toString('hex')}`
}
