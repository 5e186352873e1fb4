/**
 * The gateway as clients see it over stdio: one message a line. Each line is made into the request that an HTTP client
 * would make, so that everything is decided in the same place.
 */

import { StringDecoder } from 'node:string_decoder'
import type { ClientAnswer, ClientRequest } from './client.js'
import { isModern, nameOf } from './decide.js'
import { type Frame, MAX_FRAME_BYTES, parseFrame } from './frame.js'
import { formatRpcError, RPC_CODES, RpcError, UNAUTHORIZED } from './rpc.js'
import { EventReader } from './sse.js'

const VERSION_META = 'io.modelcontextprotocol/protocolVersion'
/** How long what was asked may go on after a signal to end, and how long the end of a session may take. */
const DRAIN_MS = 8000
const LEAVE_MS = 2000
/** Of one event of an answer, in characters. */
const MAX_EVENT_LENGTH = 16 * 1024 * 1024

type Id = string | number

/** What a stdio front is made of. */
export interface StdioFrontOptions {
  readonly handle: (request: ClientRequest) => Promise<ClientAnswer>
  /** Gives the token of the next request. */
  readonly token: () => Promise<string | undefined>
  readonly input: AsyncIterable<Buffer>
  /** Writes one message, with its line end. */
  readonly write: (line: string) => void
  /** Whether the server may speak before it is asked: its stream is then opened at once. */
  readonly speaksFirst: boolean
}

/** Serves one client until its input ends and what it has asked for is answered. */
export async function serveStdio(options: StdioFrontOptions, end: AbortSignal): Promise<void> {
  const front = new StdioFront(options)
  await front.run(end)
}

interface Running {
  readonly method: string | undefined
  readonly gone: AbortController
}

class StdioFront {
  readonly #options: StdioFrontOptions
  readonly #running = new Map<Id, Running>()
  readonly #cancelled = new Set<Id>()
  readonly #pending = new Set<Promise<void>>()
  readonly #stream = new AbortController()
  #isStreaming = false
  #session: string | undefined
  #version: string | undefined

  constructor(options: StdioFrontOptions) {
    this.#options = options
  }

