import { describe, expect, it } from 'vitest'
import { addCaveat, encodeMacaroon } from '../../src/crypto/macaroon.js'
import { Secret } from '../../src/secret.js'
import type { TokenRecord } from '../../src/tokens/record-line.js'
import { decodeToken, encodeToken, narrowToken, TOKEN_PREFIX } from '../../src/tokens/token.js'
import { type TokenLookup, type TokenRequest, type Verdict, verifyToken } from '../../src/tokens/verify.js'
import { HOUR, MINUTE, mintWith, NOW, SEARCH } from './tokens-support.js'

const KEY = Buffer.alloc(32, 1)
const ID = Buffer.alloc(16, 0xab)
const CREATED = [
  '{"methods":["tools","prompts"]}',
  '{"tools":["web_search","a/b"]}',
  '{"before":"2026-11-22T19:00:00Z"}',
]
const TOKEN = encodeToken(mintWith(KEY, ID, CREATED))

function lookup(changes: Partial<TokenRecord & TokenLookup> = {}): TokenLookup {
  const record = {
    id: ID.toString('hex'),
    label: undefined,
    caveats: [],
    createdMs: NOW,
    revokedMs: undefined,
    ...changes,
  }
  return {
    isIntact: changes.isIntact ?? true,
    tokensKey: 'tokensKey' in changes ? changes.tokensKey : new Secret(Buffer.from(KEY)),
    find: (id) => (id === record.id ? record : undefined),
  }
}

interface Circumstances {
  readonly request?: TokenRequest
  readonly records?: TokenLookup
  readonly nowMs?: number
}

function check(text: unknown, { request = SEARCH, records = lookup(), nowMs = NOW }: Circumstances = {}): Verdict {
  return verifyToken(text, request, { records, nowMs })
}

const signed = (...caveats: readonly string[]): string => encodeToken(mintWith(KEY, ID, caveats))
const refused = (reason: string): object => ({ allowed: false, reason })

describe('verifyToken allows', () => {
  it('what the caveats allow', () => {
    const allowed = { allowed: true, id: ID.toString('hex') }
    expect(check(TOKEN)).toEqual(allowed)
    expect(check(TOKEN, { request: { method: 'tools', tool: 'a/b' } })).toEqual(allowed)
    expect(check(TOKEN, { request: { method: 'prompts' } })).toEqual(allowed)
    expect(check(narrowToken(TOKEN, { tools: ['web_search'] }))).toEqual(allowed)
    expect(check(TOKEN, { nowMs: NOW + HOUR - 1 })).toEqual(allowed)
  })

  it('any tool where the token says "*"', () => {
    const token = signed('{"methods":["tools"]}', '{"tools":["*"]}')
    expect(check(token, { request: { method: 'tools', tool: 'anything/at_all' } }).allowed).toBe(true)
    expect(check(narrowToken(token, { tools: ['other'] })).allowed).toBe(false)
  })
})

