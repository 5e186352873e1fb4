import { createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { equalBytes, hkdfSha256, hmacSha256, scryptKey, sha256 } from '../../src/crypto/kdf.js'
import hkdf from '../vectors/hkdf.json' with { type: 'json' }
import scrypt from '../vectors/scrypt.json' with { type: 'json' }

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

describe('hkdfSha256', () => {
  it.each(hkdf.cases)('gives what RFC 5869 $name gives', ({ ikm, salt, info, length, okm }) => {
    expect(hkdfSha256(hex(ikm), hex(salt), hex(info), length).toString('hex')).toBe(okm)
  })

  it.each([0, -1, 1.5, Number.NaN, 8161])('refuses a length of %d', (length) => {
    expect(() => hkdfSha256(Buffer.alloc(32), Buffer.alloc(0), '', length)).toThrow(RangeError)
  })
})

describe('scryptKey', () => {
  it.each(scrypt.cases)('gives what RFC 7914 gives for N=$N r=$r p=$p', ({ passphrase, salt, key, ...cost }) => {
    expect(scryptKey(passphrase, { ...cost, salt: Buffer.from(salt) }).toString('hex')).toBe(key)
  })

  it('takes the memory that N=2^17 asks for, which Node refuses by default', () => {
    const key = scryptKey(Buffer.from('x'), { N: 2 ** 17, r: 8, p: 1, salt: Buffer.alloc(16) })
    expect(key).toHaveLength(32)
  })
})

describe('digests over parts', () => {
  it('are the digests over the parts joined', () => {
    const joined = Buffer.from('ab\u00e9\u0001')
    const parts = ['ab', Buffer.from('é'), '', Buffer.of(1)]
    expect(sha256(...parts)).toEqual(createHash('sha256').update(joined).digest())
    expect(hmacSha256('key', ...parts)).toEqual(createHmac('sha256', 'key').update(joined).digest())
  })
})

describe('equalBytes', () => {
  it('compares content and never throws on different lengths', () => {
    expect(equalBytes(Buffer.from('ab'), Buffer.from('ab'))).toBe(true)
    expect(equalBytes(Buffer.from('ab'), Buffer.from('ac'))).toBe(false)
    expect(equalBytes(Buffer.from('ab'), Buffer.from('abc'))).toBe(false)
    expect(equalBytes(Buffer.alloc(0), Buffer.alloc(0))).toBe(true)
  })
})
