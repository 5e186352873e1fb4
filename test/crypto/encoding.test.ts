import { describe, expect, it } from 'vitest'
import {
  decodeBase64url,
  decodeHex,
  decodePaddedBase64url,
  encodePaddedBase64url,
  isHex,
  lengthPrefixed,
} from '../../src/crypto/encoding.js'

const ODD_INPUTS: readonly unknown[] = [undefined, null, 7, {}, [], ['YQ'], Symbol('x'), () => 'YQ', Buffer.from('YQ')]

describe('decodeBase64url', () => {
  it('reads what base64url writes', () => {
    expect(decodeBase64url('_-8')).toEqual(Buffer.of(0xff, 0xef))
    expect(decodeBase64url('')).toEqual(Buffer.alloc(0))
  })

  it.each([
    ['padding', '_-8='],
    ['the standard alphabet', '/+8'],
    ['spare bits in the last character', '_-9'],
    ['a lone character', '_'],
    ['white space', '_-8\n'],
    ['a look-alike', '_\u20138'],
  ])('refuses %s', (_what, text) => {
    expect(decodeBase64url(text)).toBeUndefined()
  })
})

describe('decodePaddedBase64url', () => {
  it('reads what Python writes', () => {
    expect(decodePaddedBase64url('_-8=')).toEqual(Buffer.of(0xff, 0xef))
    expect(encodePaddedBase64url(Buffer.of(0xff))).toBe('_w==')
  })

  it.each(['_-8', '_-8==', '_-9=', '=_-8', '_-8=_-8=', '/+8='])('refuses %s', (text) => {
    expect(decodePaddedBase64url(text)).toBeUndefined()
  })
})

describe('decodeHex', () => {
  it('reads either case', () => {
    expect(decodeHex('00fFaB')).toEqual(Buffer.of(0, 0xff, 0xab))
  })

  it.each(['0', '0g', '00 ', ' 00', '00\n', '0x00', '００'])('refuses %j, which Node would cut short', (text) => {
    expect(decodeHex(text)).toBeUndefined()
  })

  it('judges a text of megabytes', () => {
    const text = 'ab'.repeat(4 * 1024 * 1024)
    expect(isHex(text)).toBe(true)
    expect(isHex(`${text}zz`)).toBe(false)
  })
})

it('no decoder throws on input of another type', () => {
  for (const decode of [decodeBase64url, decodePaddedBase64url, decodeHex]) {
    for (const input of ODD_INPUTS) expect(decode(input)).toBeUndefined()
  }
})

describe('lengthPrefixed', () => {
  it('puts each length in front, in bytes and big-endian', () => {
    expect(lengthPrefixed('é', Buffer.of(7), '')).toEqual(
      Buffer.from([0, 0, 0, 2, 0xc3, 0xa9, 0, 0, 0, 1, 7, 0, 0, 0, 0]),
    )
    expect(lengthPrefixed()).toEqual(Buffer.alloc(0))
  })
})
