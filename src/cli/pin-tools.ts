import { VaultError } from '../errors.js'
import { SEARCH_DIGEST, SEARCH_TOOL } from '../search/definition.js'
import type { ToolDigest } from '../tokens/digest.js'
import { isAllOfServer } from '../tokens/tool-name.js'
import type { Context } from './context.js'
import { configPlace } from './gateway-config.js'
import type { Opened } from './open-vault.js'
import { stdioWorld } from './stdio-world.js'

/** The tools that a token is to be pinned to. */
export interface PinnedTools {
  readonly tools: readonly string[]
  /** The gateway's configuration; the one beside the vault unless told. */
  readonly config: string | undefined
}

/**
 * Gives the digest of each tool's definition as it is now; servers of the gateway are asked.
 *
 * @throws {VaultError} INPUT if a tool is none of a server, NOT_FOUND, UPSTREAM and UNSAFE if a server cannot be asked.
 */
export async function pinTools(
  { tools, config }: PinnedTools,
  { access }: Opened,
  context: Context,
): Promise<readonly ToolDigest[]> {
  const names = [...new Set(tools)]
  const own: readonly ToolDigest[] = names.includes(SEARCH_TOOL) ? [[SEARCH_TOOL, SEARCH_DIGEST]] : []
  const others = names.filter((name) => name !== SEARCH_TOOL)
  const strange = others.find((name) => !/^[a-z0-9-]+\/./.test(name) || isAllOfServer(name))
  if (strange !== undefined) {
    throw new VaultError('INPUT', `cannot pin "${strange}": its definition is not known here`, {
      hints: [`name the tools; ${SEARCH_TOOL} can be pinned, and SERVER/tool of the gateway's servers`],
    })
  }
  if (others.length === 0) return own
  const { readDigests } = await import('../gateway/serve.js')
  const place = configPlace(config, access, context)
  return [...own, ...(await readDigests(others, place, { ...stdioWorld(access, context), writeLog: () => {} }))]
}
