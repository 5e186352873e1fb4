/** An MCP server at a URL: like is fronted with like, message by message, with the credential put in. */

import { setTimeout as wait } from 'node:timers/promises'
import { VaultError } from '../errors.js'
import type { AnswerStream } from '../answer-stream.js'
import { HttpOrigin, NotSent, type OriginAnswer } from '../http.js'
import { createLookup } from './addresses.js'
import { decodeBody, MAX_ANSWER_BYTES, readBody, tooLong } from './answer-body.js'
import type { HttpUpstreamConfig } from './config.js'
import type { CredentialLoader, LeakListener, Lease } from './credentials.js'
import type { RequestId } from './rpc.js'
import { EventReader } from './sse.js'
import { fillTemplate, type Template } from './template.js'
import type { CredentialUse, ServerEvent, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.js'

const MOST_CONNECTIONS = 256
const MOST_RETRIES = 2
const FIRST_PAUSE_MS = 200
const LONGEST_RETRY_AFTER_SECONDS = 60
/** Answers of an upstream that a client can make something of. */
const ANSWER_HEADERS = ['mcp-session-id', 'mcp-protocol-version', 'retry-after', 'cache-control', 'allow']
/** What may be asked twice: it changes nothing. */
const SAFE_METHOD = /^(?:ping|server\/discover|completion\/complete|resources\/read|prompts\/get|.+\/list)$/

/** Takes the versions that a request is made with once more, and its id. */
export type RetryListener = (uses: readonly CredentialUse[], request: RequestId | undefined) => void

/** What an HTTP upstream needs beside its configuration. */
export interface HttpUpstreamParts {
  readonly loader: Pick<CredentialLoader, 'uses' | 'lease' | 'leaseOther'>
  readonly onLeak: LeakListener
  /** Told before a request is made once more, with other versions than were meant; what it throws keeps it from going. */
  readonly onRetry: RetryListener
}

/** Relays to an MCP server that speaks Streamable HTTP. */
export class HttpUpstream implements Upstream {
  readonly name: string
  readonly place: string
  readonly #config: HttpUpstreamConfig
  readonly #parts: HttpUpstreamParts
  readonly #origin: HttpOrigin

  constructor(config: HttpUpstreamConfig, parts: HttpUpstreamParts) {
    this.name = config.name
    this.place = config.url.host
    this.#config = config
    this.#parts = parts
    this.#origin = new HttpOrigin(config.url, {
      lookup: createLookup(config.allowsPrivate),
      connections: MOST_CONNECTIONS,
    })
  }

  get allTools(): readonly string[] {
    return [`${this.name}/*`]
  }

  tokenTool(tool: string): string {
    return `${this.name}/${tool}`
  }

  credentials(): readonly CredentialUse[] {
    return this.#parts.loader.uses(this.#config.credentials)
  }

  async exchange(request: UpstreamRequest): Promise<UpstreamAnswer> {
    let lease = this.#lease()
    try {
      let answer = await this.#send(request, lease)
      if (isRefusedCredential(answer)) {
        answer.body.cancel()
        const other = this.#otherLease(lease, request)
        if (other !== undefined) {
          lease.release()
          lease = other
          answer = await this.#send(request, lease)
        }
      }
      return await this.#take(answer, { request, lease })
    } catch (error) {
      lease.release()
      throw error
    }
  }

  /** Puts the credentials into the headers once and forgets them. @throws {VaultError} if they cannot be sent */
  rehearse(): void {
    const lease = this.#lease()
    try {
      for (const [name, template] of this.#config.headers) headerValue(name, template, lease)
    } finally {
      lease.release()
    }
  }

  async close(graceMs: number): Promise<void> {
    await this.#origin.close(graceMs)
  }

  #lease(): Lease {
    const { loader, onLeak } = this.#parts
    return loader.lease(this.#config.credentials, { onLeak })
  }

  #otherLease(lease: Lease, { frame }: UpstreamRequest): Lease | undefined {
    const { loader, onLeak, onRetry } = this.#parts
    return loader.leaseOther(this.#config.credentials, lease, { onLeak, onChosen: (uses) => onRetry(uses, frame?.id) })
  }

  async #send(request: UpstreamRequest, lease: Lease): Promise<OriginAnswer> {
    for (let retry = 0; ; retry += 1) {
      try {
        const answer = await this.#sendOnce(request, lease)
        const pauseMs = retry < MOST_RETRIES ? retryPauseMs(answer, { request, retry }) : undefined
        if (pauseMs === undefined) return answer
        answer.body.cancel()
        await wait(pauseMs, undefined, { signal: request.signal })
      } catch (error) {
        const mayRetry = error instanceof VaultError && error.cause instanceof NotSent && !request.signal.aborted
        if (!mayRetry || retry >= MOST_RETRIES) throw error
        await wait(FIRST_PAUSE_MS * 2 ** retry, undefined, { signal: request.signal })
      }
    }
  }

  #sendOnce(request: UpstreamRequest, lease: Lease): Promise<OriginAnswer> {
    const { url, headers, headersTimeoutMs } = this.#config
    const sent: Record<string, string> = { ...request.headers, 'accept-encoding': 'identity', 'user-agent': 'mcpvault' }
    if (request.frame !== undefined) sent['content-type'] = 'application/json'
    for (const [name, template] of headers) sent[name] = headerValue(name, template, lease)
    return this.#origin.send({
      method: request.verb,
      path: `${url.pathname}${url.search}`,
      headers: sent,
      body: request.frame?.text,
      headersTimeoutMs,
      beforeSend: () => request.checkAgain(),
      signal: request.signal,
    })
  }

  async #take(
    answer: OriginAnswer,
    { request, lease }: { readonly request: UpstreamRequest; readonly lease: Lease },
  ): Promise<UpstreamAnswer> {
    const { status } = answer
    const failure = refusalOf(answer)
    if (failure !== undefined) {
      answer.body.cancel()
      throw new VaultError('UPSTREAM', `cannot call "${this.place}": ${failure}`)
    }
    const headers = pickHeaders(answer, lease)
    const type = answer.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
    const encoding = answer.headers['content-encoding']
    // Small answers mostly come in one piece with their head: they need no stream, no timer and no waiting.
    const whole = encoding === undefined ? answer.body.takeWhole() : undefined
    if (whole !== undefined && whole.length > MAX_ANSWER_BYTES) throw tooLong(this.place)
    const body = whole ?? decodeBody(answer.body, encoding, this.place)
    if (type === 'text/event-stream' && status < 300) {
      if (body instanceof Uint8Array) {
        const events = this.#readEvents(new EventReader(MAX_ANSWER_BYTES), body, lease)
        lease.release()
        return { status, headers, body: { type: 'events', events } }
      }
      // Only what the server says by itself may stay silent for long.
      const isOpenEnded = request.verb === 'GET' || request.frame?.method === 'subscriptions/listen'
      const events = this.#events(body, { lease, limited: isOpenEnded ? undefined : answer.body })
      return { status, headers, body: { type: 'events', events } }
    }
    const bytes = body instanceof Uint8Array ? body : await this.#readInTime(body, answer.body)
    const text = bytes.toString('utf8')
    try {
      if (text === '') return { status, headers, body: { type: 'none' } }
      if (type === 'application/json') {
        if (!isJson(text)) throw new VaultError('UPSTREAM', `cannot call "${this.place}": the answer is not JSON`)
        return { status, headers, body: { type: 'message', text: lease.redactMessage(text) } }
      }
      // Shown as text whatever it is: the page of a broken proxy must not become a page of ours.
      return { status, headers, body: { type: 'other', text: lease.redactText(text), contentType: 'text/plain' } }
    } finally {
      lease.release()
    }
  }

  async #readInTime(body: AsyncIterable<Buffer>, stream: AnswerStream): Promise<Buffer> {
    const { totalTimeoutMs } = this.#config
    const late = (): void => stream.cancel(`it did not end within ${totalTimeoutMs / 1000} s`)
    const timer = setTimeout(late, totalTimeoutMs)
    try {
      return await readBody(body, this.place)
    } finally {
      clearTimeout(timer)
    }
  }

  #limitSilence(stream: AnswerStream): NodeJS.Timeout {
    const { totalTimeoutMs } = this.#config
    return setTimeout(() => stream.cancel(`it said nothing for ${totalTimeoutMs / 1000} s`), totalTimeoutMs)
  }

  /** @param limited what is cancelled when it is silent for too long. */
  async *#events(
    body: AsyncIterable<Buffer>,
    { lease, limited }: { readonly lease: Lease; readonly limited: AnswerStream | undefined },
  ): AsyncGenerator<ServerEvent> {
    const timer = limited && this.#limitSilence(limited)
    const reader = new EventReader(MAX_ANSWER_BYTES)
    try {
      for await (const chunk of body) {
        timer?.refresh()
        yield* this.#readEvents(reader, chunk, lease)
      }
    } finally {
      clearTimeout(timer)
      lease.release()
    }
  }

  /** Gives the events that a chunk completes, without any value of the credentials. */
  #readEvents(reader: EventReader, chunk: Buffer, lease: Lease): readonly ServerEvent[] {
    const redact = (text: string | undefined): string | undefined => text && lease.redactText(text)
    return this.#read(reader, chunk).map(({ data, id, event, retry }) => {
      return { data: data === '' ? data : lease.redactMessage(data), id: redact(id), event: redact(event), retry }
    })
  }

  #read(reader: EventReader, chunk: Buffer): readonly ServerEvent[] {
    try {
      return reader.push(chunk)
    } catch {
      throw new VaultError('UPSTREAM', `cannot call "${this.place}": an event is over 10 MiB`)
    }
  }
}

