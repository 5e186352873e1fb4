import { createCipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodePaddedBase64url } from '../../src/crypto/encoding.js'
import { isFernetToken, openFernet, sealFernet } from '../../src/crypto/fernet.js'
import { hmacSha256 } from '../../src/crypto/kdf.js'
import vectors from '../vectors/fernet.json' with { type: 'json' }

const KEY = Buffer.from(vectors.secret, 'base64url')
const OPTIONS = { epochSeconds: 1, iv: Buffer.alloc(16, 7) }

/** Signs anything at all as the key's owner would. */
function forge(body: Buffer, { version = 0x80 } = {}): string {
  const signed = Buffer.concat([Buffer.of(version), Buffer.alloc(8), OPTIONS.iv, body])
  return encodePaddedBase64url(Buffer.concat([signed, hmacSha256(KEY.subarray(0, 16), signed)]))
}

function encryptBlocks(blocks: Buffer): Buffer {
  const cipher = createCipheriv('aes-128-cbc', KEY.subarray(16), OPTIONS.iv).setAutoPadding(false)
  return Buffer.concat([cipher.update(blocks), cipher.final()])
}

describe('the Fernet spec', () => {
  it.each(vectors.generate)('generate.json: the same token to the byte', ({ token, epochSeconds, ivHex, src }) => {
    const iv = Buffer.from(ivHex, 'hex')
    expect(sealFernet(KEY, Buffer.from(src), { epochSeconds, iv })).toBe(token)
  })

  it.each(vectors.verify)('verify.json: the token opens', ({ token, src }) => {
    expect(isFernetToken(token)).toBe(true)
    expect(openFernet(KEY, token)?.toString()).toBe(src)
  })

  it.each(vectors.invalid)('invalid.json: $desc', ({ token }) => {
    expect(openFernet(KEY, token)).toBeUndefined()
  })

  it.each(vectors.untimed)('invalid.json: $desc opens all the same, since stored values do not expire', ({ token }) => {
    expect(openFernet(KEY, token)).toBeInstanceOf(Buffer)
  })
})

describe('openFernet', () => {
  it('opens what the forging helper signs correctly, so that the refusals below mean something', () => {
    expect(openFernet(KEY, forge(encryptBlocks(Buffer.alloc(16, 16))))).toEqual(Buffer.alloc(0))
  })

  it('refuses correctly signed tokens of another version, without blocks, or with bad padding', () => {
    const padding = encryptBlocks(Buffer.alloc(16, 16))
    expect(openFernet(KEY, forge(padding, { version: 0x81 }))).toBeUndefined()
    expect(openFernet(KEY, forge(Buffer.alloc(0)))).toBeUndefined()
    expect(openFernet(KEY, forge(encryptBlocks(Buffer.alloc(16, 17))))).toBeUndefined()
    expect(openFernet(KEY, forge(encryptBlocks(Buffer.alloc(16, 0))))).toBeUndefined()
  })

  it('refuses another key, a key of another length, and input of another type', () => {
    const token = sealFernet(KEY, Buffer.from('value'), OPTIONS)
    expect(openFernet(Buffer.alloc(32), token)).toBeUndefined()
    expect(openFernet(KEY.subarray(0, 31), token)).toBeUndefined()
    expect(openFernet(Buffer.concat([KEY, KEY]), token)).toBeUndefined()
    for (const odd of [undefined, null, 4, {}, [token]]) expect(openFernet(KEY, odd)).toBeUndefined()
  })

  it('refuses a token whose every single bit is flipped in turn', () => {
    const bytes = Buffer.from(sealFernet(KEY, Buffer.from('value'), OPTIONS), 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(openFernet(KEY, encodePaddedBase64url(changed))).toBeUndefined()
    }
    expect(openFernet(KEY, encodePaddedBase64url(bytes))?.toString()).toBe('value')
  })
})

describe('isFernetToken', () => {
  // The spec's token has both characters in which the alphabets differ.
  const token = vectors.verify.map((entry) => entry.token).join()

  it('goes by shape alone: a token under an unknown key is one', () => {
    expect(isFernetToken(sealFernet(Buffer.alloc(32, 1), Buffer.from('value'), OPTIONS))).toBe(true)
  })

  it.each([
    ['no padding', token.replaceAll('=', '')],
    ['a line end', `${token}\n`],
    ['the standard alphabet', token.replaceAll('-', '+').replaceAll('_', '/')],
    ['a length between blocks', forge(Buffer.alloc(17))],
    ['no block at all', forge(Buffer.alloc(0))],
    ['another version', forge(Buffer.alloc(16), { version: 0x00 })],
    ['nothing', ''],
  ])('refuses %s', (_what, text) => {
    expect(isFernetToken(token)).toBe(true)
    expect(isFernetToken(text)).toBe(false)
  })
})
