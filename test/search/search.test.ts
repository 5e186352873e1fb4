import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { createRedactor, REDACTED, redactionForms } from '../../src/redact/forms.js'
import { parseBaseUrl, type SearchAnswer, type SearchOptions, search } from '../../src/search/search.js'
import { Secret } from '../../src/secret.js'
import { closedPort, type LoopbackServer, startBytes, startHttp, startRaw } from '../support/loopback.js'

const KEY = 'sk-canary/0123456789+abc"def&<x>'
const EMPTY = '{"results":[]}'

const servers: LoopbackServer[] = []

async function running(server: Promise<LoopbackServer>): Promise<LoopbackServer> {
  servers.push(await server)
  return server
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

function searchAt(url: string, options: Partial<SearchOptions> = {}): Promise<SearchAnswer> {
  return search('vault', { credential: Secret.fromText(KEY), baseUrl: parseBaseUrl(url), ...options })
}

async function searchBody(body: string, options: Partial<SearchOptions> = {}): Promise<SearchAnswer> {
  const server = await running(startHttp((_, response) => response.end(body)))
  return searchAt(server.url, options)
}

/** Expects a failure in which no form of the credential stands, however it is looked at. */
async function failureOf(promise: Promise<unknown>, key = KEY): Promise<VaultError> {
  const error = await promise.then(
    () => expect.unreachable('the search succeeded'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof VaultError)) throw error
  const seen = [inspect(error, { depth: 20, showHidden: true }), JSON.stringify(error), String(error), ...error.hints]
  expectNoForm(seen.join('\n'), key)
  return error
}

function expectNoForm(text: string, key = KEY): void {
  for (const form of redactionForms(Buffer.from(key))) expect(text).not.toContain(form.toString())
}

/** Expects an UPSTREAM failure and gives the reason after the host. */
async function reasonAt(server: LoopbackServer, options: Partial<SearchOptions> = {}): Promise<string> {
  const error = await failureOf(searchAt(server.url, options))
  expect(error.code).toBe('UPSTREAM')
  const prefix = `cannot call "${new URL(server.url).host}": `
  expect(error.message.startsWith(prefix)).toBe(true)
  return error.message.slice(prefix.length)
}

describe('the request', () => {
  test('is a POST with the credential, the query and the number of results', async () => {
    let seen = ''
    const server = await running(
      startHttp((request, response) => {
        seen = `${request.method} ${request.url} `
        request.on('data', (chunk: Buffer) => {
          seen += chunk.toString()
        })
        request.on('end', () => response.end(EMPTY))
      }),
    )
    await searchAt(server.url)
    expect(seen).toBe('POST /api/v1/search {"query":"vault","num_results":5}')
    expect(server.requests[0]?.['x-api-key']).toBe(KEY)
    await searchAt(`${server.url}/behind/a/path/`, { numResults: 20 })
    expect(seen).toBe('POST /behind/a/path/api/v1/search {"query":"vault","num_results":20}')
  })

  test.each([0, 21, 1.5, Number.NaN])('for %d results is refused', async (numResults) => {
    const error = await failureOf(searchAt(await closedPort(), { numResults }))
    expect(error.code).toBe('INPUT')
    expect(error.message).toBe('cannot search: the number of results is a whole number from 1 to 20')
  })

  test('without a query is refused', async () => {
    const options = { credential: Secret.fromText(KEY), baseUrl: parseBaseUrl(await closedPort()) }
    expect(await failureOf(search(' \n', options))).toMatchObject({
      code: 'INPUT',
      message: 'cannot search: the query is empty',
    })
  })

  test.each(['sk-canary\n', 'sk-canary\r\nx-other: 1', 'sk canary', 'sk-canary\0', 'sk-canäry', ''])(
    'with a credential that is no header value is refused before anything is sent: %j',
    async (key) => {
      const server = await running(startHttp((_, response) => response.end(EMPTY)))
      const error = await searchAt(server.url, { credential: Secret.fromText(key) }).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'INPUT', hints: ['mcpvault rotate scavio_api_key'] })
      expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/can(a|ä)ry/)
      expect(server.connections()).toBe(0)
    },
  )

  test('with a credential that is no text is refused', async () => {
    const credential = new Secret(Buffer.from([0xff, 0xfe]))
    expect(await searchAt(await closedPort(), { credential }).catch((thrown: unknown) => thrown)).toMatchObject({
      code: 'INPUT',
    })
  })
})

