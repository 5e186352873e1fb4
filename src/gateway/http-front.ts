/** The gateway as clients see it: Streamable HTTP at `/mcp/NAME`, and the operator's endpoints. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { VaultError } from '../errors.js'
import type { ClientAnswer } from './client.js'
import { MAX_FRAME_BYTES } from './frame.js'
import type { Gateway } from './gateway.js'
import { bearerToken, corsHeaders, type FrontDoors, pickForwarded, preflightHeaders, refuseDoor } from './guards.js'
import { formatRpcError, RPC_CODES, RpcError } from './rpc.js'
import type { Upstream } from './upstream.js'

const MOST_CONNECTIONS = 256
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
const IDLE_TIMEOUT_MS = 60_000
const HEARTBEAT_MS = 15_000
const SWEEP_MS = 50
/** How much of a stream may wait for the program to give the control back, in characters. */
const MOST_WAITING = 64 * 1024

/** Where to listen and what is served there. */
export interface FrontOptions {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined
  readonly doors: FrontDoors
  /** Finds what is served at `/mcp/NAME`, or without a name at `/mcp`; asked at every request, since a configuration may be reloaded. */
  readonly findUpstream: (name: string | undefined) => Upstream | undefined
  /** Answers what is not MCP, such as `/healthz`; undefined if there is no such place. */
  readonly endpoints: (request: EndpointRequest) => Promise<ClientAnswer | undefined>
}

/** A request for one of the operator's endpoints. */
export interface EndpointRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readBody(): Promise<Buffer>
}

/** A front that listens. */
export interface Front {
  readonly port: number
  /** Takes no new connections, lets requests end, and after `graceMs` ends what is left. */
  close(graceMs: number): Promise<void>
}

/** Starts to listen. @throws {VaultError} IO if the address cannot be had */
export async function startFront(gateway: Gateway, options: FrontOptions): Promise<Front> {
  const limits = { maxHeaderSize: 16 * 1024, headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS }
  const settings = { ...limits, keepAliveTimeout: IDLE_TIMEOUT_MS, connectionsCheckingInterval: 1000 }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void serve(gateway, options, { request, response, isEnding: () => !server.listening })
  }
  const server = options.tls ? startTls({ ...settings, ...options.tls }, listener) : createServer(settings, listener)
  server.maxConnections = MOST_CONNECTIONS
  await listen(server, options)
  return { port: (server.address() as AddressInfo).port, close: (graceMs) => close(server, graceMs) }
}

function startTls(settings: ServerOptions, listener: RequestListener): Server {
  try {
    // Who never finishes the handshake has not begun a request, and is not among those that Node's limits end.
    return createTlsServer({ ...settings, minVersion: 'TLSv1.2', handshakeTimeout: HEADERS_TIMEOUT_MS }, listener)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new VaultError('INPUT', `cannot use TLS: certificate and key are not what they should be (${code})`, {
      hints: ['--tls-cert FILE takes the chain and --tls-key FILE its key, both in PEM, the key without a passphrase'],
    })
  }
}

async function listen(server: Server, { host, port }: FrontOptions): Promise<void> {
  try {
    server.listen(port, host.replace(/^\[|\]$/g, ''))
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new VaultError('IO', `cannot listen on ${host}:${port}: ${code}`, {
      hints: code === 'EADDRINUSE' ? ['another port: mcpvault serve --listen 127.0.0.1:8809'] : [],
    })
  }
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection that is kept alive would bring new requests for as long as its client likes.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  server.closeIdleConnections()
  await closed
  clearInterval(sweep)
  clearTimeout(timer)
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Whether nothing new is taken any more. */
  readonly isEnding: () => boolean
}

async function serve(gateway: Gateway, options: FrontOptions, exchange: Exchange): Promise<void> {
  const { request, response, isEnding } = exchange
  response.on('error', () => {})
  try {
    const given = isEnding()
      ? errorAnswer(RPC_CODES.unavailable, 'The gateway is being ended', 503)
      : await answer(gateway, options, exchange)
    // A client that is not told would send its next request into a connection that is closed meanwhile.
    if (isEnding()) response.shouldKeepAlive = false
    await write(response, withHeaders(given, corsHeaders(request.headers, options.doors)))
  } catch {
    // The client has gone away, or the upstream's stream has ended badly: either way this answer has no end.
    response.destroy()
  } finally {
    if (!request.complete) request.resume()
  }
}

