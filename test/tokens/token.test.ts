import { describe, expect, it } from 'vitest'
import { encodeMacaroon, verifyMacaroon } from '../../src/crypto/macaroon.js'
import type { Method } from '../../src/tokens/caveats.js'
import { decodeToken, deriveRootKey, describeToken, encodeToken, narrowToken } from '../../src/tokens/token.js'
import { importMacaroon, takeJson } from '../crypto/npm-macaroon.js'
import { expectCode, HOUR, mintWith, NOW } from './tokens-support.js'

const KEY = Buffer.alloc(32, 1)
const ID = Buffer.alloc(16, 0xab)
const CREATED = [
  '{"methods":["tools"]}',
  '{"tools":["web_search","github/get_issue"]}',
  '{"before":"2026-11-22T19:00:00Z"}',
]
const TOKEN = encodeToken(mintWith(KEY, ID, CREATED))

const isGenuine = (text: string): boolean => {
  const macaroon = decodeToken(text)
  return macaroon !== undefined && verifyMacaroon(macaroon, deriveRootKey(KEY, macaroon.identifier))
}

describe('decodeToken', () => {
  it('reads what encodeToken writes', () => {
    expect(TOKEN).toMatch(/^mcpv_[A-Za-z0-9_-]+$/)
    expect(decodeToken(TOKEN)).toEqual(mintWith(KEY, ID, CREATED))
  })

  it.each([
    ['nothing', ''],
    ['the prefix alone', 'mcpv_'],
    ['no prefix', TOKEN.slice(5)],
    ['another prefix', `MCPV_${TOKEN.slice(5)}`],
    ['white space in front', ` ${TOKEN}`],
    ['a line end', `${TOKEN}\n`],
    ['padding', `${TOKEN}=`],
    ['one character less', TOKEN.slice(0, -1)],
    ['one character more', `${TOKEN}A`],
    ['the standard alphabet', `mcpv_${encodeMacaroon(mintWith(KEY, ID, CREATED)).toString('base64')}`],
    ['an identifier of 15 bytes', encodeToken(mintWith(KEY, ID.subarray(1), CREATED))],
    ['no identifier', encodeToken(mintWith(KEY, Buffer.alloc(0), CREATED))],
    ['over 8 KiB', `mcpv_${'A'.repeat(8188)}`],
    ['64 MiB', `mcpv_${'A'.repeat(64 * 1024 * 1024)}`],
  ])('refuses %s', (_what, text) => {
    expect(decodeToken(text)).toBeUndefined()
  })

  it('refuses input of another type without throwing', () => {
    for (const odd of [undefined, null, 7, {}, [TOKEN], Buffer.from(TOKEN)]) expect(decodeToken(odd)).toBeUndefined()
  })
})

describe('encodeToken', () => {
  it('makes tokens of up to 8 KiB and 16 caveats, all of which can be read', async () => {
    const longest = encodeToken(mintWith(KEY, ID, ['x'.repeat(6071)]))
    expect(longest).toHaveLength(8192)
    expect(decodeToken(longest)).toBeDefined()
    await expectCode('INPUT', () => encodeToken(mintWith(KEY, ID, ['x'.repeat(6072)])))
    expect(decodeToken(encodeToken(mintWith(KEY, ID, Array(16).fill('c'))))).toBeDefined()
    await expectCode('INPUT', () => encodeToken(mintWith(KEY, ID, Array(17).fill('c'))))
  })
})

