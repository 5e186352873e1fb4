/**
 * Redaction in JSON text, string by string after decoding, so that no mixture of escapes hides a value and everything
 * else stays byte for byte as it was: white space, the order of members, repeated members, the spelling of numbers.
 *
 * @module
 */

import { REDACTED } from '../redact/forms.js'

/** The strings, numbers and words of valid JSON text (RFC 8259 section 2); what lies between them is structure. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/g

/**
 * Redacts the strings and numbers of a valid JSON text; a token that held a value becomes a string. Undefined when a
 * value stands in the structure itself, over several tokens: no mark can take its place there.
 *
 * @param redact gives a text without any secret back as it is.
 */
export function redactJson(json: string, redact: (text: string) => string): string | undefined {
  const result = json.replace(TOKEN, (token) => {
    const decoded = token.startsWith('"') ? String(JSON.parse(token)) : token
    const redacted = redact(decoded)
    return redacted === decoded ? token : JSON.stringify(redacted)
  })
  // The mark itself may look like a (silly) value, so only what stands between marks is looked at.
  return result.split(REDACTED).every((piece) => redact(piece) === piece) ? result : undefined
}
