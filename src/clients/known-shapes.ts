/** Whose keys look like what; the prefixes are those that the providers document for secret scanning. */
const SHAPES: readonly (readonly [owner: string, pattern: RegExp])[] = [
  ['Anthropic', /^sk-ant-[\w-]{20,}$/],
  ['OpenAI', /^sk-(?:proj-|svcacct-)?[\w-]{20,}$/],
  ['GitHub', /^(?:gh[pousr]_\w{20,}|github_pat_\w{20,})$/],
  ['GitLab', /^gl(?:pat|ptt|dt|rt|cbt)-[\w.-]{20,}$/],
  ['Slack', /^xox[abeoprs]-[\w-]{10,}$/],
  ['Slack', /^xapp-[\w-]{10,}$/],
  ['AWS', /^(?:AKIA|ASIA)[A-Z0-9]{16}$/],
  ['Google', /^AIza[\w-]{30,}$/],
  ['Google', /^(?:ya29\.|GOCSPX-)[\w-]{20,}$/],
  ['Stripe', /^(?:sk|rk)_(?:live|test)_\w{10,}$/],
  ['Stripe', /^whsec_[\w+/=]{20,}$/],
  ['npm', /^npm_\w{30,}$/],
  ['PyPI', /^pypi-[\w-]{30,}$/],
  ['Hugging Face', /^hf_\w{20,}$/],
  ['SendGrid', /^SG\.[\w-]{10,}\.[\w-]{10,}$/],
  ['Notion', /^(?:ntn_|secret_)\w{30,}$/],
  ['Linear', /^lin_(?:api|oauth)_\w{20,}$/],
  ['Figma', /^figd_[\w-]{20,}$/],
  ['Atlassian', /^ATATT3[\w=+/-]{20,}$/],
  ['Tavily', /^tvly-[\w-]{10,}$/],
  ['Brave', /^BSA[\w-]{20,}$/],
  ['Perplexity', /^pplx-\w{20,}$/],
  ['Groq', /^gsk_\w{20,}$/],
  ['xAI', /^xai-\w{20,}$/],
  ['Replicate', /^r8_\w{20,}$/],
  ['Databricks', /^dapi[0-9a-f]{32}$/],
  ['DigitalOcean', /^do[opr]_v1_[0-9a-f]{40,}$/],
  ['Shopify', /^shp(?:at|ca|pa|ss)_[0-9a-f]{20,}$/],
  ['Docker', /^dckr_pat_[\w-]{20,}$/],
  ['HubSpot', /^pat-(?:na|eu)\d-[0-9a-f-]{30,}$/],
  ['Airtable', /^pat\w{14}\.[0-9a-f]{30,}$/],
  ['Sentry', /^sntry[su]_[\w=+/.-]{20,}$/],
  ['Firecrawl', /^fc-[0-9a-f]{20,}$/],
  ['Scavio', /^sk_(?:scavio|live)_\w{10,}$/],
]

const WEB_TOKEN = /^eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*$/
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/

/** Says what a text is by its shape alone; undefined when it has none that is known. */
export function knownShape(text: string): string | undefined {
  if (WEB_TOKEN.test(text)) return 'it is a JSON web token'
  if (PRIVATE_KEY.test(text)) return 'it is a private key'
  const owner = SHAPES.find(([, pattern]) => pattern.test(text))?.[0]
  return owner && `it has the shape of a key of ${owner}`
}

/** Below this many bits a character, text is rather made of words. */
const MIN_BITS = 3.5
const MIN_HEX_BITS = 3

/**
 * Tells whether a text looks drawn at random: at least 20 characters of base64 or 32 of hex that are no words, path,
 * version, UUID or address.
 */
export function looksRandom(text: string): boolean {
  if (/^[0-9a-f]{32,}$/i.test(text)) return bitsPerCharacter(text.toLowerCase()) >= MIN_HEX_BITS
  if (text.length < 20 || !/^[\w+/=.~-]+$/.test(text)) return false
  // Identifiers are not secrets by their looks; a name can still say that one is.
  if (/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)) return false
  if (!/\d/.test(text) || !/[A-Za-z]/.test(text)) return false
  const words = text.split(/[-_./~+=]+/).filter((word) => word !== '')
  const isWordy = words.every((word) => /^(?:[A-Za-z][a-z]{0,14}|[A-Z]{1,12}|v?\d{1,4}|[a-z]{2,10}\d{1,3})$/.test(word))
  if (isWordy || /^[.~]?\//.test(text) || /\.(?:[cm]?[jt]s|py|json|toml|sh|db|sqlite|txt)$/.test(text)) return false
  return bitsPerCharacter(text) >= MIN_BITS
}

/** Shannon's entropy of a text's own characters. */
function bitsPerCharacter(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  return [...counts.values()].reduce((bits, count) => bits - (count / text.length) * Math.log2(count / text.length), 0)
}

const SECRET_WORDS =
  /(?:^|[_.-])(?:(?:api|access|auth|secret|private|signing|encryption|service|master|app|account)[_-]?key|key|apikey|token|pat|jwt|secret|password|passwd|passphrase|pass|pwd|credentials?|auth|authorization|bearer|cookie|session|dsn|connection[_-]?string)$/i
const PLAIN_WORDS = /public[_-]?key$|(?:^|[_.-])(?:max|min|num|total|count)[_-]|_(?:file|path|dir|url|id|name|type)$/i

/** Tells whether a variable, header, flag or parameter is called as secrets are. */
export function isSecretName(name: string): boolean {
  const snake = name.replace(/([a-z0-9])([A-Z])/g, '$1_$2')
  return !PLAIN_WORDS.test(snake) && SECRET_WORDS.test(snake)
}

/** Tells whether a text only stands for a secret: a reference, a placeholder, a switch. */
export function isNoSecret(text: string): boolean {
  if (text.trim().length < 3 || isReference(text)) return true
  if (
    /^(?:true|false|yes|none|null|undefined|auto|default|disabled|enabled|basic|bearer|oauth2?|optional|required)$/i.test(
      text,
    )
  )
    return true
  return /^<[^<>]*>$|^\[[^[\]]*\]$|^(?:your|my|insert|enter|replace|add|put|paste)[-_ ]|(?:here|_goes_here)$|^(.)\1*$|^x{3,}|\*{3,}|^changeme$|^(?:placeholder|example|redacted|dummy|todo)\b/i.test(
    text,
  )
}

/** Tells whether a text is the path of a file, where a variable that is called as secrets are can name one. */
export function isPath(text: string): boolean {
  return /^(?:~|\.{1,2})?\/(?:[\w.@-]+\/)*[\w.@-]*$/.test(text) && !looksRandom(text.replace(/^[~.]*\//, ''))
}

/** Tells whether a text has its value from elsewhere: `${env:X}`, `${input:x}`, `${X}`, `$X`, `{{ vault "x" }}`, `op://…`. */
export function isReference(text: string): boolean {
  return /\$\{[^}]+\}|^\$[A-Za-z_]\w*$|\{\{[^}]*\}\}|^[a-z]{2,12}:\/\/[^/]*\/.*\b(?:vault|item)|^op:\/\/|^\$\(/.test(
    text,
  )
}
