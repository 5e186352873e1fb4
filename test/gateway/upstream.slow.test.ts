import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { call, GatewayWorld, startUpstream } from './gateway-support.js'

/** Calls the tool and gives the message of the JSON-RPC error. */
async function failureOf(world: GatewayWorld): Promise<string> {
  const response = await world.post(call('a'), { token: await world.token() })
  const { error } = (await response.json()) as { error?: { message: string } }
  return error?.message ?? ''
}

it('an upstream is given up when it does not begin, or does not end, to answer in time', async () => {
  let answers = (_response: ServerResponse): void => {}
  const upstream = await startUpstream((_received, response) => answers(response))
  const world = await GatewayWorld.inFrontOf(upstream.url, { timeout: '1s' })
  const silent = failureOf(world)
  await expect(silent).resolves.toContain('did not answer in time')
  answers = (response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{')
  expect(await failureOf(world)).toContain('did not end within 1 s')
})

it('a client that never ends its head, or its body, is ended', async () => {
  const upstream = await startUpstream((_received, response) => response.end())
  const world = await GatewayWorld.inFrontOf(upstream.url)
  const { port } = new URL(world.origin)
  const ended = (text: string): Promise<string> => {
    const socket = connect(Number(port), '127.0.0.1')
    let said = ''
    // A byte a second, for ever.
    const drip = setInterval(() => socket.write('a'), 1000)
    socket.on('data', (chunk) => (said += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(text)
    return new Promise((resolve) => {
      socket.on('close', () => {
        clearInterval(drip)
        resolve(said.slice(0, 12))
      })
    })
  }
  const token = await world.token()
  const head = `POST /mcp/notes HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\n`
  const [slowHead, slowBody] = await Promise.all([ended(head), ended(`${head}content-length: 1000\r\n\r\n`)])
  expect([slowHead, slowBody]).toEqual(['HTTP/1.1 408', 'HTTP/1.1 408'])
  expect(upstream.received).toHaveLength(0)
})
