import { describe, expect, it } from 'vitest'
import { addCaveat, encodeMacaroon } from '../../src/crypto/macaroon.js'
import { Secret } from '../../src/secret.js'
import type { RateLimit } from '../../src/tokens/rate.js'
import type { TokenRecord } from '../../src/tokens/record-line.js'
import { decodeToken, encodeToken, narrowToken, TOKEN_PREFIX } from '../../src/tokens/token.js'
import { explainVerdict } from '../../src/tokens/explain.js'
import {
  inspectToken,
  type TokenLookup,
  type TokenRequest,
  type Verdict,
  verifyToken,
} from '../../src/tokens/verify.js'
import { HOUR, MINUTE, mintWith, NOW, SEARCH } from './tokens-support.js'

const KEY = Buffer.alloc(32, 1)
const ID = Buffer.alloc(16, 0xab)
const CREATED = [
  '{"methods":["tools","prompts"]}',
  '{"tools":["web_search","a/b"]}',
  '{"before":"2026-11-22T19:00:00Z"}',
]
const TOKEN = encodeToken(mintWith(KEY, ID, CREATED))
const DIGEST = `sha256:${'0f'.repeat(32)}`

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
const refused = (reason: string): unknown => expect.objectContaining({ allowed: false, reason })

describe('verifyToken allows', () => {
  it('what the caveats allow', () => {
    const allowed = { allowed: true, id: ID.toString('hex'), counters: [], rates: [] }
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

describe('verifyToken with a pinned tool', () => {
  const pinned = signed(...CREATED, `{"digest":{"web_search":"${DIGEST}"}}`)
  const ask = (tool: string, digest?: string): Verdict => check(pinned, { request: { method: 'tools', tool, digest } })

  it('allows it while its definition is the same, and others whatever theirs is', () => {
    expect(ask('web_search', DIGEST).allowed).toBe(true)
    expect(ask('a/b').allowed).toBe(true)
  })

  it('refuses it when its definition is another or is not known', () => {
    expect(ask('web_search', DIGEST.replace('0', '1'))).toEqual(refused('digest'))
    expect(ask('web_search')).toEqual(refused('digest'))
  })

  it('goes by every pin that was appended', () => {
    const twice = signed(
      ...CREATED,
      `{"digest":{"web_search":"${DIGEST}"}}`,
      `{"digest":{"web_search":"${DIGEST.replace('0', '1')}"}}`,
    )
    const request = { method: 'tools', tool: 'web_search', digest: DIGEST } as const
    expect(check(twice, { request })).toEqual(refused('digest'))
  })
})

describe('verifyToken with rates', () => {
  it('gives each rate under a key that narrowed tokens share and others do not', () => {
    const parent = narrowToken(TOKEN, { rate: { calls: 30, per: 'm' } })
    const rates = (text: string): readonly RateLimit[] => {
      const verdict = check(text)
      return verdict.allowed ? verdict.rates : []
    }
    const [own] = rates(parent)
    expect(own?.rate).toEqual({ calls: 30, per: 'm' })
    const child = rates(narrowToken(parent, { rate: { calls: 2, per: 's' } }))
    expect(child).toHaveLength(2)
    expect(child[0]).toEqual(own)
    const sibling = rates(narrowToken(narrowToken(TOKEN, { tools: ['web_search'] }), { rate: { calls: 30, per: 'm' } }))
    expect(sibling[0]?.key).not.toBe(own?.key)
    expect(parent.includes(own?.key ?? '')).toBe(false)
  })
})

describe('inspectToken', () => {
  const inspect = (text: unknown, records = lookup({ label: 'ci' }), nowMs = NOW): unknown =>
    inspectToken(text, { records, nowMs })

  it('tells what a live token allows at most', () => {
    expect(inspect(narrowToken(TOKEN, { tools: ['web_search'] }))).toMatchObject({
      id: ID.toString('hex'),
      label: 'ci',
      createdMs: NOW,
      isLimited: false,
      scope: { tools: ['web_search'], methods: ['tools', 'prompts'], beforeMs: NOW + HOUR },
    })
  })

  it('tells of limits that a list of tools cannot say', () => {
    const limits = [
      { rules: [['web_search', 'query', '=', 'x']] as const },
      { calls: { limit: 1, nonce: Buffer.alloc(8) } },
      { rate: { calls: 1, per: 'm' } as const },
    ]
    for (const limit of limits) expect(inspect(narrowToken(TOKEN, limit))).toMatchObject({ isLimited: true })
    expect(inspect(signed(...CREATED, `{"digest":{"a":"${DIGEST}"}}`))).toMatchObject({ isLimited: true })
  })

  it('refuses what is not genuine, not recorded, revoked, ended, endless or used up', () => {
    const calls = { limit: 1, nonce: Buffer.alloc(8) }
    const spent = check(narrowToken(TOKEN, { calls }))
    const counter = spent.allowed ? spent.counters[0]?.key : undefined
    const reserved = new Map([[counter ?? '', 1]])
    expect(inspect('x')).toEqual(refused('malformed'))
    expect(inspect(`${TOKEN.slice(0, -2)}AA`)).toMatchObject({ allowed: false })
    expect(inspect(TOKEN, lookup({ isIntact: false }))).toEqual(refused('damaged-records'))
    expect(inspect(TOKEN, lookup({ revokedMs: NOW }))).toEqual(refused('revoked'))
    expect(inspect(TOKEN, lookup(), NOW + HOUR)).toEqual(refused('expired'))
    expect(inspect(TOKEN, lookup(), NOW - HOUR)).toEqual(refused('not-yet'))
    expect(inspect(signed('{"tools":["web_search"]}'))).toEqual(refused('expired'))
    expect(inspect(signed(...CREATED, '{"unheard":1}'))).toEqual(refused('unknown-caveat'))
    expect(inspect(narrowToken(TOKEN, { calls }), lookup({ reserved }))).toEqual(refused('calls'))
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
      '{"rate":"30/d"}',
      '{"digest":{"web_search":"sha256:00"}}',
      '{"args":[["web_search","query","like","x"]]}',
      '{"calls":[0,"AAAAAAAAAAA"]}',
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

describe('args', () => {
  const FEW = '{"args":[["web_search","num_results","<=",5],["web_search","query","prefix","site:"]]}'
  const ask = (args: Readonly<Record<string, unknown>> | undefined, tool = 'web_search'): Circumstances => {
    return { request: { method: 'tools', tool, args } }
  }

  it('allow a call whose arguments keep to every rule about its tool', () => {
    const token = signed(...CREATED, FEW)
    expect(check(token, ask({ num_results: 5, query: 'site:example.com', more: [] })).allowed).toBe(true)
    expect(check(token, ask({ num_results: 6, query: 'site:example.com' }))).toEqual(refused('args'))
    expect(check(token, ask({ num_results: 5, query: 'example.com' }))).toEqual(refused('args'))
    expect(check(token, ask({ query: 'site:example.com' }))).toEqual(refused('args'))
    expect(check(token, ask({}))).toEqual(refused('args'))
  })

  it('refuse a call whose arguments are not given', () => {
    expect(check(signed(...CREATED, FEW))).toEqual(refused('args'))
    expect(check(signed(...CREATED, FEW), ask(undefined))).toEqual(refused('args'))
  })

  it('say nothing about other tools and methods, and allow them nothing', () => {
    const token = signed(...CREATED, FEW)
    expect(check(token, ask(undefined, 'a/b')).allowed).toBe(true)
    expect(check(token, { request: { method: 'prompts' } }).allowed).toBe(true)
    const about = '{"args":[["other","x","=",1]]}'
    expect(check(signed(...CREATED, about), ask({ x: 1 }, 'other'))).toEqual(refused('tool'))
  })

  it('intersect, whoever appended them', () => {
    const narrowed = narrowToken(signed(...CREATED, FEW), { rules: [['web_search', 'num_results', '>', 2]] })
    const call = (count: number): boolean => check(narrowed, ask({ num_results: count, query: 'site:x' })).allowed
    expect([2, 3, 5, 6].map(call)).toEqual([false, true, true, false])
    const wider = narrowToken(narrowed, { rules: [['web_search', 'num_results', '<=', 100]] })
    expect(check(wider, ask({ num_results: 6, query: 'site:x' })).allowed).toBe(false)
  })
})

describe('calls', () => {
  const TEN = '{"calls":[10,"AAAAAAAAAAA"]}'
  const token = signed(...CREATED, TEN)
  const counterOf = (text: string): string => {
    const verdict = check(text)
    return (verdict.allowed && verdict.counters[0]?.key) || ''
  }

  it('name a budget by a digest of the signature behind it, the same for all that is narrowed from there', () => {
    const key = counterOf(token)
    expect(key).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(counterOf(narrowToken(token, { tools: ['web_search'] }))).toBe(key)
    const smaller = check(narrowToken(token, { calls: { limit: 3, nonce: Buffer.alloc(8) } }))
    expect(smaller).toMatchObject({ allowed: true, counters: [{ key, limit: 10 }, { limit: 3 }] })
    for (const other of [
      signed(...CREATED, '{"calls":[10,"BAAAAAAAAAA"]}'),
      signed(...CREATED, '{"calls":[11,"AAAAAAAAAAA"]}'),
      signed(...CREATED.slice(1), TEN),
      encodeToken(mintWith(KEY, ID, [...CREATED, CREATED[0] ?? '', TEN])),
    ]) {
      expect(counterOf(other)).not.toBe(key)
    }
    expect(decodeToken(token)?.signature.toString('base64url')).not.toBe(key)
  })

  it('refuse what is used up by any process, unless this one has set some aside', () => {
    const reserved = new Map([[counterOf(token), 9]])
    const records = lookup({ reserved })
    expect(check(token, { records }).allowed).toBe(true)
    reserved.set(counterOf(token), 10)
    expect(check(token, { records })).toEqual(refused('calls'))
    const held = { held: () => 1 }
    expect(verifyToken(token, SEARCH, { records, nowMs: NOW, held }).allowed).toBe(true)
    expect(verifyToken(token, SEARCH, { records, nowMs: NOW, held: { held: () => 0 } })).toEqual(refused('calls'))
    reserved.set(counterOf(token), 11)
    expect(check(token, { records })).toEqual(refused('calls'))
  })

  it('refuse a new budget where a thousand were counted', () => {
    const reserved = new Map(Array.from({ length: 999 }, (_, index) => [`${index}`, 1]))
    expect(check(token, { records: lookup({ reserved }) }).allowed).toBe(true)
    reserved.set('999', 1)
    expect(check(token, { records: lookup({ reserved }) })).toEqual(refused('counters'))
    reserved.delete('999')
    reserved.set(counterOf(token), 1)
    expect(check(token, { records: lookup({ reserved }) }).allowed).toBe(true)
    expect(check(TOKEN, { records: lookup({ reserved }) }).allowed).toBe(true)
  })
})

describe('explainVerdict', () => {
  const explain = (verdict: Verdict): object => explainVerdict(verdict).members

  it('names the reason and the very caveat, of args the very rule', () => {
    const token = narrowToken(signed(...CREATED), {
      rules: [
        ['web_search', 'query', '=', 'x'],
        ['web_search', 'num_results', '<=', 5],
      ],
    })
    const request: TokenRequest = { method: 'tools', tool: 'web_search', args: { query: 'x', num_results: 6 } }
    expect(explain(check(token, { request }))).toEqual({
      reason: 'args',
      caveat: { args: [['web_search', 'num_results', '<=', 5]] },
    })
    expect(explain(check(TOKEN, { nowMs: NOW + HOUR }))).toEqual({
      reason: 'expired',
      caveat: { before: '2026-11-22T19:00:00Z' },
    })
    expect(explain(check(signed(...CREATED, '{"rate":"30/d"}')))).toEqual({
      reason: 'unknown-caveat',
      caveat: '{"rate":"30/d"}',
    })
    const pins = `{"digest":{"a/b":"${DIGEST}","web_search":"${DIGEST}"}}`
    expect(explain(check(signed(...CREATED, pins)))).toEqual({
      reason: 'digest',
      caveat: { digest: { web_search: DIGEST } },
    })
    expect(explain(check('x'))).toEqual({ reason: 'malformed', caveat: null })
    expect(explain(check(TOKEN))).toEqual({ reason: null, caveat: null })
  })

  it('repeats nothing of a token whose signature does not fit', () => {
    const forged = encodeToken(mintWith(Buffer.alloc(32), ID, ['{"hunter2":1}']))
    expect(JSON.stringify(explainVerdict(check(forged)))).not.toContain('hunter2')
  })
})
