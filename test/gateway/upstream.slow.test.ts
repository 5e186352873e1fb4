import type { ServerResponse } from 'node:http'
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
