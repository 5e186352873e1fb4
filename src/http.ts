/**
 * HTTP calls with a credential in their headers, over undici: the only file that imports it, and slow to load, so
 * import this file when a call is really made.
 *
 * A call is bounded in time and bytes, follows no redirect and takes no compressed answer. `postJson` makes one call and
 * ends its connection; an `HttpOrigin` keeps connections for many. Errors are made here from closed words: undici's own
 * carry pieces of the answer, so none is ever attached.
 *
 * @module
 */

import type { IncomingHttpHeaders } from 'node:http'
import type { LookupFunction } from 'node:net'
import { Client, type Dispatcher, errors, Pool } from 'undici'
import { AnswerStream, Refusal } from './answer-stream.js'
import { VaultError } from './errors.js'

const CONNECT_TIMEOUT_MS = 5_000
const CUT_SHORT = 'the answer was cut short'

/** What a call sends and how far it may go. */
export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body: string
  /** For the whole call, from looking up the host to the last byte. */
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** What any other call sends and how far it may go. */
export interface RequestOptions extends Omit<PostOptions, 'body' | 'maxBytes'> {
  readonly method: string
  readonly body: string | undefined
  /** Undefined when only the status matters: the body is then dropped unread. */
  readonly maxBytes?: number
}

/** What came back: header names in lower case, repeated headers joined by a comma. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Whole and unencoded; empty unless the status is 200–299, since other bodies are dropped unread. */
  readonly body: Buffer
}

/**
 * Posts JSON and reads the answer, whatever its status; a redirect is an answer like any other.
 *
 * An answer that ends with its connection, without a length or chunks (RFC 9112 section 6.3), is taken as it is: only
 * its content can tell whether it is complete.
 *
 * @throws {VaultError} UPSTREAM if there is no whole, unencoded answer of at most `maxBytes` within `timeoutMs`.
 */
export function postJson(url: URL, options: PostOptions): Promise<HttpAnswer> {
  const headers = { accept: 'application/json', 'content-type': 'application/json', ...options.headers }
  return sendRequest(url, { ...options, method: 'POST', headers })
}

/**
 * Sends one request, with the query of its address, and reads the answer, whatever its status; a redirect is an answer
 * like any other.
 *
 * @throws {VaultError} UPSTREAM as {@link postJson} does.
 */
export async function sendRequest(url: URL, options: RequestOptions): Promise<HttpAnswer> {
  const client = new Client(url.origin, {
    // Given outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in somebody's environment does not reach a credential.
    connect: { timeout: Math.min(CONNECT_TIMEOUT_MS, options.timeoutMs), rejectUnauthorized: true },
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    void client.destroy()
  }, options.timeoutMs)
  try {
    return await exchange(client, url, options)
  } catch (error) {
    const reason = isLate ? `timed out after ${options.timeoutMs / 1000} s` : reasonOf(error)
    throw new VaultError('UPSTREAM', `cannot call "${url.host}": ${reason}`)
  } finally {
    clearTimeout(timer)
    await client.destroy()
  }
}

async function exchange(client: Client, url: URL, options: RequestOptions): Promise<HttpAnswer> {
  const answer = await client.request({
    method: options.method as Dispatcher.HttpMethod,
    path: url.pathname + url.search,
    headers: { 'accept-encoding': 'identity', 'user-agent': 'mcpvault', ...options.headers },
    body: options.body ?? null,
  })
  const status = answer.statusCode
  const headers = joinRepeated(answer.headers)
  const { maxBytes } = options
  const isRead = status >= 200 && status <= 299 && maxBytes !== undefined
  return { status, headers, body: isRead ? await readBody(answer.body, headers, maxBytes) : Buffer.alloc(0) }
}

async function readBody(
  body: AsyncIterable<Buffer>,
  headers: HttpAnswer['headers'],
  maxBytes: number,
): Promise<Buffer> {
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new Refusal('the answer is compressed although that was not asked for')
  }
  const tooLong = new Refusal(`the answer is longer than ${maxBytes} bytes`)
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLong
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > maxBytes) throw tooLong
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

function joinRepeated(headers: IncomingHttpHeaders): Record<string, string> {
  const joined: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    joined[name] = typeof value === 'string' ? value : [value ?? ''].flat().join(', ')
  }
  return joined
}

/** How an {@link HttpOrigin} connects. */
export interface OriginOptions {
  /** Finds the addresses of the host; to refuse some, give an error. Not asked for a host that is an address. */
  readonly lookup: LookupFunction
  /** How many connections there may be at once. */
  readonly connections: number
}

/** One request to an origin. */
export interface SendOptions {
  readonly method: 'POST' | 'GET' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  /** Until the head of the answer has come. */
  readonly headersTimeoutMs: number
  /** Called when a connection is there and nothing has been written yet; what it throws keeps the request from going. */
  readonly beforeSend: () => void
  readonly signal: AbortSignal
}

