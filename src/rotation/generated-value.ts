import { Secret } from '../secret.js'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Makes a random value of letters and digits, each with the same chance. */
export function generateValue(length: number, random: { randomBytes(length: number): Buffer }): Secret {
  const value = Buffer.alloc(length)
  for (let filled = 0; filled < length; ) {
    const bytes = random.randomBytes(length)
    for (const byte of bytes) {
      // Bytes above the last multiple of 62 would favour the first letters.
      if (byte >= 248 || filled >= length) continue
      value[filled++] = ALPHABET.charCodeAt(byte % 62)
    }
    bytes.fill(0)
  }
  return new Secret(value)
}
