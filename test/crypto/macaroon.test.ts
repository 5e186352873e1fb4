import { describe, expect, it } from 'vitest'
import { hmacSha256 } from '../../src/crypto/kdf.js'
import {
  addCaveat,
  decodeMacaroon,
  encodeMacaroon,
  MAX_CAVEATS,
  MAX_MACAROON_BYTES,
  mintMacaroon,
  verifyMacaroon,
} from '../../src/crypto/macaroon.js'
import vectors from '../vectors/macaroon.json' with { type: 'json' }
import { importMacaroon, takeJson } from './npm-macaroon.js'

const KEY = Buffer.alloc(32, 9)
const IDENTIFIER = Buffer.alloc(16, 0xfe)
const caveats = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text))
const mint = (...texts: readonly string[]) => mintMacaroon(KEY, IDENTIFIER, caveats(...texts))

/** Puts bytes together as a macaroon in places where the encoder would not. */
function assemble(...parts: readonly (string | number | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') return Buffer.of(part)
      return typeof part === 'string' ? Buffer.from(part) : part
    }),
  )
}

const HEAD = assemble(2, 1, 8, 'mcpvault', 2, 1, 'i', 0)
const TAIL = assemble(0, 6, 32, Buffer.alloc(32, 5))

describe('libmacaroons', () => {
  it.each(vectors.cases)('$name: the same signature and the same layout', ({ token, caveats: texts }) => {
    const macaroon = mintMacaroon(Buffer.from(vectors.key), Buffer.from(vectors.identifier), caveats(...texts))
    const theirs = Buffer.from(token, 'base64url')
    const relocated = Buffer.concat([assemble(2, 1, 8, 'mcpvault'), theirs.subarray(3 + 'http://example.org/'.length)])
    expect(encodeMacaroon(macaroon)).toEqual(relocated)
    expect(decodeMacaroon(relocated)).toEqual(macaroon)
    expect(decodeMacaroon(theirs)).toBeUndefined()
  })
})

describe('the npm package macaroon', () => {
  it('reads ours and finds the signature genuine', () => {
    const texts = ['{"methods":["tools"]}', '{"tools":["web_search"]}', '{"before":"2026-11-22T19:00:00Z"}']
    const foreign = importMacaroon(encodeMacaroon(mint(...texts)))
    expect(foreign.location).toBe('mcpvault')
    expect(Buffer.from(foreign.identifier)).toEqual(IDENTIFIER)
    expect(foreign.caveats.map((caveat) => Buffer.from(caveat.identifier).toString())).toEqual(texts)
    foreign.verify(KEY, () => null)
    expect(() => foreign.verify(Buffer.alloc(32), () => null)).toThrow(/signature mismatch/)
  })

  it('narrows ours up to the limit of caveats, and we find the signature genuine', () => {
    const foreign = importMacaroon(encodeMacaroon(mint('a')))
    for (let count = 1; count < MAX_CAVEATS; count++) {
      foreign.addFirstPartyCaveat(`{"tools":["tool_${count}"]}`)
      const taken = takeJson(foreign.exportJSON())
      expect(taken.caveats).toHaveLength(count + 1)
      expect(verifyMacaroon(taken, KEY)).toBe(true)
      expect(decodeMacaroon(encodeMacaroon(taken))).toEqual(taken)
      expect(verifyMacaroon({ ...taken, caveats: taken.caveats.slice(1) }, KEY)).toBe(false)
    }
  })
})

describe('verifyMacaroon', () => {
  it('accepts what was minted and what was narrowed from it', () => {
    expect(verifyMacaroon(mint(), KEY)).toBe(true)
    expect(verifyMacaroon(addCaveat(mint('a'), Buffer.from('b')), KEY)).toBe(true)
    expect(addCaveat(mint('a'), Buffer.from('b'))).toEqual(mint('a', 'b'))
  })

  it('refuses another key, another identifier, and caveats changed, moved, dropped or added without the chain', () => {
    const genuine = mint('a', 'b')
    expect(verifyMacaroon(genuine, Buffer.alloc(32))).toBe(false)
    expect(verifyMacaroon({ ...genuine, identifier: Buffer.alloc(16) }, KEY)).toBe(false)
    for (const changed of [['a'], ['b', 'a'], ['a', 'c'], ['a', 'b', 'b'], ['ab'], []]) {
      expect(verifyMacaroon({ ...genuine, caveats: caveats(...changed) }, KEY)).toBe(false)
    }
    expect(verifyMacaroon({ ...genuine, signature: genuine.signature.subarray(1) }, KEY)).toBe(false)
  })

  it('cannot be led to a wider macaroon by a signature from the middle of the chain', () => {
    const { signature } = mint('a', 'b')
    const forged = { identifier: IDENTIFIER, caveats: caveats('a'), signature: hmacSha256(signature, 'b') }
    expect(verifyMacaroon(forged, KEY)).toBe(false)
  })
})

