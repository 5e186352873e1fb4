import { expect, it } from 'vitest'
import { callText, connect, PROGRAM } from './child-support.js'
import { GatewayWorld, NOTES_KEY, startUpstream } from './gateway-support.js'

it('all servers are one at /mcp, with their tools under their names and for tokens what they are alone', async () => {
  const api = await startUpstream((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end('{"results":[]}')
  })
  const world = await GatewayWorld.create()
  world.env.SCAVIO_BASE_URL = api.url
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const env = { NOTES_KEY: '${vault:notes_key}' }
  const notes = { command: process.execPath, args: [PROGRAM, 'both'], env }
  await world.start({ mcpServers: { notes, search: { builtin: 'scavio', credential: 'notes_key' } } })
  const tools = ['notes/echo', 'notes/who', 'web_search']
  for (const era of ['legacy', 'modern'] as const) {
    const client = await connect(world, era, { path: '/mcp', tools })
    const { tools: listed } = await client.listTools()
    expect(listed.map(({ name }) => name)).toEqual(['notes__echo', 'notes__who', 'search__web_search'])
    expect(await callText(client, 'notes__echo', { value: era })).toBe(era)
    expect(await callText(client, 'notes__who')).toContain('[redacted]')
    for (const name of ['notes__env', 'other__echo', 'echo', '__echo']) {
      expect(await callText(client, name)).toBe('Unauthorized or expired token')
    }
  }
  const calls = world.audit().filter(({ tool }) => tool === 'notes__echo')
  expect(calls[0]).toMatchObject({ upstream: 'mcp', credentials: [{ name: 'notes_key' }] })
  expect(world.log.join('')).not.toContain(NOTES_KEY)
})
