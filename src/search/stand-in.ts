/**
 * A stand-in for the Scavio Search API on loopback, for `mcpvault demo` and for tests: a real HTTP server that checks
 * the key and answers the same query with the same results every time.
 *
 * @module
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const MAX_BODY_BYTES = 64 * 1024
const MOST_RESULTS = 20

/** Works like a small library: one title, address and snippet a row, `%` standing for the query. */
const PAGES: readonly (readonly [title: string, path: string, snippet: string])[] = [
  [
    '%: an introduction',
    'introduction',
    'What it is, where it came from, and the three words to know before reading on.',
  ],
  ['A field guide to %', 'field-guide', 'Notes from people who use it every day, with the mistakes they made first.'],
  ['% in practice', 'in-practice', 'A worked example from an empty folder to something that runs.'],
  [
    'Frequently asked questions about %',
    'questions',
    'Short answers to what is asked most, and links to the long ones.',
  ],
  ['The history of %', 'history', 'How it changed over the years, and why the old ways are still around.'],
]

/** How to run a stand-in. */
export interface StandInOptions {
  /** Tells whether a request's `x-api-key` is good; asked anew at each request, so a rotation counts at once. */
  readonly accepts: (apiKey: string) => boolean
}

/** A running stand-in. */
export interface StandIn {
  /** `http://127.0.0.1:PORT`. */
  readonly baseUrl: string
  /** How many requests it has had, refused ones too. */
  calls(): number
  /** Ends it at once, open connections included. */
  close(): Promise<void>
}

/** Starts a stand-in on a free port of 127.0.0.1. */
export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  let calls = 0
  const server = createServer((request, response) => {
    calls += 1
    answer(request, options).then(
      ({ status, body }) => send(response, status, body),
      // The caller hung up in the middle of its request.
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    calls: () => calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

async function answer(request: IncomingMessage, options: StandInOptions): Promise<Answer> {
  const bytes = await readBody(request)
  if (request.method !== 'POST' || request.url !== '/api/v1/search')
    return { status: 404, body: { error: 'not found' } }
  const apiKey = request.headers['x-api-key']
  if (typeof apiKey !== 'string' || !options.accepts(apiKey)) {
    return { status: 401, body: { error: 'invalid API key' } }
  }
  const search = bytes === undefined ? undefined : parseSearch(bytes.toString('utf8'))
  if (search === undefined) return { status: 400, body: { error: 'expected {"query":"…","num_results":1-20}' } }
  return { status: 200, body: { results: resultsFor(search) } }
}

/** Reads a request's body to its end; undefined when it is too long. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    // Read on but keep nothing: a caller that is still sending would not see an early answer.
    if (length <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  return length <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined
}

interface Search {
  readonly query: string
  readonly count: number
}

function parseSearch(text: string): Search | undefined {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof body !== 'object' || body === null) return undefined
  const { query, num_results: count = 5 } = body as { readonly query?: unknown; readonly num_results?: unknown }
  if (typeof query !== 'string' || query.trim() === '') return undefined
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 1 || count > MOST_RESULTS) return undefined
  return { query, count }
}

function resultsFor({ query, count }: Search): readonly Readonly<Record<string, string>>[] {
  const slug = encodeURIComponent(query.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-'))
  return Array.from({ length: count }, (_, index) => {
    const [title, path, snippet] = PAGES[index % PAGES.length] ?? ['%', '', '']
    const part = Math.floor(index / PAGES.length) + 1
    return {
      // A function, since a query may hold the patterns that replace() knows, such as $&.
      title: title.replace('%', () => query) + (part > 1 ? `, part ${part}` : ''),
      url: `https://example.com/${slug}/${path}${part > 1 ? `/${part}` : ''}`,
      snippet,
    }
  })
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
