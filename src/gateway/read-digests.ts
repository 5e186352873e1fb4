/** What definitions of tools are now, for tokens that are to be pinned to them. */

import { VaultError } from '../errors.js'
import { digestTool, type ToolDigest } from '../tokens/digest.js'
import type { AuditIntent } from './audit.js'
import type { ConfigPlace } from './config-file.js'
import { GatewayCore, type ServeWorld } from './core.js'
import { listTools } from './merged-upstream.js'

/**
 * Asks the servers of the configuration for the definitions of tools, named `SERVER/tool`.
 *
 * @throws {VaultError} NOT_FOUND if a server or a tool is missing, UPSTREAM if a server cannot be asked, and whatever keeps
 * a gateway from starting.
 */
export async function readDigests(
  tools: readonly string[],
  config: ConfigPlace,
  world: ServeWorld,
): Promise<readonly ToolDigest[]> {
  const digests: ToolDigest[] = []
  for (const server of new Set(tools.map(serverOf))) {
    const core = new GatewayCore({ config, command: 'token create', only: server }, world)
    await core.start()
    try {
      const upstream = core.upstreams.find(server)
      if (upstream === undefined) continue
      const { name, place } = upstream
      const credentials = upstream.credentials()
      const intent = { token: '', upstream: name, place, method: 'tools/list', tool: undefined, credentials }
      const listed = await recorded(core, intent, () => listTools(upstream))
      for (const tool of tools.filter((one) => serverOf(one) === server)) {
        const found = listed.find((one) => upstream.tokenTool(String(one.name)) === tool)
        const digest = found && digestTool({ ...found, name: String(found.name) })
        if (digest === undefined)
          throw new VaultError('NOT_FOUND', `cannot pin "${tool}": "${server}" has no such tool`)
        digests.push([tool, digest])
      }
    } finally {
      await core.close(0)
    }
  }
  return digests
}

/** Records a request that no client has made, as one that a client has. */
async function recorded<T>({ audit }: GatewayCore, intent: AuditIntent, ask: () => Promise<T>): Promise<T> {
  const id = audit.intent(intent)
  const startMs = performance.now()
  const end = (outcome: 'ok' | 'failed'): void =>
    audit.result(id, { outcome, ms: Math.round(performance.now() - startMs) })
  try {
    const result = await ask()
    end('ok')
    return result
  } catch (error) {
    end('failed')
    throw error
  }
}

function serverOf(tool: string): string {
  return tool.slice(0, Math.max(0, tool.indexOf('/')))
}
