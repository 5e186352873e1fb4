/** `mcpvault serve NAME --stdio` and `mcpvault connect [NAME]`: a server for one client, over stdin and stdout. */

import { standingToken } from '../tokens/standing.js'
import { ANY_TOOL } from '../tokens/tool-name.js'
import { openVault } from '../vault/open.js'
import { type ConfigPlace, readConfigFile } from './config-file.js'
import { GatewayCore, type ServeWorld } from './core.js'
import { MergedUpstream } from './merged-upstream.js'
import { serveStdio } from './stdio-front.js'
import type { Upstream } from './upstream.js'

/** How long requests may go on after a signal to end. */
const DRAIN_MS = 10_000

/** What serving over stdio needs of the world. */
export interface StdioWorld extends ServeWorld {
  readonly input: AsyncIterable<Buffer>
  /** Writes a message to stdout, with its line end. */
  readonly writeOutput: (line: string) => void
}

/** Which server is served, and with which token. */
export interface ServeStdioOptions {
  readonly config: ConfigPlace
  /** The bare subcommand. */
  readonly command: string
  /** Without a name: the one server that there is, or all of them as one. */
  readonly name: string | undefined
  /** The token of every request, or the tools of one that is made and renewed here. */
  readonly token: string | undefined | { readonly tools: readonly string[] | undefined }
}

/** Serves until stdin ends or a signal comes. @throws {VaultError} whatever keeps it from starting */
export async function runStdio(options: ServeStdioOptions, world: StdioWorld): Promise<void> {
  const { config, command, token } = options
  const name = options.name ?? onlyServer(config, world)
  const core = new GatewayCore({ config, command, only: name, isForOneClient: name !== undefined }, world)
  await core.start()
  const end = new AbortController()
  const stops = (['SIGTERM', 'SIGINT'] as const).map((signal) => world.onSignal(signal, () => end.abort()))
  const merged = name === undefined ? new MergedUpstream(core.upstreams, core.log.report) : undefined
  const upstream: Upstream | undefined = name === undefined ? merged : core.upstreams.find(name)
  try {
    if (upstream === undefined) return
    const own = typeof token === 'object' ? token : undefined
    const use = `connect:${upstream.name}`
    const ownToken = onePending(() =>
      standingToken(core.loader.tokenAccess(), { use, tools: toolsOf(own?.tools, upstream) }),
    )
    await serveStdio(
      {
        handle: (request) => core.gateway.handle(upstream, request),
        token: typeof token === 'object' ? ownToken : async () => token,
        input: world.input,
        write: world.writeOutput,
        speaksFirst: upstream.speaksFirst === true,
      },
      end.signal,
    )
  } finally {
    for (const stop of stops) stop()
    await merged?.close()
    await core.close(DRAIN_MS)
  }
}

/** The server of a configuration that has no other. @throws {VaultError} as `readConfigFile` */
function onlyServer(config: ConfigPlace, { access }: StdioWorld): string | undefined {
  const { upstreams } = readConfigFile(config, openVault(access)).config
  return upstreams.length === 1 ? upstreams[0]?.name : undefined
}

/** Requests that come at once make one token, not one each. */
function onePending<T>(run: () => Promise<T>): () => Promise<T> {
  let pending: Promise<T> | undefined
  return () => {
    pending ??= run().finally(() => {
      pending = undefined
    })
    return pending
  }
}

/** Tools of the one server may be named as it names them; without a name they are all of that server. */
function toolsOf(tools: readonly string[] | undefined, upstream: Upstream): readonly string[] {
  if (tools === undefined) return upstream.allTools
  return tools.map((tool) => (tool === ANY_TOOL || tool.includes('/') ? tool : upstream.tokenTool(tool)))
}
