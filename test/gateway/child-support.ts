/** A gateway in front of the test program (child-program.mjs), and the SDK's own client. */

import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { onTestFinished } from 'vitest'
import type { TokenOptions } from '../../src/tokens/change.js'
import { GatewayWorld } from './gateway-support.js'

/** The test program. */
export const PROGRAM = fileURLToPath(new URL('child-program.mjs', import.meta.url))

/** The protocol with sessions, or the one without. */
export type Era = 'legacy' | 'modern'

/** A gateway in front of the test program, named `notes`. */
export async function inFrontOfChild(era: Era | 'both', server: object = {}): Promise<GatewayWorld> {
  return withProgram(era, { isServed: true, server })
}

/** A vault and a configuration with the test program, named `notes`; not served unless told. */
export async function withProgram(
  era: Era | 'both',
  { isServed = false, server = {} }: { readonly isServed?: boolean; readonly server?: object } = {},
): Promise<GatewayWorld> {
  const world = await GatewayWorld.create()
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const env = { NOTES_KEY: '${vault:notes_key}' }
  const config = { mcpServers: { notes: { command: process.execPath, args: [PROGRAM, era], env, ...server } } }
  if (isServed) await world.start(config)
  else await world.configure(config)
  return world
}

interface ClientOptions {
  readonly path?: string
  readonly tools?: readonly string[]
  readonly methods?: TokenOptions['methods']
  readonly capabilities?: object
  readonly digests?: TokenOptions['digests']
}

/** The SDK's own client, connected through the gateway. */
export async function connect(
  world: GatewayWorld,
  era: Era,
  { path = '/mcp/notes', tools = ['*'], methods = ['tools'], capabilities = {}, digests }: ClientOptions = {},
): Promise<Client> {
  const token = await world.token({ tools, methods, ...(digests !== undefined && { digests }) })
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy'
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode }, capabilities })
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(`${world.origin}${path}`), { requestInit }))
  onTestFinished(() => client.close())
  return client
}

/** Calls a tool and gives the text of its answer. */
export async function callText(client: Client, name: string, args: object = {}): Promise<string> {
  const { content } = await client.callTool({ name, arguments: { ...args } })
  const [first] = content as { text: string }[]
  return first?.text ?? ''
}
