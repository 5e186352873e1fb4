import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addCaveat, decodeMacaroon, encodeMacaroon, type Macaroon, mintMacaroon } from '../../src/crypto/macaroon.js'
import { Secret } from '../../src/secret.js'
import {
  type Caveat,
  encodeCaveat,
  intersectCaveats,
  METHODS,
  parseCaveat,
  type TokenScope,
} from '../../src/tokens/caveats.js'
import { headerDigest, openRecord, type RecordEntry, sealRecord } from '../../src/tokens/record-line.js'
import { decodeToken, deriveRootKey, describeToken, encodeToken, narrowToken } from '../../src/tokens/token.js'
import { type TokenLookup, type TokenRequest, verifyToken } from '../../src/tokens/verify.js'

const KEY = Buffer.alloc(32, 1)
const ID = Buffer.alloc(16, 0xab)
const NOW = Date.UTC(2026, 10, 22, 18)

const records: TokenLookup = {
  isIntact: true,
  tokensKey: new Secret(Buffer.from(KEY)),
  find: () => ({ id: ID.toString('hex'), label: undefined, caveats: [], createdMs: NOW, revokedMs: undefined }),
}

const toolName: fc.Arbitrary<string> = fc.constantFrom('a', 'b', 'up/a', 'up/b')
const someTools = fc.uniqueArray(toolName, { minLength: 1 })
const someMethods = fc.uniqueArray(fc.constantFrom(...METHODS), { minLength: 1 })
const second = fc.integer({ min: -5, max: 5 }).map((offset) => NOW + offset * 1000)

const caveat: fc.Arbitrary<Caveat> = fc.oneof(
  someMethods.map((methods) => ({ type: 'methods' as const, methods })),
  someTools.map((tools) => ({ type: 'tools' as const, tools })),
  fc.constant({ type: 'tools' as const, tools: ['*'] }),
  second.map((epochMs) => ({ type: 'before' as const, epochMs })),
)

const request: fc.Arbitrary<TokenRequest> = fc.oneof(
  fc.oneof(toolName, fc.constant('other')).map((tool) => ({ method: 'tools' as const, tool })),
  fc.constantFrom('resources' as const, 'metrics' as const).map((method) => ({ method })),
)

const allows = (text: string, asked: TokenRequest): boolean => verifyToken(text, asked, { records, nowMs: NOW }).allowed

function mint(caveats: readonly Caveat[]): Macaroon {
  return mintMacaroon(deriveRootKey(KEY, ID), ID, caveats.map(encodeCaveat))
}

function scopeAllows(scope: TokenScope, { method, tool }: TokenRequest): boolean {
  const isToolAllowed = tool === undefined || scope.tools.includes('*') || scope.tools.includes(tool)
  return scope.methods.includes(method) && isToolAllowed && (scope.beforeMs === undefined || NOW < scope.beforeMs)
}