async function answer(gateway: Gateway, options: FrontOptions, { request, response }: Exchange): Promise<ClientAnswer> {
  const { headers } = request
  const refused = refuseDoor(headers, options.doors)
  if (refused !== undefined) return errorAnswer(RPC_CODES.badHttp, refused, 403)
  const preflight = preflightHeaders(request.method, headers)
  if (preflight !== undefined) return { status: 204, headers: preflight, body: undefined }
  const path = (request.url ?? '/').replace(/\?.*$/s, '')
  const place = /^\/mcp(?:\/([a-z0-9-]+))?$/.exec(path)
  const upstream = place === null ? undefined : options.findUpstream(place[1])
  if (upstream === undefined) {
    const endpoint = { method: request.method ?? 'GET', path, headers, readBody: () => readBody(request) }
    return (await options.endpoints(endpoint)) ?? errorAnswer(RPC_CODES.badHttp, 'Not found', 404)
  }
  const verb = request.method
  if (verb !== 'POST' && verb !== 'GET' && verb !== 'DELETE') {
    return withHeaders(errorAnswer(RPC_CODES.badHttp, 'Method not allowed', 405), { allow: 'POST, GET, DELETE' })
  }
  if (verb === 'POST' && !/^application\/json *(;|$)/i.test(headers['content-type'] ?? '')) {
    return errorAnswer(RPC_CODES.badHttp, 'Unsupported Media Type: application/json is needed', 415)
  }
  const gone = new AbortController()
  // Once it has been answered there is nothing to end, and an abort is not free: it makes an error with its stack.
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gateway.handle(upstream, {
    verb,
    token: bearerToken(headers),
    headers: pickForwarded(headers),
    signal: gone.signal,
    readBody: () => readBody(request),
  })
}

function errorAnswer(code: number, message: string, status: number): ClientAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: formatRpcError(code, message, null) }
}

function withHeaders(given: ClientAnswer, headers: Readonly<Record<string, string>>): ClientAnswer {
  return { ...given, headers: { ...given.headers, ...headers } }
}

/** With listeners: the stream's iterator costs as much as all the rest of a small request. */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_FRAME_BYTES) throw tooLong()
  const chunks: Buffer[] = []
  let length = 0
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= MAX_FRAME_BYTES) chunks.push(chunk)
      else reject(tooLong())
    })
    request.once('end', () => resolve(Buffer.concat(chunks, length)))
    request.once('error', reject)
  })
}

function tooLong(): RpcError {
  return new RpcError(RPC_CODES.invalidRequest, 'Invalid Request: the message is over 4 MiB', { status: 413 })
}

async function write(response: ServerResponse, { status, headers, body }: ClientAnswer): Promise<void> {
  if (body === undefined || typeof body === 'string') {
    writeWhole(response, { status, headers, body: body ?? '' })
    return
  }
  const stream = new StreamWriter(response, { status, headers })
  try {
    for await (const piece of body) {
      if (response.destroyed) return
      if (!stream.write(piece)) await drained(response)
    }
    stream.end()
  } finally {
    stream.stop()
  }
}

/** Sends a stream. Head, first event and end often come at once: then they leave as one answer that is whole. */
class StreamWriter {
  readonly #response: ServerResponse
  readonly #head: Omit<ClientAnswer, 'body'>
  readonly #soon = setImmediate(() => this.#begin())
  #waiting = ''
  #beat: NodeJS.Timeout | undefined

  constructor(response: ServerResponse, head: Omit<ClientAnswer, 'body'>) {
    this.#response = response
    this.#head = head
  }

  /** Gives false if the client is to be waited for. */
  write(piece: string): boolean {
    if (this.#beat !== undefined) return this.#response.write(piece)
    this.#waiting += piece
    return this.#waiting.length < MOST_WAITING || this.#begin()
  }

  end(): void {
    if (this.#beat === undefined) writeWhole(this.#response, { ...this.#head, body: this.#waiting })
    else this.#response.end()
  }

  stop(): void {
    clearImmediate(this.#soon)
    clearInterval(this.#beat)
  }

  #begin(): boolean {
    if (this.#beat !== undefined || this.#response.destroyed) return true
    this.#response.writeHead(this.#head.status, this.#head.headers)
    // Between events, since each is written whole; proxies on the way end what is silent for too long.
    this.#beat = setInterval(() => this.#response.write(':\n\n'), HEARTBEAT_MS)
    if (this.#waiting !== '') return this.#response.write(this.#waiting)
    this.#response.flushHeaders()
    return true
  }
}

function writeWhole(
  response: ServerResponse,
  { status, headers, body }: Omit<ClientAnswer, 'body'> & { readonly body: string },
): void {
  const length = status === 204 || status === 304 ? {} : { 'content-length': Buffer.byteLength(body) }
  response.writeHead(status, { ...headers, ...length })
  response.end(body)
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const go = (): void => {
      response.off('drain', go)
      response.off('close', go)
      resolve()
    }
    response.once('drain', go)
    response.once('close', go)
  })
}