describe('the answer', () => {
  test('is given as results and as it came', async () => {
    const body =
      ' { "results" : [ {"url":"https:\\/\\/a.example","title":"\\u00c4","snippet":"s","score":1.50} ], "results2":1}\n'
    expect(await searchBody(body)).toEqual({
      results: [{ title: 'Ä', url: 'https://a.example', snippet: 's' }],
      body,
    })
  })

  test('may leave members out', async () => {
    const { results } = await searchBody(
      '{"results":[{},{"title":null,"url":7,"snippet":["x"]},null,"x",{"title":"t"}]}',
    )
    const empty = { title: '', url: '', snippet: '' }
    expect(results).toEqual([empty, empty, empty, empty, { ...empty, title: 't' }])
  })

  test('keeps control characters, which the output layer makes visible', async () => {
    const { results } = await searchBody('{"results":[{"title":"\\u001b[31m"}]}')
    expect(results[0]?.title).toBe('\x1b[31m')
  })

  test.each([
    ['an object without results', '{"__proto__":{"results":[]}}', 'the answer has no list of results'],
    ['results that are no list', '{"results":{"0":{}}}', 'the answer has no list of results'],
    ['a list', '[{"title":"x"}]', 'the answer has no list of results'],
    ['null', 'null', 'the answer has no list of results'],
    ['HTML', `<html>${KEY}</html>`, 'the answer is not JSON'],
    ['nothing', '', 'the answer is not JSON'],
    ['two values', '{"results":[]}{}', 'the answer is not JSON'],
    ['half an answer on a connection that closes', '{"results":[{"title":"a"}', 'the answer is not JSON'],
    ['deep nesting', '['.repeat(200_000), 'the answer is not JSON'],
  ])('is refused when it is %s', async (_, body, reason) => {
    const server = await running(startBytes(`HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n${body}`))
    expect(await reasonAt(server)).toBe(reason)
  })

  test('is refused when it is not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from('{"results":[{"title":"'), Buffer.from([0xff]), Buffer.from('"}]}')])
    const server = await running(startHttp((_, response) => response.end(bytes)))
    expect(await reasonAt(server)).toBe('the answer is not JSON')
  })

  test('is refused when it is compressed, cut short, too long or late', async () => {
    const gzip = await running(
      startHttp((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(EMPTY))),
    )
    expect(await reasonAt(gzip)).toBe('the answer is compressed although that was not asked for')
    const cut = await running(startBytes(`HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n${EMPTY}`))
    expect(await reasonAt(cut)).toBe('the answer was cut short')
    const long = await running(startHttp((_, response) => response.end(`{"results":["${'x'.repeat(2000)}"]}`)))
    expect(await reasonAt(long, { maxBytes: 1000 })).toBe('the answer is longer than 1000 bytes')
    const silent = await running(startRaw(() => {}))
    expect(await reasonAt(silent, { timeoutMs: 100 })).toBe('timed out after 0.1 s')
  })

  test('of more than 10 MiB is refused', async () => {
    const server = await running(startBytes(`HTTP/1.1 200 OK\r\ncontent-length: ${10 * 1024 * 1024 + 1}\r\n\r\n`))
    expect(await reasonAt(server)).toBe('the answer is longer than 10485760 bytes')
  })
})

describe('a refusal', () => {
  async function answering(status: number, headers: Record<string, string> = {}): Promise<LoopbackServer> {
    return running(startHttp((_, response) => response.writeHead(status, KEY, headers).end(`{"error":"bad ${KEY}"}`)))
  }

  test.each([401, 403])('with %i names the credential and the way to mend it', async (status) => {
    const error = await failureOf(searchAt((await answering(status)).url))
    expect(error.message).toMatch(/: it refused the credential "scavio_api_key" \(status \d+\)$/)
    expect(error.hints).toEqual(['mcpvault rotate scavio_api_key'])
  })

  test.each([
    ['30', '; it asks to wait 30 s'],
    ['Sun, 06 Nov 1994 08:49:37 GMT', '; it asks to wait until Sun, 06 Nov 1994 08:49:37 GMT'],
    [KEY, ''],
    ['-1', ''],
    ['1e9', ''],
  ])('with 429 tells how long to wait: %s', async (value, words) => {
    const server = await answering(429, { 'retry-after': value })
    expect(await reasonAt(server)).toBe(`it takes no more calls for now (status 429)${words}`)
  })

  test('with a Retry-After that is the credential does not repeat it', async () => {
    const server = await answering(429, { 'retry-after': '314159' })
    const error = await failureOf(searchAt(server.url, { credential: Secret.fromText('314159') }), '314159')
    expect(error.message).toMatch(/wait \[redacted\] s$/)
  })

  test.each([201, 204, 400, 404, 500, 503])('with %i says so', async (status) => {
    expect(await reasonAt(await answering(status))).toBe(`it answered with status ${status}`)
  })

  test.each([301, 302, 303, 307, 308])('with redirect %i takes the credential nowhere else', async (status) => {
    const other = await running(startHttp((_, response) => response.end(EMPTY)))
    const server = await answering(status, { location: `${other.url}/?${encodeURIComponent(KEY)}` })
    expect(await reasonAt(server)).toBe(
      `it answered with a redirect (status ${status}), and redirects are not followed`,
    )
    expect(server.requests[0]?.['x-api-key']).toBe(KEY)
    expect(other.requests).toEqual([])
    expect(other.connections()).toBe(0)
  })

  test('of the connection says so', async () => {
    const url = await closedPort()
    const error = await failureOf(searchAt(url))
    expect(error.message).toBe(`cannot call "${new URL(url).host}": could not connect (ECONNREFUSED)`)
  })
})

