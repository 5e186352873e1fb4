import { createServer as createTlsServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createLookup, isPrivateAddress, namesPrivateHost, type Resolve } from '../../src/gateway/addresses.js'
import { call, GatewayWorld, NOTES_KEY, type Received, rpc, sendResult, startUpstream } from './gateway-support.js'

/** A raw server on loopback that does what it likes with each connection's first request. */
async function startRaw(act: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => act(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Calls the tool and gives the message of the JSON-RPC error. */
async function failureOf(world: GatewayWorld, message = call('a')): Promise<string> {
  const response = await world.post(message, { token: await world.token() })
  const { error } = (await response.json()) as { error?: { code: number; message: string } }
  expect(error?.code).toBe(-32004)
  expect(error?.message).not.toContain(NOTES_KEY)
  return error?.message ?? ''
}

describe('a hostile or broken upstream', () => {
  it('cannot redirect a credential', async () => {
    let status = 0
    const other = await startUpstream((received, response) => sendResult(received, response, {}))
    const upstream = await startUpstream((_received, response) =>
      response.writeHead(status, { location: `${other.url}/mcp` }).end(),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    for (status of [301, 302, 303, 307, 308]) {
      expect(await failureOf(world)).toContain(`redirect (status ${status})`)
    }
    expect(upstream.received).toHaveLength(5)
    expect(other.received).toHaveLength(0)
  })

  it('is an error where its answer is cut short, in every way', async () => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'
    const whole = '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'
    const zipped = gzipSync(whole)
    const cases: readonly (readonly [string | Buffer, RegExp])[] = [
      [`${head}content-length: 100\r\n\r\n${whole}`, /cut short/],
      [`${head}transfer-encoding: chunked\r\n\r\n10\r\n{"jsonrpc":"2.0"`, /cut short/],
      [`${head}\r\n${whole.slice(0, -5)}`, /not JSON/],
      [Buffer.concat([Buffer.from(`${head}content-encoding: gzip\r\n\r\n`), zipped.subarray(0, -9)]), /cut short/],
      [`${head}content-encoding: zstd\r\n\r\n${whole}`, /unknown encoding/],
      ['HTTP/1.1 banana\r\n\r\n', /not valid HTTP/],
      ['', /cut short/],
    ]
    let next: string | Buffer = ''
    const url = await startRaw((socket) => socket.end(next))
    const world = await GatewayWorld.inFrontOf(url)
    for (const [bytes, reason] of cases) {
      next = bytes
      expect(await failureOf(world)).toMatch(reason)
    }
  })

  it('may compress its answer, but not to a bomb, and not say more than 10 MiB', async () => {
    let body: Buffer = gzipSync(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [] } }))
    const upstream = await startUpstream((_received, response) =>
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(body),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const answer = await world.post(call('a'), { token: await world.token() })
    expect(await answer.json()).toMatchObject({ result: { content: [] } })
    body = gzipSync(Buffer.alloc(4 * 1024 * 1024))
    expect(await failureOf(world)).toContain('inflates too much')
  })

  it('may not say more than 10 MiB', async () => {
    const upstream = await startUpstream((_received, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(Buffer.alloc(10 * 1024 * 1024 + 1, ' '))
    })
    expect(await failureOf(await GatewayWorld.inFrontOf(upstream.url))).toContain('over 10 MiB')
  })

  it('is asked again with the other live version when it refuses a credential, once', async () => {
    const accepted = new Set([NOTES_KEY])
    const upstream = await startUpstream((received, response) => {
      if (accepted.has(received.headers.authorization?.slice(7) ?? '')) sendResult(received, response, { content: [] })
      else response.writeHead(401, { 'www-authenticate': 'Bearer resource_metadata="https://evil.example"' }).end()
    })
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    await world.vault.rotate('notes_key', 'sk_live_second_value')
    const first = await world.post(call('a'), { token })
    expect(await first.json()).toMatchObject({ result: {} })
    expect(upstream.received.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer sk_live_second_value',
      `Bearer ${NOTES_KEY}`,
    ])
    const named = world.audit().filter(({ credentials }) => credentials !== undefined)
    expect(named.map(({ event, credentials, request }) => [event, credentials, request])).toEqual([
      ['call', [{ name: 'notes_key', version: 2 }], 1],
      ['retry', [{ name: 'notes_key', version: 1 }], 1],
    ])
    accepted.clear()
    const response = await world.post(call('a'), { token })
    expect(response.status).toBe(200)
    expect(response.headers.get('www-authenticate')).toBeNull()
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringContaining('refused the credential') },
    })
    expect(upstream.received).toHaveLength(4)
  })

  it('is asked again after 429, and for what changes nothing after 503, but no tool is called twice', async () => {
    const statuses: number[] = []
    const upstream = await startUpstream((received, response) => {
      const status = statuses.shift()
      if (status === undefined) sendResult(received, response, { tools: [] })
      else response.writeHead(status, { 'retry-after': '0' }).end()
    })
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    statuses.push(429, 429)
    expect((await world.post(call('a'), { token })).status).toBe(200)
    statuses.push(503)
    expect((await world.post(rpc('tools/list'), { token })).status).toBe(200)
    statuses.push(503)
    expect((await world.post(call('a'), { token })).status).toBe(503)
    statuses.push(429, 429, 429)
    const tired = await world.post(call('a'), { token })
    expect([tired.status, tired.headers.get('retry-after')]).toEqual([429, '0'])
    expect(upstream.received).toHaveLength(3 + 2 + 1 + 3)
  })

  it('is not waited for longer than a minute', async () => {
    const upstream = await startUpstream((_received, response) =>
      response.writeHead(429, { 'retry-after': '61' }).end(),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    expect((await world.post(call('a'), { token: await world.token() })).status).toBe(429)
    expect(upstream.received).toHaveLength(1)
  })

  it('is not believed when its certificate is not one for its name', async () => {
    const tls = { cert: readFileSync('test/fixtures/tls/cert.pem'), key: readFileSync('test/fixtures/tls/key.pem') }
    const seen: Received[] = []
    const server = createTlsServer(tls, (request) => void seen.push(request as unknown as Received))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const world = await GatewayWorld.inFrontOf(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect(await failureOf(world)).toContain('certificate was not accepted')
    expect(seen).toHaveLength(0)
  })

  it('is not called when nobody listens, and the failure says so', async () => {
    const url = await startRaw(() => {})
    const world = await GatewayWorld.inFrontOf(url.replace(/:\d+$/, ':1'))
    expect(await failureOf(world)).toContain('could not connect (ECONNREFUSED)')
  })
})

