import { createCipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { isGcmHex, openGcmHex, sealGcmHex } from '../../src/crypto/gcm-hex.js'

const KEY = Buffer.alloc(32, 1)
const IV = Buffer.alloc(16, 2)
const TEXT = sealGcmHex(KEY, Buffer.from('value'), IV)

/** Encrypts with Node alone, as a program from the tutorial does. */
function sealByHand(ivBytes: number, authTagLength: number): string {
  const iv = Buffer.alloc(ivBytes, 2)
  const cipher = createCipheriv('aes-256-gcm', KEY, iv, { authTagLength })
  const body = cipher.update('value', 'utf8', 'hex') + cipher.final('hex')
  return `${iv.toString('hex')}:${cipher.getAuthTag().toString('hex')}:${body}`
}

describe('the hex form', () => {
  it('is what Node writes by itself', () => {
    expect(TEXT).toBe(sealByHand(16, 16))
  })

  it('is read with an IV of 16 or 12 bytes and in either case', () => {
    for (const text of [TEXT, sealByHand(12, 16), TEXT.toUpperCase()]) {
      expect(isGcmHex(text)).toBe(true)
      expect(openGcmHex(KEY, text)?.toString()).toBe('value')
    }
  })

  it('holds an empty value', () => {
    const text = sealGcmHex(KEY, Buffer.alloc(0), IV)
    expect(text).toMatch(/:$/)
    expect(openGcmHex(KEY, text)).toEqual(Buffer.alloc(0))
  })

  it('holds a value of 1 MiB', () => {
    const value = Buffer.alloc(1024 * 1024, 'x')
    expect(openGcmHex(KEY, sealGcmHex(KEY, value, IV))?.equals(value)).toBe(true)
  })

  it('is written with an IV of 16 bytes only', () => {
    expect(() => sealGcmHex(KEY, Buffer.alloc(0), Buffer.alloc(12))).toThrow(RangeError)
  })
})

describe('openGcmHex', () => {
  it('refuses genuine tags of 4 to 15 bytes', () => {
    for (const length of [4, 8, 12, 13, 14, 15]) {
      const text = sealByHand(16, length)
      expect(isGcmHex(text)).toBe(false)
      expect(openGcmHex(KEY, text)).toBeUndefined()
    }
  })

  it.each([
    ['an odd digit', `${TEXT}0`],
    ['a foreign digit', `${TEXT.slice(0, -1)}g`],
    ['a line end', `${TEXT}\n`],
    ['a fourth part', `${TEXT}:00`],
    ['two parts', TEXT.slice(0, TEXT.lastIndexOf(':'))],
    ['an IV of 13 bytes', sealByHand(13, 16)],
    ['nothing', ''],
    ['colons alone', '::'],
  ])('refuses %s', (_what, text) => {
    expect(isGcmHex(text)).toBe(false)
    expect(openGcmHex(KEY, text)).toBeUndefined()
  })

  it('refuses another key and input of another type', () => {
    expect(openGcmHex(Buffer.alloc(32), TEXT)).toBeUndefined()
    expect(openGcmHex(KEY.subarray(1), TEXT)).toBeUndefined()
    for (const odd of [undefined, null, 4, {}, [TEXT]]) expect(openGcmHex(KEY, odd)).toBeUndefined()
  })

  it('refuses a text whose every digit is changed in turn', () => {
    for (let at = 0; at < TEXT.length; at++) {
      if (TEXT[at] === ':') continue
      const digit = TEXT[at] === '0' ? '1' : '0'
      expect(openGcmHex(KEY, TEXT.slice(0, at) + digit + TEXT.slice(at + 1))).toBeUndefined()
    }
  })
})
