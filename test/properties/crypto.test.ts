import { createDecipheriv, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openGcm, sealGcm } from '../../src/crypto/aes-gcm.js'
import {
  decodeBase64url,
  decodeHex,
  decodePaddedBase64url,
  encodePaddedBase64url,
  lengthPrefixed,
} from '../../src/crypto/encoding.js'
import { isFernetToken, openFernet, sealFernet } from '../../src/crypto/fernet.js'
import { isGcmHex, openGcmHex, sealGcmHex } from '../../src/crypto/gcm-hex.js'
import { hkdfSha256 } from '../../src/crypto/kdf.js'
import { decodeMacaroon, encodeMacaroon, mintMacaroon, verifyMacaroon } from '../../src/crypto/macaroon.js'

const bytes = (constraints: fc.IntArrayConstraints = {}): fc.Arbitrary<Buffer> =>
  fc.uint8Array(constraints).map((array) => Buffer.from(array))
const exactly = (length: number): fc.Arbitrary<Buffer> => bytes({ minLength: length, maxLength: length })
const key = exactly(32)

/** Nearly right texts are what a decoder stumbles over. */
const nearBase64url = fc.string({ unit: fc.constantFrom(...'AQgwz019-_=+/ \n'), maxLength: 12 })
const nearHex = fc.string({ unit: fc.constantFrom(...'09afAF gx'), maxLength: 8 })

