/** `mcpvault connect URL`: a server at a URL for a client that only speaks stdio, with a token and without a vault. */

import { VaultError } from '../errors.js'
import type { ClientAnswer, ClientRequest } from './client.js'
import { HttpUpstream } from './http-upstream.js'
import { isLoopbackHost } from './guards.js'
import { parseFrame } from './frame.js'
import { formatRpcError, RPC_CODES, RpcError } from './rpc.js'
import { formatEvent } from './sse.js'
import { serveStdio } from './stdio-front.js'
import type { EventsBody } from './upstream.js'

const TIMEOUT_MS = 120_000

/** What a remote connection needs of the world. */
export interface RemoteWorld {
  readonly input: AsyncIterable<Buffer>
  /** Writes a message to stdout, with its line end. */
  readonly writeOutput: (line: string) => void
  onSignal(name: 'SIGTERM' | 'SIGINT', listener: () => void): () => void
}

/** Connects until stdin ends or a signal comes. @throws {VaultError} USAGE if a token would be readable on the way */
export async function runRemote(
  { url, token }: { readonly url: URL; readonly token: string },
  world: RemoteWorld,
): Promise<void> {
  if (url.protocol !== 'https:' && !isLoopbackHost(url.hostname)) {
    throw new VaultError('USAGE', `cannot connect to "${url.host}": it is not https, and the token would be readable`)
  }
  const upstream = createUpstream(url, token)
  const end = new AbortController()
  const stops = (['SIGTERM', 'SIGINT'] as const).map((signal) => world.onSignal(signal, () => end.abort()))
  try {
    const handle = (request: ClientRequest): Promise<ClientAnswer> => carry(upstream, request)
    const front = { handle, token: async () => undefined, input: world.input, write: world.writeOutput }
    await serveStdio({ ...front, speaksFirst: false }, end.signal)
  } finally {
    for (const stop of stops) stop()
    await upstream.close(0)
  }
}

/** There is no credential of a vault in it, so nothing is looked up and nothing redacted. */
function createUpstream(url: URL, token: string): HttpUpstream {
  const same = (text: string): string => text
  const lease = { uses: [], value: () => '', redactMessage: same, redactText: same, release: () => {} }
  const loader = { uses: () => [], lease: () => lease, leaseOther: () => undefined }
  const headers = [['authorization', [`Bearer ${token}`]]] as const
  const timeouts = { headersTimeoutMs: TIMEOUT_MS, totalTimeoutMs: TIMEOUT_MS }
  const config = {
    type: 'http',
    name: 'remote',
    url,
    headers,
    credentials: [],
    allowsPrivate: true,
    ...timeouts,
  } as const
  return new HttpUpstream(config, { loader, onLeak: () => {}, onRetry: () => {} })
}

async function carry(
  upstream: HttpUpstream,
  { verb, headers, signal, readBody }: ClientRequest,
): Promise<ClientAnswer> {
  const frame = verb === 'POST' ? parseFrame(await readBody()) : undefined
  try {
    const {
      status,
      headers: own,
      body,
    } = await upstream.exchange({ verb, frame, headers, signal, checkAgain: () => {} })
    if (body.type === 'none') return { status, headers: own, body: undefined }
    if (body.type !== 'events') return { status, headers: own, body: body.text }
    return { status, headers: own, body: print(body.events) }
  } catch (error) {
    const known = error instanceof VaultError || error instanceof RpcError
    const message = known ? error.message : 'The server cannot be reached'
    return { status: 502, headers: {}, body: formatRpcError(RPC_CODES.upstream, message, frame?.id ?? null) }
  }
}

async function* print(events: EventsBody['events']): AsyncGenerator<string> {
  for await (const event of events) yield formatEvent(event)
}