/** What is not plain ASCII is written in several ways, and white space at the ends is dropped on the way. */
function headerValue(name: string, template: Template, lease: Lease): string {
  const value = fillTemplate(template, lease)
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)) return value
  throw new VaultError('INPUT', `cannot send the header "${name}": it takes visible ASCII characters`, {
    hints: ['the credential in it may have a line end, a space at its end or letters beyond ASCII'],
  })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function isRefusedCredential({ status }: OriginAnswer): boolean {
  return status === 401 || status === 403
}

/** What of an answer cannot be handed on: a client would take it for an answer to its own token. */
function refusalOf(answer: OriginAnswer): string | undefined {
  const { status } = answer
  if (isRefusedCredential(answer)) return `it refused the credential (status ${status})`
  if (status >= 300 && status <= 399)
    return `it answered with a redirect (status ${status}), and those are not followed`
  return undefined
}

function pickHeaders({ headers }: OriginAnswer, lease: Lease): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of ANSWER_HEADERS) {
    const value = headers[name]
    if (value !== undefined) picked[name] = lease.redactText(value)
  }
  return picked
}

/** How long to wait before asking again; undefined if the answer is to be taken as it is. */
function retryPauseMs(
  { status, headers }: OriginAnswer,
  { request, retry }: { readonly request: UpstreamRequest; readonly retry: number },
): number | undefined {
  const isSafe = request.verb === 'GET' || SAFE_METHOD.test(request.frame?.method ?? '')
  // 429 says that nothing was done; of the others only what changes nothing may be asked again.
  if (status !== 429 && !(isSafe && (status === 502 || status === 503 || status === 504))) return undefined
  const after = headers['retry-after']
  if (after === undefined) return status === 429 ? undefined : FIRST_PAUSE_MS * 2 ** retry
  const seconds = /^\d{1,4}$/.test(after) ? Number(after) : Number.NaN
  return seconds <= LONGEST_RETRY_AFTER_SECONDS ? seconds * 1000 : undefined
}