describe('verifyToken refuses', () => {
  it('what is no token', () => {
    for (const text of ['', TOKEN.slice(1), `${TOKEN} `, undefined, null, 5, {}]) {
      expect(check(text)).toEqual(refused('malformed'))
    }
  })

  it('everything while the records are not intact', () => {
    expect(check(TOKEN, { records: lookup({ isIntact: false }) })).toEqual(refused('damaged-records'))
  })

  it('an id without a record, and everything where there are no records', () => {
    const other = encodeToken(mintWith(KEY, Buffer.alloc(16), CREATED))
    expect(check(other)).toEqual(refused('unknown-id'))
    expect(check(TOKEN, { records: lookup({ tokensKey: undefined }) })).toEqual(refused('unknown-id'))
  })

  it('a token under another key', () => {
    expect(check(encodeToken(mintWith(Buffer.alloc(32), ID, CREATED)))).toEqual(refused('bad-signature'))
  })

  it('caveats taken away, changed, moved, or appended without the chain', () => {
    const macaroon = mintWith(KEY, ID, CREATED)
    const [methods, tools, before] = macaroon.caveats
    if (!methods || !tools || !before) throw new Error('no caveats')
    const wider = Buffer.from('{"tools":["web_search","a/b","c"]}')
    for (const caveats of [[], [methods, tools], [tools, methods, before], [methods, wider, before]]) {
      expect(check(encodeToken({ ...macaroon, caveats }))).toEqual(refused('bad-signature'))
    }
    expect(check(encodeToken({ ...macaroon, caveats: [...macaroon.caveats, wider] }))).toEqual(refused('bad-signature'))
  })

  it('a token with any bit flipped', () => {
    const bytes = encodeMacaroon(mintWith(KEY, ID, CREATED))
    const reasons = new Set<string>()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const verdict = check(TOKEN_PREFIX + changed.toString('base64url'))
      if (verdict.allowed) throw new Error(`bit ${bit} does not count`)
      reasons.add(verdict.reason)
    }
    expect(reasons).toEqual(new Set(['malformed', 'unknown-id', 'bad-signature']))
    // The control: the same bytes unchanged are allowed, so a verifier that ignores a byte would have been seen.
    expect(check(TOKEN_PREFIX + bytes.toString('base64url')).allowed).toBe(true)
  })

  it('caveats that it does not know, wherever they stand', () => {
    for (const unknown of [
      '{"rate":"30/m"}',
      '{"calls":[10,"AAAAAAAAAAA"]}',
      'account = 1',
      '{"tools": ["web_search"]}',
    ]) {
      expect(check(signed(unknown, ...CREATED))).toEqual(refused('unknown-caveat'))
      expect(check(signed(...CREATED, unknown))).toEqual(refused('unknown-caveat'))
      const macaroon = decodeToken(TOKEN)
      if (!macaroon) throw new Error('no token')
      expect(check(encodeToken(addCaveat(macaroon, Buffer.from(unknown))))).toEqual(refused('unknown-caveat'))
    }
  })

  it('a revoked token', () => {
    expect(check(TOKEN, { records: lookup({ revokedMs: NOW }) })).toEqual(refused('revoked'))
    // Revocation does not wait for a clock.
    expect(check(TOKEN, { records: lookup({ revokedMs: NOW + HOUR }) })).toEqual(refused('revoked'))
  })

  it('an expired token, from the very second on', () => {
    expect(check(TOKEN, { nowMs: NOW + HOUR })).toEqual(refused('expired'))
    expect(check(narrowToken(TOKEN, { beforeEpochMs: NOW + MINUTE }), { nowMs: NOW + MINUTE })).toEqual(
      refused('expired'),
    )
    expect(check(TOKEN, { nowMs: Number.NaN })).toEqual(refused('expired'))
  })

  it('a clock that is more than five minutes before the token was created', () => {
    expect(check(TOKEN, { nowMs: NOW - 5 * MINUTE }).allowed).toBe(true)
    expect(check(TOKEN, { nowMs: NOW - 5 * MINUTE - 1 })).toEqual(refused('not-yet'))
  })

  it('another method or tool, and near misses of the name', () => {
    expect(check(TOKEN, { request: { method: 'resources' } })).toEqual(refused('method'))
    for (const tool of ['a', 'b', 'a/', 'web_searc', 'web_search2', 'Web_search', '*', '']) {
      expect(check(TOKEN, { request: { method: 'tools', tool } })).toEqual(refused('tool'))
    }
  })

  it('what later caveats seem to add', () => {
    const macaroon = decodeToken(narrowToken(TOKEN, { tools: ['a/b'] }))
    if (!macaroon) throw new Error('no token')
    for (const caveat of ['{"tools":["*"]}', '{"tools":["web_search"]}']) {
      expect(check(encodeToken(addCaveat(macaroon, Buffer.from(caveat))))).toEqual(refused('tool'))
    }
    const longer = encodeToken(addCaveat(macaroon, Buffer.from('{"before":"2036-11-22T19:00:00Z"}')))
    const request: TokenRequest = { method: 'tools', tool: 'a/b' }
    expect(check(longer, { request }).allowed).toBe(true)
    expect(check(longer, { request, nowMs: NOW + HOUR })).toEqual(refused('expired'))
  })
})