describe('an address', () => {
  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '::ffff:7f00:1',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    '::127.0.0.1',
    'ff02::1',
    'not an address',
  ])('%s is private', (address) => {
    expect(isPrivateAddress(address)).toBe(true)
  })

  it.each(['1.1.1.1', '172.32.0.1', '2606:4700::1111', '::ffff:1.1.1.1', '64:ff9b::101:101'])(
    '%s is not',
    (address) => {
      expect(isPrivateAddress(address)).toBe(false)
    },
  )

  it('is only private by name where the configuration says it', () => {
    for (const host of ['localhost', 'a.localhost', '127.0.0.1', '[::1]', '10.0.0.1'])
      expect(namesPrivateHost(host)).toBe(true)
    for (const host of ['notes.example', '1.1.1.1', 'localhost.example']) expect(namesPrivateHost(host)).toBe(false)
  })

  it('that is private is left out of what a name means, and a name that means nothing else is an error', async () => {
    let found = ['10.0.0.1', '1.1.1.1', 'fd00::1']
    const resolve: Resolve = (_name, done) =>
      done(
        null,
        found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
    const lookUp = (allowsPrivate: boolean, all: boolean) =>
      new Promise((settle) => {
        createLookup(allowsPrivate, resolve)('notes.example', { all }, (error, address) =>
          settle(error?.code ?? address),
        )
      })
    expect(await lookUp(false, true)).toEqual([{ address: '1.1.1.1', family: 4 }])
    expect(await lookUp(false, false)).toBe('1.1.1.1')
    expect(await lookUp(true, false)).toBe('10.0.0.1')
    found = ['10.0.0.1']
    expect(await lookUp(false, true)).toBe('MCPVAULT_PRIVATE_ADDRESS')
    found = []
    expect(await lookUp(false, true)).toBe('ENOTFOUND')
  })
})