describe('caveats', () => {
  it('are read back from what was written, and whatever is read is written the same', () => {
    fc.assert(
      fc.property(caveat, (value) => {
        expect(parseCaveat(encodeCaveat(value))).toEqual(value)
      }),
    )
    const near = fc
      .tuple(caveat, fc.nat(), fc.nat({ max: 2 }), fc.string({ maxLength: 2 }))
      .map(([value, at, cut, put]) => {
        const text = encodeCaveat(value).toString()
        const start = at % (text.length + 1)
        return Buffer.from(text.slice(0, start) + put + text.slice(start + cut))
      })
    fc.assert(
      fc.property(fc.oneof(near, fc.json().map(Buffer.from), fc.uint8Array().map(Buffer.from)), (bytes) => {
        const parsed = parseCaveat(bytes)
        if (parsed) expect(encodeCaveat(parsed).equals(bytes)).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })

  it('only ever narrow: whatever a longer list allows, every shorter one does', () => {
    let allowed = 0
    fc.assert(
      fc.property(fc.array(caveat, { maxLength: 6 }), caveat, request, (list, extra, asked) => {
        const macaroon = mint(list)
        const longer = encodeToken(addCaveat(macaroon, encodeCaveat(extra)))
        if (!allows(longer, asked)) return
        allowed++
        expect(allows(encodeToken(macaroon), asked)).toBe(true)
      }),
      { numRuns: 2000 },
    )
    expect(allowed).toBeGreaterThan(50)
  })

  it('mean the same to the verifier, to token show, and in any order', () => {
    const shuffled = fc
      .array(caveat, { maxLength: 6 })
      .chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length })),
      )
    fc.assert(
      fc.property(shuffled, request, ([list, other], asked) => {
        const text = encodeToken(mint(list))
        const verdict = allows(text, asked)
        expect(scopeAllows(describeToken(text).scope, asked)).toBe(verdict)
        expect(scopeAllows(intersectCaveats(other), asked)).toBe(verdict)
      }),
      { numRuns: 2000 },
    )
  })

  it('narrowToken gives what both the token and the narrowing allow', () => {
    fc.assert(
      fc.property(fc.array(caveat, { maxLength: 3 }), someTools, someMethods, second, request, (list, ...rest) => {
        const [tools, methods, beforeEpochMs, asked] = rest
        const text = encodeToken(mint(list))
        let narrowed: string
        try {
          narrowed = narrowToken(text, { tools, methods, beforeEpochMs })
        } catch {
          // Nothing would have been left over.
          expect(allows(text, asked) && methods.includes(asked.method) && tools.includes(asked.tool ?? '')).toBe(false)
          return
        }
        const isWithin = methods.includes(asked.method) && (asked.tool === undefined || tools.includes(asked.tool))
        expect(allows(narrowed, asked)).toBe(allows(text, asked) && isWithin && NOW < beforeEpochMs)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('tokens', () => {
  it('random ones are refused', () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
    const random = fc.oneof(
      fc.string(),
      bytes.map((body) => `mcpv_${body.toString('base64url')}`),
      // Right in everything but the key.
      fc
        .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.array(caveat, { maxLength: 3 }))
        .map(([signature, list]) => encodeToken({ ...mint(list), signature: Buffer.from(signature) })),
    )
    fc.assert(
      fc.property(random, request, (text, asked) => {
        expect(allows(text, asked)).toBe(false)
      }),
      { numRuns: 5000 },
    )
  })

  it('altered ones are refused, unless they are narrower', () => {
    const wide = encodeToken(mint([{ type: 'tools', tools: ['*'] }]))
    const asked: TokenRequest = { method: 'tools', tool: 'a' }
    const edit = fc.tuple(
      fc.nat(),
      fc.nat({ max: 3 }),
      fc.string({ unit: fc.constantFrom(...'AZaz09-_'), maxLength: 3 }),
    )
    fc.assert(
      fc.property(edit, ([at, cut, put]) => {
        const start = at % wide.length
        const text = wide.slice(0, start) + put + wide.slice(start + cut)
        fc.pre(text !== wide)
        expect(allows(text, asked)).toBe(false)
      }),
      { numRuns: 5000 },
    )
    // The control: the token that was altered is allowed as it was.
    expect(allows(wide, asked)).toBe(true)
  })

  it('are read from one text alone', () => {
    fc.assert(
      fc.property(fc.array(caveat, { maxLength: 4 }), (list) => {
        const text = encodeToken(mint(list))
        const decoded = decodeToken(text)
        expect(decoded).toEqual(mint(list))
        expect(decoded && encodeToken(decoded)).toBe(text)
        expect(decodeMacaroon(encodeMacaroon(mint(list)))).toEqual(mint(list))
      }),
    )
  })
})

describe('record lines', () => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((array) => Buffer.from(array).toString('hex'))
  const atMs = fc.integer({ min: 0, max: 253_402_300_799_000 })
  const entry: fc.Arbitrary<RecordEntry> = fc.oneof(
    fc.record({ type: fc.constant('revoke' as const), id, atMs }),
    fc.record({
      type: fc.constant('create' as const),
      id,
      atMs,
      label: fc.option(fc.string(), { nil: undefined }),
      caveats: fc.array(caveat),
    }),
  )
  const link = { seq: 7, previousMac: headerDigest(Buffer.from('header')) }

  it('are read back from what was written', () => {
    fc.assert(
      fc.property(entry, (value) => {
        const { line, mac } = sealRecord(value, KEY, link)
        expect(line.includes('\n')).toBe(false)
        expect(openRecord(line, KEY, link)).toEqual({ entry: value, mac })
      }),
    )
  })

  it('are refused when altered anywhere, at another place, or under another key', () => {
    fc.assert(
      fc.property(entry, fc.nat(), fc.nat({ max: 7 }), (value, at, bit) => {
        const { line } = sealRecord(value, KEY, link)
        expect(openRecord(line, KEY, { ...link, seq: 8 })).toBeUndefined()
        expect(openRecord(line, KEY, { ...link, previousMac: Buffer.alloc(32) })).toBeUndefined()
        expect(openRecord(line, Buffer.alloc(32), link)).toBeUndefined()
        expect(openRecord(line.subarray(0, at % line.length), KEY, link)).toBeUndefined()
        const changed = Buffer.from(line)
        changed[at % line.length] = (changed[at % line.length] ?? 0) ^ (1 << bit)
        expect(openRecord(changed, KEY, link)).toBeUndefined()
      }),
      { numRuns: 1000 },
    )
  })
})