describe('encodings', () => {
  it('decode what was encoded, and whatever decodes encodes to the same text', () => {
    fc.assert(
      fc.property(bytes(), (value) => {
        expect(decodeBase64url(value.toString('base64url'))).toEqual(value)
        expect(decodePaddedBase64url(encodePaddedBase64url(value))).toEqual(value)
        expect(decodeHex(value.toString('hex'))).toEqual(value)
      }),
    )
    fc.assert(
      fc.property(fc.oneof(nearBase64url, fc.string()), (text) => {
        const plain = decodeBase64url(text)
        if (plain) expect(plain.toString('base64url')).toBe(text)
        const padded = decodePaddedBase64url(text)
        if (padded) expect(encodePaddedBase64url(padded)).toBe(text)
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.oneof(nearHex, fc.string()), (text) => {
        const decoded = decodeHex(text)
        if (decoded) expect(decoded.toString('hex')).toBe(text.toLowerCase())
      }),
      { numRuns: 2000 },
    )
  })

  it('lengthPrefixed keeps different lists of parts apart', () => {
    const parts = fc.array(bytes({ maxLength: 4 }), { maxLength: 4 })
    fc.assert(
      fc.property(parts, parts, (left, right) => {
        const isSame = left.length === right.length && left.every((part, at) => part.equals(right[at] ?? part))
        expect(lengthPrefixed(...left).equals(lengthPrefixed(...right))).toBe(isSame)
      }),
      { numRuns: 2000 },
    )
  })
})

it('hkdfSha256 equals crypto.hkdfSync', () => {
  fc.assert(
    fc.property(
      bytes(),
      bytes({ maxLength: 200 }),
      bytes(),
      fc.integer({ min: 1, max: 8160 }),
      (ikm, salt, info, length) => {
        const expected = Buffer.from(hkdfSync('sha256', ikm, salt, info, length))
        expect(hkdfSha256(ikm, salt, info, length).equals(expected)).toBe(true)
      },
    ),
  )
})

describe('sealing', () => {
  it('every form opens to what was sealed, under its key alone', () => {
    fc.assert(
      fc.property(key, key, bytes({ maxLength: 100 }), exactly(16), (mine, other, value, iv) => {
        fc.pre(!mine.equals(other))
        const token = sealFernet(mine, value, { epochSeconds: 1_700_000_000, iv })
        expect(openFernet(mine, token)).toEqual(value)
        const text = sealGcmHex(mine, value, iv)
        expect(openGcmHex(mine, text)).toEqual(value)
        expect(openGcmHex(other, text)).toBeUndefined()
        // The halves of a Fernet key are used apart: another signing half is enough to be another key.
        if (!mine.subarray(0, 16).equals(other.subarray(0, 16))) expect(openFernet(other, token)).toBeUndefined()
        const sealed = sealGcm(mine, iv.subarray(0, 12), value, iv)
        expect(openGcm(mine, iv.subarray(0, 12), sealed, iv)).toEqual(value)
        expect(openGcm(other, iv.subarray(0, 12), sealed, iv)).toBeUndefined()
      }),
    )
  })

  it('opens with Node alone, as a program from the tutorial does', () => {
    fc.assert(
      fc.property(key, bytes({ maxLength: 100 }), exactly(16), (mine, value, iv) => {
        const [ivHex = '', tagHex = '', bodyHex = ''] = sealGcmHex(mine, value, iv).split(':')
        const decipher = createDecipheriv('aes-256-gcm', mine, Buffer.from(ivHex, 'hex'))
        decipher.setAuthTag(Buffer.from(tagHex, 'hex'))
        expect(Buffer.concat([decipher.update(bodyHex, 'hex'), decipher.final()])).toEqual(value)
      }),
    )
  })

  it('no text is taken for both tutorial forms, and none that is not sealed opens or throws', () => {
    const texts = fc.oneof(
      fc.string(),
      nearBase64url,
      fc.tuple(nearHex, nearHex, nearHex).map((parts) => parts.join(':')),
      bytes({ maxLength: 120 }).map((body) => encodePaddedBase64url(Buffer.concat([Buffer.of(0x80), body]))),
    )
    fc.assert(
      fc.property(key, texts, (mine, text) => {
        expect(isFernetToken(text) && isGcmHex(text)).toBe(false)
        expect(openFernet(mine, text)).toBeUndefined()
        expect(openGcmHex(mine, text)).toBeUndefined()
      }),
      { numRuns: 2000 },
    )
  })
})

describe('macaroons', () => {
  const caveats = fc.array(bytes({ maxLength: 300 }), { maxLength: 16 })

  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(key, bytes({ maxLength: 200 }), caveats, (rootKey, identifier, list) => {
        const macaroon = mintMacaroon(rootKey, identifier, list)
        expect(decodeMacaroon(encodeMacaroon(macaroon))).toEqual(macaroon)
      }),
    )
  })

  it('encode to the same bytes whatever bytes were accepted', () => {
    const genuine = fc
      .tuple(key, bytes({ maxLength: 20 }), fc.array(bytes({ maxLength: 200 }), { maxLength: 4 }))
      .map(([rootKey, identifier, list]) => encodeMacaroon(mintMacaroon(rootKey, identifier, list)))
    const mutated = fc
      .tuple(genuine, fc.nat(), fc.nat({ max: 3 }), bytes({ maxLength: 3 }))
      .map(([whole, at, cut, put]) => {
        const start = at % whole.length
        return Buffer.concat([whole.subarray(0, start), put, whole.subarray(start + cut)])
      })
    let accepted = 0
    fc.assert(
      fc.property(fc.oneof(mutated, bytes()), (input) => {
        const macaroon = decodeMacaroon(input)
        if (!macaroon) return
        accepted++
        expect(encodeMacaroon(macaroon).equals(input)).toBe(true)
      }),
      { numRuns: 5000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })

  it('no flipped bit leaves a macaroon genuine', () => {
    fc.assert(
      fc.property(key, fc.array(bytes({ maxLength: 20 }), { maxLength: 3 }), fc.nat(), (rootKey, list, at) => {
        const whole = encodeMacaroon(mintMacaroon(rootKey, Buffer.alloc(16), list))
        const bit = at % (whole.length * 8)
        whole[bit >> 3] = (whole[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const macaroon = decodeMacaroon(whole)
        expect(macaroon !== undefined && verifyMacaroon(macaroon, rootKey)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})
