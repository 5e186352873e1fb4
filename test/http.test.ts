import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { VaultError } from '../src/errors.js'
import { type PostOptions, postJson } from '../src/http.js'
import { closedPort, type LoopbackServer, startBytes, startHttp, startRaw } from './support/loopback.js'

const KEY = 'sk-canary-0123456789/+~abcdef'
const OPTIONS: PostOptions = { headers: { 'x-api-key': KEY }, body: '{"a":1}', timeoutMs: 15_000, maxBytes: 1000 }

const servers: LoopbackServer[] = []

async function running(server: Promise<LoopbackServer>): Promise<LoopbackServer> {
  servers.push(await server)
  return server
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

/** Expects a call to fail, and gives the reason after the host. */
async function reasonFor(url: string, options: Partial<PostOptions> = {}): Promise<string> {
  const target = new URL('/api', url)
  const error = await postJson(target, { ...OPTIONS, ...options }).then(
    () => expect.unreachable('the call succeeded'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(VaultError)
  if (!(error instanceof VaultError)) throw error
  expect(error.code).toBe('UPSTREAM')
  expect(error.cause).toBeUndefined()
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
  const prefix = `cannot call "${target.host}": `
  expect(error.message.startsWith(prefix)).toBe(true)
  return error.message.slice(prefix.length)
}

describe('an answer', () => {
  test('comes back with status, headers and body', async () => {
    let body = ''
    const server = await running(
      startHttp((request, response) => {
        request.on('data', (chunk: Buffer) => {
          body += chunk.toString()
        })
        request.on('end', () => response.writeHead(200, { 'X-Twice': ['a', 'b'] }).end('{"ok":true}'))
      }),
    )
    const answer = await postJson(new URL('/some/path', server.url), OPTIONS)
    expect(answer.status).toBe(200)
    expect(answer.headers['x-twice']).toBe('a, b')
    expect(answer.body.toString()).toBe('{"ok":true}')
    expect(body).toBe('{"a":1}')
    expect(server.requests[0]).toMatchObject({
      'accept-encoding': 'identity',
      'content-type': 'application/json',
      'x-api-key': KEY,
    })
  })

  test('in chunks is put together', async () => {
    const server = await running(
      startHttp((_, response) => {
        response.write('one ')
        setImmediate(() => response.end('two'))
      }),
    )
    expect((await postJson(new URL(server.url), OPTIONS)).body.toString()).toBe('one two')
  })

  test('of exactly the longest length is taken', async () => {
    const server = await running(startHttp((_, response) => response.end('x'.repeat(1000))))
    expect((await postJson(new URL(server.url), OPTIONS)).body).toHaveLength(1000)
  })

  test.each([301, 302, 303, 307, 308])('with redirect %i is given back and not followed', async (status) => {
    const other = await running(startHttp((_, response) => response.end('{}')))
    const server = await running(
      startHttp((_, response) => response.writeHead(status, { location: `${other.url}/x` }).end('elsewhere')),
    )
    const answer = await postJson(new URL(server.url), OPTIONS)
    expect(answer.status).toBe(status)
    expect(answer.body).toHaveLength(0)
    expect(other.connections()).toBe(0)
  })

  test.each([401, 429, 500])('with status %i keeps it though its body is broken', async (status) => {
    const server = await running(startBytes(`HTTP/1.1 ${status} No\r\ncontent-length: 900000\r\n\r\n{"err`))
    expect((await postJson(new URL(server.url), OPTIONS)).status).toBe(status)
  })
})

const cut = 'the answer was cut short'

describe('a broken answer is an error', () => {
  test.each([
    ['a shorter body than declared', 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"results":[]}', cut],
    ['the same on a closing connection', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{}', cut],
    ['no last chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n', cut],
    [
      'no last chunk on a closing connection',
      'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n',
      cut,
    ],
    ['half a chunk', 'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}', cut],
    ['half a head', 'HTTP/1.1 200 OK\r\nconte', cut],
    ['nothing', '', cut],
    [
      'a chunk length that is no number',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${KEY}\r\n{}`,
      'the answer was not valid HTTP',
    ],
    [
      'both a length and chunks',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      cut,
    ],
    ['another protocol', `${KEY}\r\n`, 'the answer was not valid HTTP'],
    [
      'endless headers',
      `HTTP/1.1 200 OK\r\nx-long: ${KEY.repeat(2000)}\r\n\r\n`,
      'the headers of the answer are too long',
    ],
  ])('%s', async (_, bytes, reason) => {
    const server = await running(startBytes(bytes))
    expect(await reasonFor(server.url)).toBe(reason)
  })

  test('a connection that is reset in the middle of a chunk', async () => {
    const server = await running(
      startRaw((socket) => {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{"resul', () =>
          socket.resetAndDestroy(),
        )
      }),
    )
    expect(await reasonFor(server.url)).toBe(cut)
  })

  test('a body that is declared too long is not read', async () => {
    const server = await running(startBytes('HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{'))
    expect(await reasonFor(server.url)).toBe('the answer is longer than 1000 bytes')
  })

  test('a body without declared length that goes on and on', async () => {
    const server = await running(
      startHttp((_, response) => {
        const more = (): unknown => response.write('x'.repeat(600)) && setImmediate(more)
        more()
      }),
    )
    expect(await reasonFor(server.url)).toBe('the answer is longer than 1000 bytes')
  })

  test.each(['gzip', 'br', 'identity, gzip'])('a body in the encoding %s', async (encoding) => {
    const server = await running(
      startHttp((_, response) => response.writeHead(200, { 'content-encoding': encoding }).end(gzipSync('{}'))),
    )
    expect(await reasonFor(server.url)).toBe('the answer is compressed although that was not asked for')
  })
})

describe('time', () => {
  test('runs out for a server that never answers', async () => {
    const server = await running(startRaw(() => {}))
    expect(await reasonFor(server.url, { timeoutMs: 100 })).toBe('timed out after 0.1 s')
  })

  test('runs out for a server that never finishes', async () => {
    const server = await running(
      startRaw((socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n')
        const drip = setInterval(() => socket.write('x'), 10)
        socket.on('close', () => clearInterval(drip))
      }),
    )
    expect(await reasonFor(server.url, { timeoutMs: 200 })).toBe('timed out after 0.2 s')
  })

  test('runs out while TLS is being set up', async () => {
    const server = await running(startRaw(() => {}))
    expect(await reasonFor(server.url.replace('http:', 'https:'), { timeoutMs: 100 })).toBe('timed out after 0.1 s')
  })
})

describe('a host that cannot be talked to', () => {
  test('refuses the connection', async () => {
    expect(await reasonFor(await closedPort())).toBe('could not connect (ECONNREFUSED)')
  })

  test('does not exist', async () => {
    expect(await reasonFor('http://no-such-host.invalid')).toMatch(
      /^could not find the host \((ENOTFOUND|EAI_AGAIN)\)$/,
    )
  })

  test('speaks no TLS', async () => {
    const server = await running(
      startHttp((_, response) => {
        response.end('{}')
      }),
    )
    expect(await reasonFor(server.url.replace('http:', 'https:'))).toMatch(/^TLS could not be set up \([A-Z_]+\)$/)
  })
})

describe('in a process of its own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpvault-http-'))
  const program = join(folder, 'call.cjs')
  const certificate = join(import.meta.dirname, 'fixtures/tls/cert.pem')
  const tlsServer = createServer(
    { cert: readFileSync(certificate), key: readFileSync(join(import.meta.dirname, 'fixtures/tls/key.pem')) },
    (_, response) => response.end('{"ok":true}'),
  )
  let tlsUrl = ''

  beforeAll(async () => {
    const source = `
      import { postJson } from ${JSON.stringify(join(import.meta.dirname, '../src/http.ts'))}
      const options = { headers: {}, body: '{}', timeoutMs: 15000, maxBytes: 1000 }
      postJson(new URL(process.argv[2]), options).then(
        (answer) => answer.body.toString(), (error) => error.message,
      ).then((text) => {
        const open = process.getActiveResourcesInfo().filter((name) => /^(TCP|TLS|Timeout|GetAddr)/.test(name))
        console.log(JSON.stringify({ text, open }))
      })`
    await build({ stdin: { contents: source, resolveDir: folder }, bundle: true, platform: 'node', outfile: program })
    await new Promise<void>((resolve) => tlsServer.listen(0, '127.0.0.1', resolve))
    tlsUrl = `https://127.0.0.1:${(tlsServer.address() as AddressInfo).port}/`
  })

  afterAll(() => {
    tlsServer.closeAllConnections()
    tlsServer.close()
    rmSync(folder, { recursive: true })
  })

  async function call(url: string, env: Record<string, string> = {}): Promise<{ text: string; open: string[] }> {
    const child: ChildProcess = spawn(process.execPath, [program, url], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    await once(child, 'close')
    return JSON.parse(output)
  }

  test('nothing is left open that would keep the process alive', async () => {
    const server = await running(startHttp((_, response) => response.end('{"ok":true}')))
    expect(await call(server.url)).toEqual({ text: '{"ok":true}', open: [] })
  })

  test('a certificate that the machine trusts is taken', async () => {
    expect(await call(tlsUrl, { NODE_EXTRA_CA_CERTS: certificate })).toEqual({ text: '{"ok":true}', open: [] })
  })

  test.each(['1', '0'])('another certificate is refused, with NODE_TLS_REJECT_UNAUTHORIZED=%s', async (reject) => {
    const { text } = await call(tlsUrl, { NODE_TLS_REJECT_UNAUTHORIZED: reject, NODE_NO_WARNINGS: '1' })
    expect(text).toMatch(/the TLS certificate was not accepted \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/)
  })
})
