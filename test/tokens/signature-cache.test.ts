import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.js'
import { SignatureCache } from '../../src/tokens/signature-cache.js'
import { encodeToken, narrowToken } from '../../src/tokens/token.js'
import { type TokenLookup, verifyToken } from '../../src/tokens/verify.js'
import { HOUR, mintWith, NOW, SEARCH } from './tokens-support.js'

const KEY = Buffer.alloc(32, 1)
const ID = Buffer.alloc(16, 0xab)
const TOKEN = encodeToken(
  mintWith(KEY, ID, ['{"methods":["tools"]}', '{"tools":["web_search"]}', '{"before":"2026-11-22T19:00:00Z"}']),
)

function world(): { records: { -readonly [Name in keyof TokenLookup]: TokenLookup[Name] }; cache: SignatureCache } {
  const record = { id: ID.toString('hex'), label: undefined, caveats: [], createdMs: NOW, revokedMs: undefined }
  const records = {
    isIntact: true,
    tokensKey: new Secret(Buffer.from(KEY)),
    find: (id: string) => (id === record.id ? record : undefined),
  }
  return { records, cache: new SignatureCache() }
}

describe('a signature cache', () => {
  it('remembers genuine tokens alone, and gives the same verdict', () => {
    const { records, cache } = world()
    const judge = (text: unknown): unknown => verifyToken(text, SEARCH, { records, nowMs: NOW, cache })
    const fresh = judge(TOKEN)
    expect(fresh).toMatchObject({ allowed: true })
    expect(cache.size).toBe(1)
    expect(judge(TOKEN)).toEqual(fresh)
    for (const bad of ['', 'x'.repeat(10_000), undefined, 5, `${TOKEN} `, `${TOKEN.slice(0, -1)}A`]) judge(bad)
    judge(encodeToken(mintWith(Buffer.alloc(32), ID, [])))
    judge(encodeToken(mintWith(KEY, ID, ['{"unheard_of":1}'])))
    expect(cache.size).toBe(1)
  })

  it('is asked for nothing but the signature: records, time and request count every time', () => {
    const { records, cache } = world()
    const judge = (nowMs = NOW, tool = 'web_search'): string => {
      const verdict = verifyToken(TOKEN, { method: 'tools', tool }, { records, nowMs, cache })
      return verdict.allowed ? 'allowed' : verdict.reason
    }
    expect(judge()).toBe('allowed')
    expect(judge(NOW + HOUR)).toBe('expired')
    expect(judge(NOW - HOUR)).toBe('not-yet')
    expect(judge(NOW, 'other')).toBe('tool')
    const { find } = records
    records.find = (id) => ({ ...find(id), revokedMs: NOW }) as ReturnType<typeof find>
    expect(judge()).toBe('revoked')
    records.find = () => undefined
    expect(judge()).toBe('unknown-id')
    records.find = find
    records.isIntact = false
    expect(judge()).toBe('damaged-records')
    records.isIntact = true
    expect(judge()).toBe('allowed')
  })

  it('forgets everything with another key, the same bytes included', () => {
    const { records, cache } = world()
    verifyToken(TOKEN, SEARCH, { records, nowMs: NOW, cache })
    records.tokensKey = new Secret(Buffer.alloc(32, 2))
    expect(verifyToken(TOKEN, SEARCH, { records, nowMs: NOW, cache })).toMatchObject({ reason: 'bad-signature' })
    expect(cache.find(TOKEN, new Secret(Buffer.from(KEY)))).toBeUndefined()
    expect(cache.find(TOKEN, undefined)).toBeUndefined()
  })

  it('is bounded by tokens and by their characters; the oldest goes first', () => {
    const { records } = world()
    const texts = Array.from({ length: 20 }, (_, index) => narrowToken(TOKEN, { beforeEpochMs: NOW + index * 1000 }))
    for (const limits of [{ entries: 5 }, { characters: 5 * (texts[0]?.length ?? 0) }]) {
      const cache = new SignatureCache(limits)
      for (const text of texts) verifyToken(text, SEARCH, { records, nowMs: NOW, cache })
      expect(cache.size).toBe(5)
      const known = texts.map((text) => cache.find(text, records.tokensKey) !== undefined)
      expect(known).toEqual(texts.map((_, index) => index >= 15))
    }
  })
})
