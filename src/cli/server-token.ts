import { VaultError } from '../errors.js'
import { SEARCH_TOOL } from '../search/definition.js'
import { readFileChecked } from '../storage/read-file.js'
import { standingToken } from '../tokens/standing.js'
import type { Context } from './context.js'
import { configPlace } from './gateway-config.js'
import type { Opened } from './open-vault.js'
import { tokenAccess } from './token-access.js'

const MAX_CONFIG_BYTES = 1024 * 1024

/** A server behind the gateway, and what a token is to allow there. */
export interface ServerTools {
  readonly server: string
  /** As the server or as tokens name them; all of the server unless told. */
  readonly tools: readonly string[] | undefined
  /** The configuration; without it the one beside the vault, if there is one. */
  readonly config: string | undefined
}

/**
 * Gives an hourly token for tools of one server behind the gateway; the same as long as it lives.
 *
 * @throws {VaultError} USAGE if the tools are those of another server, NOT_FOUND if the configuration has no such server, INPUT
 * if it is not JSON; and as `createToken`
 */
export async function serverToken(asked: ServerTools, opened: Opened, context: Context): Promise<string> {
  const { server, tools = [] } = asked
  if (!/^[a-z0-9-]+$/.test(server)) {
    throw new VaultError('USAGE', 'cannot make a token: a server has a name of lower-case letters, digits and hyphens')
  }
  const all = isBuiltin(asked, opened, context) ? SEARCH_TOOL : `${server}/*`
  const names = tools.map((tool) => (tool === SEARCH_TOOL || tool.includes('/') ? tool : `${server}/${tool}`))
  const isStrange = names.some((name) => name !== SEARCH_TOOL && !name.startsWith(`${server}/`))
  if (isStrange || tools.includes('*')) {
    throw new VaultError('USAGE', 'cannot make a token for tools of another server', {
      hints: ['a token of several servers: mcpvault token create'],
    })
  }
  return standingToken(tokenAccess(opened), { use: `headers:${server}`, tools: tools.length === 0 ? [all] : names })
}

/**
 * Holds that the configuration has a server and says whether it is the built-in one. It is only looked into, since a
 * client waits: the gateway itself holds it against its schema, and serves none that was not approved.
 */
function isBuiltin({ server, config }: ServerTools, { access }: Opened, context: Context): boolean {
  const { path, host } = configPlace(config, access, context)
  const file = readFileChecked(path, { what: 'gateway configuration', host, maxBytes: MAX_CONFIG_BYTES })
  if (file === undefined && config === undefined) return false
  if (file === undefined) throw new VaultError('NOT_FOUND', `no gateway configuration at "${path}"`)
  const servers = readServers(file.bytes.toString('utf8'))
  if (servers === undefined) {
    throw new VaultError('INPUT', `cannot use "${path}": it is not JSON with servers`, {
      hints: ['mcpvault config show'],
    })
  }
  const found = Object.hasOwn(servers, server) ? servers[server] : undefined
  if (found === undefined) {
    throw new VaultError('NOT_FOUND', `no server "${server}" in "${path}"`, {
      hints: [`its servers: ${Object.keys(servers).join(', ')}`],
    })
  }
  return typeof found === 'object' && found !== null && 'builtin' in found
}

function readServers(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const servers = typeof value === 'object' && value !== null && 'mcpServers' in value ? value.mcpServers : undefined
    return typeof servers === 'object' && servers !== null ? (servers as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}
