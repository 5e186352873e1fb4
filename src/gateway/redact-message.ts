import { redactJson } from '../search/redact-json.js'

/** The strings of valid JSON text that have an escape in them. */
const ESCAPED_STRING = /"[^"\\]*(?:\\.[^"\\]*)+"/gs
/** Half a surrogate pair and no other half: what is looked for is well-formed, so it never stands across this. */
const BORDER = '\ud800\n'

/**
 * Redacts one JSON-RPC message: the text as it stands, and every string after decoding, so that no mixture of escapes
 * hides a value. What holds none is given back byte for byte. A message that a value stands across, over several tokens,
 * is dropped for an error without its content.
 *
 * @param redact gives a text without any secret back as it is.
 */
export function redactMessage(json: string, redact: (text: string) => string): string {
  if (redact(json) !== json) return redactWhole(json, redact)
  if (!json.includes('\\')) return json
  const decoded = (json.match(ESCAPED_STRING) ?? []).map(decode).join(BORDER)
  return redact(decoded) === decoded ? json : redactWhole(json, redact)
}

function redactWhole(json: string, redact: (text: string) => string): string {
  const id = idOf(json)
  // Text that is no JSON is cut where a value stands; nothing else can be said of it.
  if (id === undefined) return redact(json)
  return (
    redactJson(json, redact) ??
    JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32004, message: 'The answer repeats a credential' } })
  )
}

function decode(token: string): string {
  try {
    return String(JSON.parse(token))
  } catch {
    return ''
  }
}

/** Gives the id of a JSON-RPC message, null if it has none; undefined if the text is no JSON. */
function idOf(json: string): unknown {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && 'id' in value ? value.id : null
  } catch {
    return undefined
  }
}
