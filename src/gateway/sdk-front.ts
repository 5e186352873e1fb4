/**
 * Upstreams that do not speak HTTP themselves, answered by the SDK's server in both eras of the protocol: with sessions
 * or without, each request gets a server of its own.
 */

import { createMcpHandler, type McpHttpHandler, Server, type ServerOptions } from '@modelcontextprotocol/server'
import { MAX_ANSWER_BYTES } from './answer-body.js'
import { EventReader } from './sse.js'
import type { ServerEvent, UpstreamAnswer, UpstreamRequest } from './upstream.js'

/** Where the handler believes to be; nobody connects to it. */
const ADDRESS = 'http://gateway.invalid/mcp'
/** The gateway's own front keeps streams awake. */
const NO_HEARTBEAT = 0

/** Answers requests that the gateway has accepted. */
export class SdkFront {
  readonly #handler: McpHttpHandler

  /** @param report told what the SDK could not do; nothing of a message is in it. */
  constructor(report: (error: unknown) => void) {
    this.#handler = createMcpHandler(serverOf, { keepAliveMs: NO_HEARTBEAT, onerror: report })
  }

  /** Tells clients that listen which list has changed. */
  get notify(): McpHttpHandler['notify'] {
    return this.#handler.notify
  }

  /**
   * Answers a request with a server that is made for it.
   *
   * @param failed gives what kept the server from answering, for the gateway to explain, if something did.
   */
  async exchange(
    { verb, frame, headers, signal }: UpstreamRequest,
    server: Server,
    failed: () => unknown,
  ): Promise<UpstreamAnswer> {
    const own = frame === undefined ? {} : { 'content-type': 'application/json' }
    const body = frame === undefined ? {} : { body: frame.text }
    const request = new Request(ADDRESS, { method: verb, headers: { ...headers, ...own }, signal, ...body })
    const authInfo = { token: '', clientId: '', scopes: [], extra: { server } }
    const response = await this.#handler.fetch(request, { authInfo })
    const answer = await takeResponse(response, frame?.id)
    const failure = failed()
    if (failure !== undefined && answer.body.type === 'message') throw failure
    return answer
  }

  async close(): Promise<void> {
    await this.#handler.close()
  }
}

/** The handler makes a server a request; ours comes along with the request. */
function serverOf({
  authInfo,
}: {
  readonly authInfo?: { readonly extra?: Readonly<Record<string, unknown>> }
}): Server {
  const server = authInfo?.extra?.server
  if (!(server instanceof Server)) throw new Error('a request came without its server')
  return server
}

/** Makes a server for one request. What it answers is what it is given: it checks no schema of a tool. */
export function createServer(
  info: { readonly name: string; readonly version: string },
  options: ServerOptions,
): Server {
  return new Server(info, { ...options, jsonSchemaValidator: UNCHECKED })
}

const UNCHECKED: NonNullable<ServerOptions['jsonSchemaValidator']> = {
  getValidator:
    <T>() =>
    (data: unknown) => ({ valid: true, data: data as T & {}, errorMessage: undefined }),
}

async function takeResponse(response: Response, id: string | number | undefined): Promise<UpstreamAnswer> {
  const { status } = response
  const headers = pickHeaders(response.headers)
  const type = response.headers.get('content-type')?.split(';', 1)[0]
  if (response.body === null) return { status, headers, body: { type: 'none' } }
  if (type !== 'text/event-stream') {
    const text = await response.text()
    if (text === '') return { status, headers, body: { type: 'none' } }
    return { status, headers, body: { type: 'message', text } }
  }
  const events = readEvents(response.body)
  const first = await events.next()
  if (first.done === true) return { status, headers, body: { type: 'none' } }
  // A stream of the answer alone is a message, which every client takes.
  if (isAnswer(first.value.data, id)) {
    await events.return(undefined)
    return { status, headers, body: { type: 'message', text: first.value.data } }
  }
  return { status, headers, body: { type: 'events', events: resume(first.value, events) } }
}

function pickHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    ['mcp-protocol-version', 'allow'].flatMap((name) => {
      const value = headers.get(name)
      return value === null ? [] : [[name, value]]
    }),
  )
}

function isAnswer(json: string, id: string | number | undefined): boolean {
  if (id === undefined || json === '') return false
  const message: unknown = JSON.parse(json)
  const isObject = typeof message === 'object' && message !== null
  return isObject && 'id' in message && message.id === id && ('result' in message || 'error' in message)
}

async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, undefined> {
  const reader = new EventReader(MAX_ANSWER_BYTES)
  for await (const chunk of body) yield* reader.push(Buffer.from(chunk))
  return undefined
}

async function* resume(first: ServerEvent, rest: AsyncIterable<ServerEvent>): AsyncGenerator<ServerEvent> {
  yield first
  yield* rest
}