describe('decodeMacaroon', () => {
  it('reads what the assembling helper puts together, so that the refusals below mean something', () => {
    expect(decodeMacaroon(assemble(HEAD, TAIL))).toEqual({
      identifier: Buffer.from('i'),
      caveats: [],
      signature: Buffer.alloc(32, 5),
    })
    expect(decodeMacaroon(assemble(HEAD, 2, 1, 'c', 0, TAIL))?.caveats).toEqual(caveats('c'))
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['another version', assemble(1, HEAD.subarray(1), TAIL)],
    ['another location', assemble(2, 1, 8, 'mcpvau1t', 2, 1, 'i', 0, TAIL)],
    ['no location', assemble(2, 2, 1, 'i', 0, TAIL)],
    ['no identifier', assemble(2, 1, 8, 'mcpvault', 0, TAIL)],
    ['a third-party caveat', assemble(HEAD, 2, 1, 'c', 4, 1, 'v', 0, TAIL)],
    ['an empty verification id', assemble(HEAD, 2, 1, 'c', 4, 0, 0, TAIL)],
    ['a caveat with a location', assemble(HEAD, 1, 1, 'l', 2, 1, 'c', 0, TAIL)],
    ['a caveat without its end', assemble(HEAD, 2, 1, 'c', TAIL.subarray(1))],
    ['an unknown field', assemble(HEAD, 3, 1, 'c', 0, TAIL)],
    ['a signature of 31 bytes', assemble(HEAD, 0, 6, 31, Buffer.alloc(31))],
    ['a signature of 33 bytes', assemble(HEAD, 0, 6, 33, Buffer.alloc(33))],
    ['a trailing byte', assemble(HEAD, TAIL, 0)],
    ['a second macaroon behind', assemble(HEAD, TAIL, HEAD, TAIL)],
    ['a varint with a spare byte', assemble(HEAD, 2, 0x81, 0, 'c', 0, TAIL)],
    ['a varint with two spare bytes', assemble(HEAD, 2, 0x81, 0x80, 0, 'c', 0, TAIL)],
    ['a varint that never ends', assemble(HEAD, 2, Buffer.alloc(20, 0xff))],
    ['a length beyond the end', assemble(HEAD, 2, 0x7f, 'c', 0, TAIL)],
    ['a length of 2^32', assemble(HEAD, 2, 0x80, 0x80, 0x80, 0x80, 0x10, 'c', 0, TAIL)],
  ])('refuses %s', (_what, bytes) => {
    expect(decodeMacaroon(bytes)).toBeUndefined()
  })

  it('refuses every shorter length of a genuine one', () => {
    const bytes = encodeMacaroon(mint('a', 'b'.repeat(300)))
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeMacaroon(bytes.subarray(0, length))).toBeUndefined()
    }
    expect(decodeMacaroon(bytes)).toEqual(mint('a', 'b'.repeat(300)))
  })

  it('reads 16 caveats and refuses 17', () => {
    const texts = Array.from({ length: MAX_CAVEATS }, (_, index) => `c${index}`)
    expect(decodeMacaroon(encodeMacaroon(mint(...texts)))?.caveats).toHaveLength(MAX_CAVEATS)
    expect(decodeMacaroon(encodeMacaroon(mint(...texts, 'one more')))).toBeUndefined()
  })

  it('reads 6140 bytes and refuses 6141', () => {
    const spare = MAX_MACAROON_BYTES - encodeMacaroon(mint('x'.repeat(5000))).length
    const longest = encodeMacaroon(mint('x'.repeat(5000 + spare)))
    expect(longest).toHaveLength(MAX_MACAROON_BYTES)
    expect(decodeMacaroon(longest)).toBeDefined()
    expect(decodeMacaroon(encodeMacaroon(mint('x'.repeat(5001 + spare))))).toBeUndefined()
  })
})