describe('narrowToken', () => {
  it('appends caveats without any key, and the token stays genuine', () => {
    const narrowed = narrowToken(TOKEN, {
      methods: ['tools'],
      tools: ['web_search', 'web_search'],
      beforeEpochMs: NOW + 999,
    })
    expect(decodeToken(narrowed)?.caveats.map(String)).toEqual([
      ...CREATED,
      '{"methods":["tools"]}',
      '{"tools":["web_search"]}',
      '{"before":"2026-11-22T18:00:00Z"}',
    ])
    expect(isGenuine(narrowed)).toBe(true)
  })

  it('can be repeated up to 16 caveats', async () => {
    let token = TOKEN
    for (let count = 3; count < 16; count++) token = narrowToken(token, { beforeEpochMs: NOW + count * HOUR })
    expect(isGenuine(token)).toBe(true)
    await expectCode('INPUT', () => narrowToken(token, { beforeEpochMs: NOW }))
  })

  it('refuses what is no token, without saying what it was', async () => {
    for (const text of ['', 'sk_live_0123456789', `${TOKEN}A`]) {
      const failure = await expectCode('INPUT', () => narrowToken(text, { tools: ['web_search'] }))
      if (text !== '') expect(`${failure.message}${failure.hints.join()}`).not.toContain(text)
    }
  })

  it('refuses to narrow by nothing, to "*", to no tool or to what is no name', async () => {
    await expectCode('INPUT', () => narrowToken(TOKEN, {}))
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: ['*'] }))
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: ['web_search', '*'] }))
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: [] }))
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: ['web search'] }))
    await expectCode('INPUT', () => narrowToken(TOKEN, { methods: [] }))
  })

  it('refuses ends that no clock reaches or that cannot be written', async () => {
    for (const beforeEpochMs of [Number.NaN, Number.POSITIVE_INFINITY, -1, 8.64e15, 8.64e15 + 1, Date.UTC(10_000, 0)]) {
      await expectCode('INPUT', () => narrowToken(TOKEN, { beforeEpochMs }))
    }
    expect(narrowToken(TOKEN, { beforeEpochMs: Date.UTC(9999, 11, 31) })).toMatch(/^mcpv_/)
  })

  it('refuses to make a token that would allow nothing', async () => {
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: ['another_tool'] }))
    const methods: readonly Method[] = ['resources']
    await expectCode('INPUT', () => narrowToken(TOKEN, { methods }))
  })

  it('refuses a result over 8 KiB', async () => {
    const tools = Array.from({ length: 60 }, (_, index) => `${index}`.padEnd(120, 'x'))
    await expectCode('INPUT', () => narrowToken(TOKEN, { tools: ['web_search', ...tools] }))
  })

  it('takes a token that the npm package narrowed, and the other way round', () => {
    const macaroon = decodeToken(narrowToken(TOKEN, { tools: ['web_search'] }))
    if (!macaroon) throw new Error('no token')
    const foreign = importMacaroon(encodeMacaroon(macaroon))
    foreign.verify(deriveRootKey(KEY, ID), () => null)
    foreign.addFirstPartyCaveat('{"before":"2026-11-22T18:30:00Z"}')
    const taken = encodeToken(takeJson(foreign.exportJSON()))
    expect(isGenuine(taken)).toBe(true)
    expect(isGenuine(narrowToken(taken, { beforeEpochMs: NOW }))).toBe(true)
    expect(describeToken(taken).scope.beforeMs).toBe(NOW + HOUR / 2)
  })
})

describe('describeToken', () => {
  it('gives the id, the caveats and what they leave over', () => {
    const description = describeToken(narrowToken(TOKEN, { tools: ['web_search'], beforeEpochMs: NOW }))
    expect(description.id).toBe(ID.toString('hex'))
    expect(description.caveats).toHaveLength(5)
    expect(description.scope).toMatchObject({ methods: ['tools'], tools: ['web_search'], beforeMs: NOW })
    expect(description.hasUnknown).toBe(false)
  })

  it('says that a caveat is unknown', () => {
    const description = describeToken(encodeToken(mintWith(KEY, ID, [...CREATED, '{"unheard_of":1}'])))
    expect(description.hasUnknown).toBe(true)
    expect(description.caveats.at(-1)).toBeUndefined()
  })

  it('refuses what is no token', async () => {
    await expectCode('INPUT', () => describeToken('mcpv_'))
  })
})