/** The head of an answer, and its body as it comes. */
export interface OriginAnswer {
  readonly status: number
  readonly headers: HttpAnswer['headers']
  /** To be read to its end or cancelled. Fails with {VaultError} UPSTREAM if it is cut short. */
  readonly body: AnswerStream
}

/** Connections to one origin, kept for the next request. */
export class HttpOrigin {
  readonly #pool: Pool
  readonly #host: string

  constructor(origin: URL, { lookup, connections }: OriginOptions) {
    this.#host = origin.host
    this.#pool = new Pool(origin.origin, {
      connections,
      connect: { timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: true, lookup },
      bodyTimeout: 0,
    })
  }

  /**
   * Sends a request and gives the head of its answer, whatever its status.
   *
   * @throws {VaultError} UPSTREAM if there is none; `cause` is {@link NotSent} if nothing of the request was sent. And
   * what `beforeSend` throws.
   */
  send(options: SendOptions): Promise<OriginAnswer> {
    const { method, path, headers, body, headersTimeoutMs } = options
    return new Promise((resolve, reject) => {
      const exchange = new OriginExchange(this.#host, options, { resolve, reject })
      this.#pool.dispatch({ method, path, headers, body: body ?? null, headersTimeout: headersTimeoutMs }, exchange)
    })
  }

  /** Lets requests end, and after `graceMs` ends what is left. */
  async close(graceMs: number): Promise<void> {
    if (this.#pool.destroyed) return
    const timer = setTimeout(() => void this.#pool.destroy(), graceMs)
    await this.#pool.close()
    clearTimeout(timer)
  }
}

/** Marks a failure before the first byte: the request may be made again without being made twice. */
export class NotSent extends Error {}

interface Settle {
  readonly resolve: (answer: OriginAnswer) => void
  readonly reject: (reason: unknown) => void
}

class OriginExchange implements Dispatcher.DispatchHandler {
  readonly #host: string
  readonly #options: SendOptions
  readonly #settle: Settle
  #refusal: unknown
  #stream: AnswerStream | undefined
  #wasSent = false
  #forget = (): void => {}

  constructor(host: string, options: SendOptions, settle: Settle) {
    this.#host = host
    this.#options = options
    this.#settle = settle
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { signal, beforeSend } = this.#options
    try {
      if (signal.aborted) throw new Refusal('cancelled')
      beforeSend()
    } catch (error) {
      this.#refusal = error
      throw error
    }
    this.#wasSent = true
    const abort = (): void => controller.abort(new Refusal('cancelled'))
    signal.addEventListener('abort', abort, { once: true })
    this.#forget = () => signal.removeEventListener('abort', abort)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#stream = new AnswerStream(controller)
    this.#settle.resolve({ status, headers: joinRepeated(headers), body: this.#stream })
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#stream?.push(chunk)
  }

  onResponseEnd(): void {
    this.#forget()
    this.#stream?.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#forget()
    const cause = this.#wasSent ? {} : { cause: new NotSent('nothing was sent') }
    const reason = reasonOf(error)
    const failure =
      this.#refusal !== undefined && !(this.#refusal instanceof Refusal)
        ? this.#refusal
        : new VaultError('UPSTREAM', `cannot call "${this.#host}": ${reason}`, cause)
    if (this.#stream === undefined) this.#settle.reject(failure)
    else this.#stream.end(failure)
  }
}

/** Names a failure in closed words: members of undici's errors (`data`) hold bytes of the answer. */
function reasonOf(error: unknown): string {
  if (error instanceof Refusal) return error.message
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return 'it did not answer in time'
  if (code === 'MCPVAULT_PRIVATE_ADDRESS') return 'its address is private, and the configuration does not name it'
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return `could not connect within ${CONNECT_TIMEOUT_MS / 1000} s`
  if (/^(ENOTFOUND|EAI_[A-Z]+)$/.test(code)) return `could not find the host (${code})`
  if (/^(ECONNREFUSED|E(HOST|NET)(UNREACH|DOWN)|ETIMEDOUT|EADDRNOTAVAIL|EACCES|EPERM)$/.test(code)) {
    return `could not connect (${code})`
  }
  if (/^(UND_ERR_SOCKET|ECONNRESET|EPIPE|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/.test(code)) {
    return CUT_SHORT
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'the headers of the answer are too long'
  if (error instanceof errors.HTTPParserError) {
    // The parser's errors have no usable code; its "Invalid EOF state" is the end of the connection within a chunk.
    return error.message.includes('EOF') ? CUT_SHORT : 'the answer was not valid HTTP'
  }
  if (/^[A-Z_]*CERT[A-Z_]*$|^UNABLE_TO_[A-Z_]+$|^HOSTNAME_MISMATCH$/.test(code)) {
    return `the TLS certificate was not accepted (${code})`
  }
  if (/^(EPROTO|ERR_(SSL|TLS)_[A-Z0-9_]+)$/.test(code)) return `TLS could not be set up (${code})`
  return 'the call failed'
}