  async run(end: AbortSignal): Promise<void> {
    if (this.#options.speaksFirst) this.#openStream()
    const ended = new Promise<void>((resolve) => end.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([ended, this.#read()])
    // Nobody listens any more; what else was asked is answered, after a signal only for a while.
    this.#abort(({ method }) => method === 'subscriptions/listen')
    await this.#settle(ended)
    this.#stream.abort()
    if (this.#session === undefined) return
    await this.#send('DELETE', undefined, AbortSignal.timeout(LEAVE_MS)).catch(() => {})
  }

  async #settle(ended: Promise<void>): Promise<void> {
    const settled = Promise.allSettled(this.#pending)
    let timer: NodeJS.Timeout | undefined
    void ended.then(() => {
      timer = setTimeout(() => this.#abort(() => true), DRAIN_MS)
    })
    await settled
    clearTimeout(timer)
  }

  #abort(isMeant: (running: Running) => boolean): void {
    for (const running of this.#running.values()) if (isMeant(running)) running.gone.abort()
  }

  async #read(): Promise<void> {
    for await (const line of readLines(this.#options.input)) {
      if (line === undefined) {
        this.#writeError(new RpcError(RPC_CODES.invalidRequest, 'Invalid Request: the message is over 4 MiB'))
      } else if (line.trim() !== '') {
        await this.#take(line)
      }
    }
  }

  async #take(line: string): Promise<void> {
    let frame: Frame
    try {
      frame = parseFrame(Buffer.from(line))
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      this.#writeError(error)
      return
    }
    const answered = this.#ask(frame)
    this.#pending.add(answered)
    void answered.finally(() => this.#pending.delete(answered))
    // What comes later may depend on it: who the client is, and that it is ready.
    if (frame.method === 'initialize' || frame.kind !== 'request') await answered
  }

  async #ask(frame: Frame): Promise<void> {
    const gone = new AbortController()
    if (frame.kind === 'request' && frame.id !== undefined) this.#running.set(frame.id, { gone, method: frame.method })
    const cancelled = frame.method === 'notifications/cancelled' ? frame.params?.requestId : undefined
    if (this.#running.has(cancelled as Id)) this.#cancelled.add(cancelled as Id)
    try {
      const answer = await this.#send('POST', frame, gone.signal)
      await this.#pass(answer, frame)
    } catch {
      if (!gone.signal.aborted && frame.kind === 'request') {
        this.#write(formatRpcError(RPC_CODES.upstream, 'The answer was cut short', frame.id ?? null))
      }
    } finally {
      if (frame.kind === 'request') this.#forget(frame.id as Id)
    }
    // The server has been told by now.
    if (cancelled !== undefined) this.#running.get(cancelled as Id)?.gone.abort()
    if (frame.method === 'notifications/initialized' && this.#session !== undefined) this.#openStream()
  }

  #forget(id: Id): void {
    this.#running.delete(id)
    this.#cancelled.delete(id)
  }

  async #send(verb: ClientRequest['verb'], frame: Frame | undefined, signal: AbortSignal): Promise<ClientAnswer> {
    return this.#options.handle({
      verb,
      token: await this.#options.token(),
      headers: { ...this.#headers(frame), accept: 'application/json, text/event-stream' },
      signal,
      readBody: async () => Buffer.from(frame?.text ?? ''),
    })
  }

  #headers(frame: Frame | undefined): Record<string, string> {
    const { params, method } = frame ?? {}
    if (frame !== undefined && isModern(params)) {
      const meta = params?._meta as Readonly<Record<string, unknown>>
      const name = nameOf(frame)
      return {
        'mcp-protocol-version': String(meta[VERSION_META]),
        ...(method !== undefined && { 'mcp-method': method }),
        ...(name !== undefined && { 'mcp-name': encodeHeader(name) }),
      }
    }
    return {
      ...(this.#session !== undefined && { 'mcp-session-id': this.#session }),
      ...(this.#version !== undefined && method !== 'initialize' && { 'mcp-protocol-version': this.#version }),
    }
  }

  async #pass({ status, headers, body }: ClientAnswer, frame: Frame): Promise<void> {
    if (frame.method === 'initialize') this.#session = headers['mcp-session-id']
    if (body !== undefined && typeof body !== 'string') return this.#passEvents(body, frame)
    if (body !== undefined && headers['content-type'] === 'text/event-stream') return this.#passEvents([body], frame)
    // Nobody waits for the answer to what was cancelled, and the server may give none.
    if (frame.kind !== 'request' || this.#cancelled.has(frame.id as Id)) return
    const message = body === undefined ? undefined : parseObject(body)
    const isAnswer = message !== undefined && ('result' in message || 'error' in message)
    if (!isAnswer) {
      this.#write(formatRpcError(RPC_CODES.upstream, `The server answered with status ${status}`, frame.id ?? null))
    } else if (message.id === frame.id) {
      this.#learn(frame, message)
      this.#write(body as string)
    } else {
      // Refused before it was read: the answer does not say to what.
      this.#write(JSON.stringify({ ...message, id: frame.id }))
    }
  }

  async #passEvents(body: AsyncIterable<string> | readonly string[], frame: Frame | undefined): Promise<void> {
    const reader = new EventReader(MAX_EVENT_LENGTH)
    for await (const piece of body) {
      for (const { data } of reader.push(Buffer.from(piece))) {
        if (data === '') continue
        if (frame?.method === 'initialize') this.#learn(frame, parseObject(data))
        this.#write(data)
      }
    }
  }

  #learn({ method, id }: Frame, message: Readonly<Record<string, unknown>> | undefined): void {
    const result = message?.result
    if (method !== 'initialize' || message?.id !== id || typeof result !== 'object' || result === null) return
    if ('protocolVersion' in result) this.#version = String(result.protocolVersion)
  }

  /** The server's own messages, where it has a stream for them. */
  #openStream(): void {
    if (this.#isStreaming) return
    this.#isStreaming = true
    const { signal } = this.#stream
    const pump = async (): Promise<void> => {
      const { body } = await this.#send('GET', undefined, signal)
      if (body !== undefined && typeof body !== 'string') await this.#passEvents(body, undefined)
    }
    void pump().catch(() => {})
  }

  #writeError({ code, message, id }: RpcError): void {
    this.#write(formatRpcError(code, message === '' ? UNAUTHORIZED : message, id))
  }

  /** White space between tokens may hold line ends; inside of strings they are escaped. */
  #write(json: string): void {
    this.#options.write(`${json.replace(/[\r\n]+/g, ' ')}\n`)
  }
}

/** Gives the lines; undefined in the place of one that is too long. */
async function* readLines(input: AsyncIterable<Buffer>): AsyncGenerator<string | undefined> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let isTooLong = false
  for await (const chunk of input) {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      yield isTooLong || line.length > MAX_FRAME_BYTES ? undefined : line
      isTooLong = false
    }
    if (rest.length > MAX_FRAME_BYTES) {
      isTooLong = true
      rest = ''
    }
  }
  if (rest !== '') yield isTooLong ? undefined : rest
}

function parseObject(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}

/** Writes a header value that HTTP could not carry as it is (2026-07-28, "Standard Request Headers"). */
function encodeHeader(text: string): string {
  const isPlain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith('=?base64?')
  return isPlain ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`
}
