import { expect, it, vi } from 'vitest'
import { callText, withProgram } from './child-support.js'
import { call, GatewayWorld, sendResult, startUpstream } from './gateway-support.js'
import { connectStdio } from './stdio-support.js'

it('a reload lets calls end that are under way, also of servers that are gone from the configuration', async () => {
  const waiting: (() => void)[] = []
  const upstream = await startUpstream(async (received, response) => {
    if (received.body.includes('"slow"')) await new Promise<void>((resolve) => waiting.push(resolve))
    sendResult(received, response, { content: [] })
  })
  const world = await GatewayWorld.create()
  const server = { url: `${upstream.url}/mcp` }
  await world.start({ mcpServers: { notes: server, kept: server } })
  const token = await world.token({ tools: ['notes/*', 'kept/*'] })
  const slow = ['/mcp/notes', '/mcp/kept'].map((path) => world.post(call('slow'), { token, path }))
  await vi.waitFor(() => expect(waiting).toHaveLength(2))
  await world.configure({ mcpServers: { kept: server, fresh: server } })
  world.signal('SIGHUP')
  const statusAt = async (path: string): Promise<number> => (await world.post(call('a'), { token, path })).status
  expect([await statusAt('/mcp/notes'), await statusAt('/mcp/kept'), await statusAt('/mcp/fresh')]).toEqual([
    404, 200, 200,
  ])
  for (const go of waiting) go()
  for (const answer of await Promise.all(slow)) expect(await answer.json()).toMatchObject({ result: { content: [] } })
  expect(world.audit().filter(({ event, outcome }) => event === 'result' && outcome !== 'ok')).toEqual([])
})

it('a program over stdio has a successor when its credential is rotated, and no call fails', async () => {
  const world = await withProgram('legacy')
  const client = await connectStdio(world, { tools: undefined }, { era: 'legacy' })
  const before = await callText(client, 'who')
  const slow = callText(client, 'wait', { ms: 300 })
  await world.vault.rotate('notes_key', 'sk_rotated_value')
  const seen = new Set([before])
  await vi.waitFor(async () => expect(seen.add(await callText(client, 'who')).size).toBe(2), { timeout: 20_000 })
  expect(await slow).toBe('waited')
  const starts = world.audit().filter(({ event }) => event === 'start')
  expect(starts.map(({ credentials }) => credentials)).toEqual([
    [{ name: 'notes_key', version: 1 }],
    [{ name: 'notes_key', version: 2 }],
  ])
  expect(world.audit().filter(({ outcome }) => outcome === 'failed')).toEqual([])
})
