import { createCipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { openGcm, sealGcm } from '../../src/crypto/aes-gcm.js'
import vectors from '../vectors/aes-256-gcm.json' with { type: 'json' }
import cavp from '../vectors/aes-256-gcm-cavp.json' with { type: 'json' }

const KEY = Buffer.alloc(32, 1)
const NONCE = Buffer.alloc(12, 2)
const NOTHING = Buffer.alloc(0)
const hex = (text: string): Buffer => Buffer.from(text, 'hex')

describe('the GCM paper', () => {
  it.each(vectors.cases)('test case $name, sealed and opened', ({ key, nonce, plaintext, aad, ciphertext, tag }) => {
    const sealed = sealGcm(hex(key), hex(nonce), hex(plaintext), hex(aad))
    expect(sealed.toString('hex')).toBe(ciphertext + tag)
    expect(openGcm(hex(key), hex(nonce), sealed, hex(aad))?.toString('hex')).toBe(plaintext)
  })
})

describe("NIST's test vectors", () => {
  it('are 75 to seal and 25 to refuse', () => {
    expect([cavp.cases.length, cavp.refused.length]).toEqual([75, 25])
  })

  it.each(cavp.cases)('$name, sealed and opened', ({ key, nonce, plaintext, aad, ciphertext, tag }) => {
    const sealed = sealGcm(hex(key), hex(nonce), hex(plaintext), hex(aad))
    expect(sealed.toString('hex')).toBe(ciphertext + tag)
    expect(openGcm(hex(key), hex(nonce), sealed, hex(aad))?.toString('hex')).toBe(plaintext)
  })

  it.each(cavp.refused)('$name, refused', ({ key, nonce, aad, ciphertext, tag }) => {
    expect(openGcm(hex(key), hex(nonce), hex(ciphertext + tag), hex(aad))).toBeUndefined()
  })
})

describe('openGcm', () => {
  const sealed = sealGcm(KEY, NONCE, Buffer.from('value'), Buffer.from('name'))

  it('refuses every flipped bit, every shorter length, and bytes behind', () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(openGcm(KEY, NONCE, changed, Buffer.from('name'))).toBeUndefined()
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(openGcm(KEY, NONCE, sealed.subarray(0, length), Buffer.from('name'))).toBeUndefined()
    }
    expect(openGcm(KEY, NONCE, Buffer.concat([sealed, Buffer.of(0)]), Buffer.from('name'))).toBeUndefined()
    expect(openGcm(KEY, NONCE, sealed, Buffer.from('name'))?.toString()).toBe('value')
  })

  it('refuses other additional data, another nonce and another key', () => {
    expect(openGcm(KEY, NONCE, sealed, Buffer.from('other'))).toBeUndefined()
    expect(openGcm(KEY, Buffer.alloc(12), sealed, Buffer.from('name'))).toBeUndefined()
    expect(openGcm(Buffer.alloc(32), NONCE, sealed, Buffer.from('name'))).toBeUndefined()
  })

  it('refuses a genuine tag that was cut to 4 bytes, which Node accepts unless told', () => {
    const cipher = createCipheriv('aes-256-gcm', KEY, NONCE, { authTagLength: 4 })
    const short = Buffer.concat([cipher.update('value'), cipher.final(), cipher.getAuthTag()])
    expect(openGcm(KEY, NONCE, short, NOTHING)).toBeUndefined()
  })

  it('refuses keys and nonces of other lengths instead of throwing', () => {
    for (const length of [0, 16, 24, 31, 33]) {
      expect(openGcm(Buffer.alloc(length), NONCE, sealed, NOTHING)).toBeUndefined()
    }
    for (const length of [0, 1, 8, 11, 13, 15, 17]) {
      expect(openGcm(KEY, Buffer.alloc(length), sealed, NOTHING)).toBeUndefined()
    }
  })
})

describe('sealGcm', () => {
  it('takes nonces of 12 and 16 bytes', () => {
    const nonce = Buffer.alloc(16, 3)
    expect(openGcm(KEY, nonce, sealGcm(KEY, nonce, NOTHING, NOTHING), NOTHING)).toEqual(NOTHING)
  })

  it('throws on a key or nonce of another length', () => {
    expect(() => sealGcm(Buffer.alloc(16), NONCE, NOTHING, NOTHING)).toThrow(RangeError)
    expect(() => sealGcm(KEY, Buffer.alloc(8), NOTHING, NOTHING)).toThrow(RangeError)
  })
})
