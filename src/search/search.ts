/**
 * The Scavio Search API: one call with the credential in a header, and an answer in which the credential is not.
 *
 * Whoever calls has checked the token and loaded the credential. Nothing that the upstream says reaches an error but its
 * status and a well-formed Retry-After, and what it answers is scrubbed of the credential before it is handed on.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer'
import { VaultError, type VaultErrorOptions } from '../errors.js'
import type { HttpAnswer } from '../http.js'
import { createRedactor } from '../redact/forms.js'
import type { Secret } from '../secret.js'
import { DEFAULT_RESULTS, MOST_RESULTS } from './definition.js'
import { redactJson } from './redact-json.js'

/** The credential that the API is called with. */
export const SEARCH_CREDENTIAL = 'scavio_api_key'

const DEFAULT_BASE_URL = 'https://api.scavio.dev'
const PATH = '/api/v1/search'
const TIMEOUT_MS = 15_000
const MAX_BYTES = 10 * 1024 * 1024

/** One result; a member that the API left out is empty. */
export interface SearchResult {
  readonly title: string
  readonly url: string
  readonly snippet: string
}

/** The API's answer, read and as it came, both without the credential. */
export interface SearchAnswer {
  readonly results: readonly SearchResult[]
  /** The API's JSON text, unchanged unless it held the credential. */
  readonly body: string
}

/** How to search. */
export interface SearchOptions {
  /** Not wiped here: the caller owns it. */
  readonly credential: Secret
  /** From {@link parseBaseUrl}. */
  readonly baseUrl: URL
  /** 1–20; 5 unless told. */
  readonly numResults?: number | undefined
  /** 15 s unless told. */
  readonly timeoutMs?: number | undefined
  /** 10 MiB unless told. */
  readonly maxBytes?: number | undefined
  /** Told when the answer held the credential; it is out of it by then. */
  readonly onLeak?: (() => void) | undefined
}

/** The cause of an error that says that the API does not take the credential. */
export class CredentialRefused extends Error {}

/**
 * Searches the web.
 *
 * @throws {VaultError} INPUT if the query, the number of results or the credential cannot be sent; UPSTREAM if the API
 * cannot be reached, refuses, or answers with anything but a whole JSON object that has a list of results.
 */
export async function search(query: string, options: SearchOptions): Promise<SearchAnswer> {
  const { credential, baseUrl, numResults = DEFAULT_RESULTS } = options
  checkSearch(query, { credential, numResults })
  const headers = { 'x-api-key': headerValue(credential) }
  const url = new URL(baseUrl)
  url.pathname = baseUrl.pathname.replace(/\/+$/, '') + PATH
  // Loaded here, so that a refused search does not pay for loading undici.
  const { postJson } = await import('../http.js')
  const answer = await postJson(url, {
    headers,
    body: JSON.stringify({ query, num_results: numResults }),
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    maxBytes: options.maxBytes ?? MAX_BYTES,
  })
  if (answer.status !== 200) throw refusal(answer, url.host, createRedactor([credential]))
  return readAnswer(answer.body, url.host, watch(createRedactor([credential]), options.onLeak))
}

/** Tells when a redactor takes something out. */
function watch(redact: (text: string) => string, onLeak: (() => void) | undefined): (text: string) => string {
  if (onLeak === undefined) return redact
  return (text) => {
    const clean = redact(text)
    if (clean !== text) onLeak()
    return clean
  }
}

/**
 * Reads the base of the API's addresses, `https://api.scavio.dev` when it is undefined or empty.
 *
 * @throws {VaultError} INPUT if it is not https, or http on loopback, or has a user name, a query or a fragment. The
 * text is not repeated: people put passwords there.
 */