describe('a credential that the upstream repeats', () => {
  const forms = redactionForms(Buffer.from(KEY)).map(String)

  test.each(forms)('is in neither results nor body when it comes as %s', async (form) => {
    const answer = await searchBody(
      JSON.stringify({
        results: [{ title: form, url: `https://x/?k=${form}`, snippet: `a ${form} b ${form}` }],
        [form]: form,
      }),
    )
    expectNoForm(inspect(answer, { depth: 20 }))
    expectNoForm(answer.body)
    expect(answer.results[0]).toEqual({
      title: REDACTED,
      url: `https://x/?k=${REDACTED}`,
      snippet: `a ${REDACTED} b ${REDACTED}`,
    })
    expect(JSON.parse(answer.body)).toEqual({ results: answer.results, [REDACTED]: REDACTED })
  })

  test.each(forms)('is not in the error when the answer is %s', async (form) => {
    const server = await running(
      startHttp((_, response) => response.writeHead(200, { 'x-echo': encodeURI(form) }).end(form)),
    )
    expect(await reasonAt(server)).toBe('the answer is not JSON')
  })

  test('is found behind any mixture of JSON escapes, and the rest stays as it came', async () => {
    const mixed = Array.from(KEY, (unit, at) =>
      at % 2 === 0 || unit === '"' ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : unit,
    ).join('')
    const before = '{ "results":[{"title":"\\u0041\\/"}],\n "n":1.0e2, "k":1, "k":'
    const { body } = await searchBody(`${before}"x ${mixed}"}`)
    expect(body).toBe(`${before}"x ${REDACTED}"}`)
  })

  test('is found as a number', async () => {
    const credential = Secret.fromText('31415926535')
    const answer = await searchBody('{"results":[{"title":"31415926535"}],"key":31415926535}', { credential })
    expect(answer.body).toBe(`{"results":[{"title":"${REDACTED}"}],"key":"${REDACTED}"}`)
  })

  test('is refused where it is the structure of the answer', async () => {
    const key = '{"results":[{"title":"x"}]}'
    const server = await running(startHttp((_, response) => response.end(key)))
    const error = await failureOf(searchAt(server.url, { credential: Secret.fromText(key) }), key)
    expect(error.message).toMatch(/: the answer repeats the credential$/)
  })

  test('may be as silly as the mark', async () => {
    const credential = Secret.fromText('redacted')
    const { body } = await searchBody('{"results":[],"k":"is redacted"}', { credential })
    expect(body).toBe(`{"results":[],"k":"is ${REDACTED}"}`)
    expect(createRedactor([credential])('redacted')).toBe(REDACTED)
  })
})

describe('parseBaseUrl', () => {
  test.each([
    [undefined, 'https://api.scavio.dev/'],
    ['', 'https://api.scavio.dev/'],
    ['https://search.example:8443/v2', 'https://search.example:8443/v2'],
    ['HTTPS://Search.Example', 'https://search.example/'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/'],
    ['http://127.8.9.1', 'http://127.8.9.1/'],
    ['http://[::1]:1', 'http://[::1]:1/'],
    ['http://localhost:1', 'http://localhost:1/'],
  ])('takes %s', (text, url) => {
    expect(parseBaseUrl(text).href).toBe(url)
  })

  test.each([
    'http://api.scavio.dev',
    'http://127.0.0.1.example',
    'http://127.example',
    'http://localhost.example',
    'http://128.0.0.1',
    'http://[::2]',
    'http://0.0.0.0',
    'https://user:canary@search.example',
    'https://canary@search.example',
    'https://@search.example',
    'http://127.0.0.1:80@search.example',
    'http://127.0.0.1\\@search.example',
    'https://search.example?key=canary',
    'https://search.example/?',
    'https://search.example/#canary',
    ' https://search.example',
    'https://search.\nexample',
    'https:search.example',
    'https://',
    'https://:80',
    'https://[canary',
    'ftp://canary',
    'file:///canary',
    'canary',
  ])('refuses %j and does not repeat it', (text) => {
    try {
      parseBaseUrl(text)
    } catch (error) {
      expect(error).toMatchObject({ code: 'INPUT' })
      expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/canary|search\.example/)
      return
    }
    expect.unreachable('it was taken')
  })
})
