/** The SDK's client over stdio, with the gateway in this process: what `serve NAME --stdio` and `connect URL` do. */

import { PassThrough } from 'node:stream'
import { Client, type JSONRPCMessage, type Transport } from '@modelcontextprotocol/client'
import { onTestFinished } from 'vitest'
import { runRemote } from '../../src/gateway/connect-remote.js'
import { runStdio } from '../../src/gateway/serve-stdio.js'
import type { Era } from './child-support.js'
import type { GatewayWorld } from './gateway-support.js'

/** How a client comes. */
export interface StdioClientOptions {
  readonly era: Era
  readonly capabilities?: object
  /** Which server; null for `connect` without a name. */
  readonly server?: string | null
  /** Sees each line that the client gets. */
  readonly onLine?: (line: string) => void
}

/** A pair of pipes: lines that the client writes, and lines that it gets. */
class LineTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  readonly input = new PassThrough()
  #delivered: Promise<void> = Promise.resolve()
  readonly #onLine: (line: string) => void

  constructor(onLine: (line: string) => void = () => {}) {
    this.#onLine = onLine
  }

  async start(): Promise<void> {}

  async send(message: JSONRPCMessage): Promise<void> {
    this.input.write(`${JSON.stringify(message)}\n`)
  }

  async close(): Promise<void> {
    this.input.end()
    this.onclose?.()
  }

  readonly write = (line: string): void => {
    this.#onLine(line)
    // The SDK's client drops the progress that comes in one go with its answer.
    this.#delivered = this.#delivered.then(() => this.onmessage?.(JSON.parse(line) as JSONRPCMessage))
  }
}

/** A client of `serve NAME --stdio`, or of `connect NAME` where the tools of its token are named. */
export async function connectStdio(
  world: GatewayWorld,
  token: string | { readonly tools: readonly string[] | undefined },
  options: StdioClientOptions,
): Promise<Client> {
  const transport = new LineTransport(options.onLine)
  const served = runStdio(
    {
      config: world.configPlace,
      command: 'serve',
      name: options.server === null ? undefined : (options.server ?? 'notes'),
      token,
    },
    { ...world.serveWorld(), input: transport.input, writeOutput: transport.write },
  )
  return begin(transport, served, options)
}

/** A client of `connect URL`. */
export async function connectRemote(url: string, token: string, options: StdioClientOptions): Promise<Client> {
  const transport = new LineTransport(options.onLine)
  const world = { input: transport.input, writeOutput: transport.write, onSignal: () => () => {} }
  return begin(transport, runRemote({ url: new URL(url), token }, world), options)
}

async function begin(transport: LineTransport, served: Promise<void>, options: StdioClientOptions): Promise<Client> {
  const { era, capabilities = {} } = options
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy'
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode }, capabilities })
  onTestFinished(async () => {
    await client.close()
    await served
  })
  await client.connect(transport)
  return client
}