export function parseBaseUrl(text: string | undefined): URL {
  const source = text || DEFAULT_BASE_URL
  // URL would bend white space and backslashes into shape, and drops an empty query or user name.
  const url = /^https?:\/\/[^\s\\?#@]+$/i.test(source) ? parseUrl(source) : undefined
  const isAllowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  if (url === undefined || !isAllowed) {
    throw new VaultError(
      'INPUT',
      'cannot use the base address of the search API: it is not https, or http on loopback',
      {
        hints: [
          'SCAVIO_BASE_URL is https://HOST or http://127.0.0.1:PORT, without user name, query and fragment',
          'unset SCAVIO_BASE_URL',
        ],
      },
    )
  }
  return url
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}

/** Takes a host as URL normalises it: every spelling of an IPv4 address has become four decimal numbers. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/**
 * Holds that a search can be sent, before anything is spent on it.
 *
 * @throws {VaultError} INPUT if the query, the number of results or the credential cannot be sent.
 */
export function checkSearch(
  query: string,
  { credential, numResults = DEFAULT_RESULTS }: Pick<SearchOptions, 'credential' | 'numResults'>,
): void {
  if (query.trim() === '') throw new VaultError('INPUT', 'cannot search: the query is empty')
  if (!Number.isInteger(numResults) || numResults < 1 || numResults > MOST_RESULTS) {
    throw new VaultError('INPUT', `cannot search: the number of results is a whole number from 1 to ${MOST_RESULTS}`)
  }
  headerValue(credential)
}

function headerValue(credential: Secret): string {
  const text = credential.revealText()
  if (text === undefined || !/^[\x21-\x7e]+$/.test(text)) {
    const reason = 'a header takes visible ASCII characters, without spaces and line ends'
    throw new VaultError('INPUT', `cannot send the credential "${SEARCH_CREDENTIAL}": ${reason}`, {
      hints: [`mcpvault rotate ${SEARCH_CREDENTIAL}`],
    })
  }
  return text
}

function readAnswer(bytes: Buffer, host: string, redact: (text: string) => string): SearchAnswer {
  const text = isUtf8(bytes) ? bytes.toString('utf8') : undefined
  const parsed = text === undefined ? undefined : parseJson(text)
  if (text === undefined || parsed === undefined) throw upstream(host, 'the answer is not JSON')
  const results = member(parsed, 'results')
  if (!Array.isArray(results)) throw upstream(host, 'the answer has no list of results')
  const body = redactJson(text, redact)
  if (body === undefined) throw upstream(host, 'the answer repeats the credential')
  return { results: results.map((result) => readResult(result, redact)), body }
}

function readResult(result: unknown, redact: (text: string) => string): SearchResult {
  const text = (name: string): string => {
    const value = member(result, name)
    return typeof value === 'string' ? redact(value) : ''
  }
  return { title: text('title'), url: text('url'), snippet: text('snippet') }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse quotes its input.
    return undefined
  }
}

/** Says what came instead of results. */
function refusal(answer: HttpAnswer, host: string, redact: (text: string) => string): VaultError {
  const { status } = answer
  if (status === 401 || status === 403) {
    return upstream(host, `it refused the credential "${SEARCH_CREDENTIAL}" (status ${status})`, {
      hints: [`mcpvault rotate ${SEARCH_CREDENTIAL}`],
      cause: new CredentialRefused(),
    })
  }
  if (status === 429) {
    const wait = retryAfter(answer.headers['retry-after'])
    const words = wait === undefined ? '' : `; it asks to wait ${redact(wait)}`
    return upstream(host, `it takes no more calls for now (status 429)${words}`)
  }
  if (status >= 300 && status <= 399) {
    return upstream(host, `it answered with a redirect (status ${status}), and redirects are not followed`, {
      hints: ['SCAVIO_BASE_URL has to name the host that answers'],
    })
  }
  return upstream(host, `it answered with status ${status}`)
}

/** Reads Retry-After (RFC 9110 section 10.2.3), or undefined when it is something else. */
function retryAfter(value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,6}$/.test(value)) return `${value} s`
  return /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(value) ? `until ${value}` : undefined
}

function upstream(host: string, reason: string, options?: VaultErrorOptions): VaultError {
  return new VaultError('UPSTREAM', `cannot call "${host}": ${reason}`, options)
}
