import type { SecretFinding } from './find-secrets.js'

/** What every other server calls its secret, too: such a name says nothing without the server's. */
const GENERIC =
  /^(?:x_)?(?:api_?key|key|token|secret|password|passwd|pass|pwd|pat|auth|authorization|bearer|access_token|auth_token|api_token|bearer_token|secret_key|client_secret|access_key|private_key|cookie|session|url|dsn|credentials?|header|h|e|env|database_url)$/

/** Makes a name for a credential of a secret's place: lower case, the server's name before what says nothing alone. */
export function suggestName(server: string, { name }: SecretFinding): string {
  const own = snakeCase(name?.toLowerCase() === 'authorization' ? 'token' : (name ?? ''))
  const whose = snakeCase(server)
  if (own === '') return shorten(whose === '' ? 'adopted_secret' : `${whose}_secret`)
  if (!GENERIC.test(own) || whose === '' || own.startsWith(`${whose}_`)) return shorten(own)
  return shorten(`${whose}_${own.replace(/^x_/, '')}`)
}

/** Gives a name that is not taken: `name`, `name_2`, `name_3`, … */
export function uniqueName(wanted: string, isTaken: (name: string) => boolean): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted}_${number}`
    if (!isTaken(name)) return name
  }
}

/** The variable that a client gets a credential by. */
export function variableOf(credential: string): string {
  const variable = credential.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()
  return /^[0-9]/.test(variable) ? `_${variable}` : variable
}

function snakeCase(text: string): string {
  return text
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
}

function shorten(name: string): string {
  return name.slice(0, 200)
}
