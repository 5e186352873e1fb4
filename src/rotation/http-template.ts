import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'

/** Stands for the value in a template. */
export const PLACEHOLDER = '{{value}}'

/**
 * A request that tries a value, as a JSON object in a file:
 * `{"method":"GET","url":"https://api.example/v1/me","headers":{"authorization":"Bearer {{value}}"},"body":…,"status":200}`.
 *
 * A body that is a text is sent as it stands, any other JSON as JSON; `status` is one number or a list.
 */
export interface HttpTemplate {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
  readonly status: readonly number[]
}

/** A request that is ready to be sent; it holds the value. */
export interface FilledRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const MEMBERS = ['method', 'url', 'headers', 'body', 'status']
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const HEADER_TEXT = /^[\t\x20-\x7e]*$/
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** What the connection itself decides. */
const OWN_HEADERS = /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer)$/i

/**
 * Reads a template.
 *
 * @throws {VaultError} INPUT saying what is wrong, without repeating the text.
 */
export function parseTemplate(text: string): HttpTemplate {
  const template = parseObject(text)
  const strange = Object.keys(template).find((name) => !MEMBERS.includes(name))
  if (strange !== undefined) throw wrong(`it has a member that is none of ${MEMBERS.join(', ')}`)
  const { method = 'GET', url, headers = {}, body, status = 200 } = template
  if (typeof method !== 'string' || !METHODS.includes(method))
    throw wrong(`the method is none of ${METHODS.join(', ')}`)
  if (typeof url !== 'string') throw wrong('it has no url')
  const read = { method, url, headers: readHeaders(headers), body, status: readStatus(status) }
  // A probe that does not send the value proves nothing.
  if (!JSON.stringify(read).includes(PLACEHOLDER)) throw wrong(`${PLACEHOLDER} stands nowhere in it`)
  checkUrl(url)
  if (body !== undefined && (method === 'GET' || method === 'HEAD')) throw wrong(`a ${method} request has no body`)
  return read
}

/**
 * Puts a value into a template: escaped in the address and in JSON, as it is in headers and in a body of text.
 *
 * @throws {VaultError} INPUT if the value cannot be sent that way.
 */
export function fillTemplate(template: HttpTemplate, value: Secret): FilledRequest {
  const text = value.revealText()
  if (text === undefined) throw new VaultError('INPUT', 'the value is not UTF-8, and cannot be put into a template')
  const put = (into: string): string => into.replaceAll(PLACEHOLDER, () => text)
  const headers = Object.fromEntries(Object.entries(template.headers).map(([name, text]) => [name, put(text)]))
  if (Object.values(headers).some((header) => !HEADER_TEXT.test(header))) {
    throw new VaultError('INPUT', 'the value cannot be sent in a header, which takes visible ASCII characters')
  }
  const url = new URL(template.url.replaceAll(PLACEHOLDER, () => encodeURIComponent(text)))
  const { body } = template
  if (body === undefined || typeof body === 'string') {
    return { method: template.method, url, headers, body: body === undefined ? undefined : put(body) }
  }
  return {
    method: template.method,
    url,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(fillJson(body, put)),
  }
}

function fillJson(json: unknown, put: (text: string) => string): unknown {
  if (typeof json === 'string') return put(json)
  if (Array.isArray(json)) return json.map((element) => fillJson(element, put))
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(Object.entries(json).map(([name, member]) => [name, fillJson(member, put)]))
}

function readHeaders(headers: unknown): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) throw wrong('headers is no object')
  const read = new Map<string, string>()
  for (const [spelled, value] of Object.entries(headers)) {
    const name = spelled.toLowerCase()
    if (!HEADER_NAME.test(name)) throw wrong('a header has a name that HTTP does not allow')
    if (OWN_HEADERS.test(name)) throw wrong(`the header "${name}" is made by the connection`)
    if (read.has(name)) throw wrong(`the header "${name}" is given twice`)
    if (typeof value !== 'string' || !HEADER_TEXT.test(value)) {
      throw wrong(`the header "${name}" is not a text of visible ASCII characters`)
    }
    read.set(name, value)
  }
  return Object.fromEntries(read)
}

function readStatus(status: unknown): readonly number[] {
  const list: readonly unknown[] = Array.isArray(status) ? status : [status]
  const isStatus = (one: unknown): one is number => Number.isInteger(one) && Number(one) >= 200 && Number(one) <= 599
  if (list.length === 0 || !list.every(isStatus))
    throw wrong('status is no number from 200 to 599, and no list of them')
  if (list.some((one) => one >= 300 && one <= 399)) throw wrong('status is a redirect, and redirects are not followed')
  return list
}

/** The value may stand in the path or the query, never in what decides where it is sent. */
function checkUrl(text: string): void {
  const sample = text.replaceAll(PLACEHOLDER, 'x')
  const isWellFormed = /^https?:\/\/[^\s\\/?#@]+(\/[^\s\\#]*)?$/i.test(sample) && URL.canParse(sample)
  const origin = /^[^/]*\/\/[^/?#]*/.exec(text)?.[0] ?? ''
  if (!isWellFormed || origin.includes(PLACEHOLDER) || /[{}]/.test(origin)) {
    throw wrong('the url is not https://HOST/PATH, or has a user name or a fragment')
  }
  const { protocol, hostname } = new URL(sample)
  if (protocol === 'http:' && !isLoopback(hostname)) throw wrong('the url is not https, or http on loopback')
}

/** Takes a host as URL normalises it: every spelling of an IPv4 address has become four decimal numbers. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // JSON.parse quotes its input.
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw wrong('it is not one JSON object')
  return json as Readonly<Record<string, unknown>>
}

function wrong(reason: string): VaultError {
  return new VaultError('INPUT', `the request template is not usable: ${reason}`)
}
