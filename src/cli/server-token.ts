import { VaultError } from '../errors.js'
import { SEARCH_TOOL } from '../search/definition.js'
import { standingToken } from '../tokens/standing.js'
import type { Opened } from './open-vault.js'
import { tokenAccess } from './token-access.js'

/**
 * Gives an hourly token for tools of one server behind the gateway; the same as long as it lives.
 *
 * @throws {VaultError} USAGE if no tools are named, or those of another server; and as `createToken`
 */
export async function serverToken(
  server: string,
  tools: readonly string[] | undefined,
  opened: Opened,
): Promise<string> {
  if (!/^[a-z0-9-]+$/.test(server)) {
    throw new VaultError('USAGE', 'cannot make a token: a server has a name of lower-case letters, digits and hyphens')
  }
  if (tools === undefined) {
    throw new VaultError('USAGE', 'cannot make a token without saying what it may call', {
      hints: [`mcpvault headers ${server} --tools NAMES`],
    })
  }
  const names = tools.map((tool) => (tool === SEARCH_TOOL || tool.includes('/') ? tool : `${server}/${tool}`))
  const isStrange = names.some((name) => name !== SEARCH_TOOL && !name.startsWith(`${server}/`))
  if (isStrange || tools.includes('*')) {
    throw new VaultError('USAGE', 'cannot make a token for tools of another server', {
      hints: ['a token of several servers: mcpvault token create'],
    })
  }
  return standingToken(tokenAccess(opened), { use: `headers:${server}`, tools: names })
}
