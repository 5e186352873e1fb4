/**
 * Strict text encodings: what decodes is exactly what encoding would have written.
 *
 * Node's own decoders skip what they do not like, so every decoder here compares. None of them throws: odd input,
 * whatever its type, gives undefined.
 *
 * @module
 */

/** Reads base64url without padding (RFC 4648 section 5); undefined unless encoding again gives the same text. */
export function decodeBase64url(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** Prints base64url with `=` padding, as Python's `base64.urlsafe_b64encode` does. */
export function encodePaddedBase64url(bytes: Buffer): string {
  const text = bytes.toString('base64url')
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

/** Reads base64url with `=` padding; undefined unless encoding again gives the same text. */
export function decodePaddedBase64url(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined
  const bytes = Buffer.from(text, 'base64url')
  return encodePaddedBase64url(bytes) === text ? bytes : undefined
}

/** Tells whether a text is pairs of hex digits, in either case and possibly none. */
export function isHex(text: string): boolean {
  // A search for one foreign character cannot backtrack, however long the text is.
  return text.length % 2 === 0 && !/[^0-9a-fA-F]/.test(text)
}

/** Reads pairs of hex digits in either case; undefined when there is anything else. */
export function decodeHex(text: unknown): Buffer | undefined {
  return typeof text === 'string' && isHex(text) ? Buffer.from(text, 'hex') : undefined
}

/**
 * Joins parts so that no two lists of parts give the same bytes.
 *
 * Layout: per part, its length as u32 big-endian, then its bytes; a string is taken as UTF-8.
 */
export function lengthPrefixed(...parts: readonly (Buffer | string)[]): Buffer {
  return Buffer.concat(parts.flatMap(prefixPart))
}

function prefixPart(part: Buffer | string): Buffer[] {
  const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return [length, bytes]
}
