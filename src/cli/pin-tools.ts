import { VaultError } from '../errors.js'
import { SEARCH_DIGEST, SEARCH_TOOL } from '../search/definition.js'
import type { ToolDigest } from '../tokens/digest.js'

/**
 * Gives the digest of each tool's definition as it is now.
 *
 * @throws {VaultError} INPUT if a tool's definition is not known here.
 */
export function pinTools(tools: readonly string[]): readonly ToolDigest[] {
  return [...new Set(tools)].map((tool) => {
    if (tool === SEARCH_TOOL) return [tool, SEARCH_DIGEST]
    throw new VaultError('INPUT', `cannot pin "${tool}": its definition is not known here`, {
      hints: [`name the tools; ${SEARCH_TOOL} can be pinned`],
    })
  })
}
