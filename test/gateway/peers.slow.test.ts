/** Real peers from npm: servers that others have written behind the gateway, and a client that others have written in front. */

import { execFile } from 'node:child_process'
import { cpSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Client } from '@modelcontextprotocol/client'
import { describe, expect, it, vi } from 'vitest'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'
import { callText, connect, type Era } from './child-support.js'
import { GatewayWorld, NOTES_KEY } from './gateway-support.js'
import { ProgramHome } from './program-support.js'
import { connectRemote, connectStdio } from './stdio-support.js'

const peer = (path: string): string =>
  fileURLToPath(new URL(`../../node_modules/@modelcontextprotocol/${path}`, import.meta.url))
const FILESYSTEM = peer('server-filesystem/dist/index.js')
const EVERYTHING = peer('server-everything/dist/index.js')
const INSPECTOR = peer('inspector-cli')
// biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
const env = { NOTES_KEY: '${vault:notes_key}' }

/** A folder with one file that holds the credential, and the entry of a server for it. */
function filesystem(): { readonly folder: string; readonly notes: object } {
  const folder = realpathSync(temporaryDirectory())
  writeFileSync(join(folder, 'a.txt'), `it says ${NOTES_KEY}`)
  return { folder, notes: { command: process.execPath, args: [FILESYSTEM, folder], env } }
}

/**
 * Lays the inspector's command line out as the inspector's own package does, in which it looks for a file two folders up.
 * That package as a whole brings a web page along, and from version 2 on takes Node 22.
 */
function layOutInspector(): string {
  const place = realpathSync(temporaryDirectory())
  cpSync(INSPECTOR, join(place, 'cli'), { recursive: true })
  cpSync(join(INSPECTOR, 'package.json'), join(place, 'package.json'))
  symlinkSync(peer('..'), join(place, 'node_modules'))
  return join(place, 'cli/build/cli.js')
}

/** Runs the inspector's command line and gives the JSON that it prints. */
async function inspect(argv: readonly string[], more: Record<string, string> = {}): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [layOutInspector(), '--cli', ...argv], {
    env: { PATH: process.env.PATH, ...more },
  })
  return JSON.parse(stdout)
}

describe('the filesystem server', () => {
  it.each(['legacy', 'modern'] as const)(
    'is read through the gateway by a client of the %s protocol, as far as its token goes',
    async (era) => {
      const { folder, notes } = filesystem()
      const world = await GatewayWorld.create()
      await world.start({ mcpServers: { notes } })
      const client = await connect(world, era, { tools: ['notes/read_text_file'] })
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['read_text_file'])
      expect(await callText(client, 'read_text_file', { path: join(folder, 'a.txt') })).toBe('it says [redacted]')
      expect(await callText(client, 'list_directory', { path: folder })).toBe('Unauthorized or expired token')
      expect(await callText(client, 'write_file', { path: join(folder, 'b.txt'), content: '' })).toMatch(/Unauthorized/)
      const all = await connect(world, era, { tools: ['notes/list_directory'] })
      expect(await callText(all, 'list_directory', { path: folder })).toBe('[FILE] a.txt')
    },
  )
})

describe("the inspector's command line", () => {
  it('lists and calls over HTTP with the header of its token', async () => {
    const { folder, notes } = filesystem()
    const world = await GatewayWorld.create()
    await world.start({ mcpServers: { notes } })
    const token = await world.token({ tools: ['notes/read_text_file'] })
    const http = [`${world.origin}/mcp/notes`, '--transport', 'http', '--header', `Authorization: Bearer ${token}`]
    expect(await inspect([...http, '--method', 'tools/list'])).toMatchObject({ tools: [{ name: 'read_text_file' }] })
    const call = ['--method', 'tools/call', '--tool-name', 'read_text_file', '--tool-arg', `path=${folder}/a.txt`]
    expect(await inspect([...http, ...call])).toMatchObject({ content: [{ text: 'it says [redacted]' }] })
    const merged = [`${world.origin}/mcp`, ...http.slice(1)]
    expect(await inspect([...merged, '--method', 'tools/list'])).toMatchObject({
      tools: [{ name: 'notes__read_text_file' }],
    })
    await expect(inspect([...http.slice(0, 3), '--method', 'tools/list'])).rejects.toThrow(/401|Unauthorized/)
  })

  it('lists and calls over stdio, through connect and through serve', async () => {
    const { folder, notes } = filesystem()
    const home = ProgramHome.create({ notes_key: NOTES_KEY }, { notes })
    const call = ['--method', 'tools/call', '--tool-name', 'read_text_file', '--tool-arg', `path=${folder}/a.txt`]
    const connecting = [process.execPath, launcher(), 'connect', 'notes', '--tools', 'read_text_file']
    expect(await inspect([...connecting, '--method', 'tools/list'], home.env)).toMatchObject({ tools: [{}] })
    expect(await inspect([...connecting, ...call], home.env)).toMatchObject({
      content: [{ text: 'it says [redacted]' }],
    })
    const token = home.run(['token', 'create', '--tools', 'notes/read_text_file']).trim()
    const serving = [process.execPath, launcher(), 'serve', 'notes', '--stdio']
    const listed = await inspect([...serving, '--method', 'tools/list'], { ...home.env, MCPVAULT_TOKEN: token })
    expect(listed).toMatchObject({ tools: [{ name: 'read_text_file' }] })
  })
})

describe('the server that has everything', () => {
  const methods = ['tools', 'resources', 'prompts', 'completion'] as const
  const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } }
  const everything = { command: process.execPath, args: [EVERYTHING, 'stdio'], env }

  async function start(): Promise<GatewayWorld> {
    const world = await GatewayWorld.create()
    await world.start({ mcpServers: { notes: everything } })
    return world
  }

  /** The ways to it, each with what a client of the older protocol can do there. */
  const WAYS: Readonly<Record<string, (world: GatewayWorld, era: Era) => Promise<Client>>> = {
    'over HTTP': (world, era) => connect(world, era, { methods, capabilities }),
    'over stdio': async (world, era) =>
      connectStdio(world, await world.token({ tools: ['*'], methods }), { era, capabilities }),
    'over stdio and HTTP': async (world, era) => {
      const token = await world.token({ tools: ['*'], methods })
      return connectRemote(`${world.origin}/mcp/notes`, token, { era, capabilities })
    },
  }

  it.each(Object.entries(WAYS))('does all that the older protocol has, %s', async (_, reach) => {
    const world = await start()
    const client = await reach(world, 'legacy')
    const told: string[] = []
    client.setRequestHandler('sampling/createMessage', () => ({
      model: 'm',
      role: 'assistant',
      content: { type: 'text', text: 'the sample' },
    }))
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { name: 'Ada' } }))
    client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///here', name: 'here' }] }))
    client.setNotificationHandler('notifications/message', ({ params }) => void told.push(String(params.data)))
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void told.push(params.uri))
    await vi.waitFor(async () =>
      expect((await client.listTools()).tools.map(({ name }) => name)).toContain('trigger-sampling-request'),
    )
    expect(await callText(client, 'trigger-sampling-request', { prompt: 'well?' })).toContain('the sample')
    expect(JSON.stringify(await client.callTool({ name: 'trigger-elicitation-request', arguments: {} }))).toContain(
      'Ada',
    )
    expect(await callText(client, 'get-roots-list')).toContain('file:///here')
    const seen: number[] = []
    await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 3 } },
      { onprogress: ({ progress }) => void seen.push(progress) },
    )
    expect(seen).toEqual([1, 2, 3])
    await client.setLoggingLevel('debug')
    const { resources } = await client.listResources()
    const uri = resources[0]?.uri ?? ''
    await client.subscribeResource({ uri })
    await callText(client, 'toggle-subscriber-updates')
    await callText(client, 'toggle-simulated-logging')
    await vi.waitFor(() => expect(told).toContain(uri), 10_000)
    await vi.waitFor(() => expect(told.some((line) => /-level message|level-message/.test(line))).toBe(true), 10_000)
    const stop = new AbortController()
    const long = client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 60, steps: 60 } },
      { signal: stop.signal, onprogress: () => stop.abort() },
    )
    await expect(long).rejects.toThrow()
    expect(await callText(client, 'echo', { message: 'after' })).toBe('Echo: after')
    expect((await client.listPrompts()).prompts.length).toBeGreaterThan(0)
    const { contents } = await client.readResource({ uri })
    expect(contents).toHaveLength(1)
  })

  it.each(['over HTTP', 'over stdio and HTTP'])('does what the newer protocol can carry of it, %s', async (way) => {
    const world = await start()
    const client = (await WAYS[way]?.(world, 'modern')) as Client
    const names = (await client.listTools()).tools.map(({ name }) => name)
    expect(names).toContain('echo')
    // It is told that there is no client to ask, and does not offer what would.
    expect(names).not.toContain('trigger-sampling-request')
    const seen: number[] = []
    await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 3 } },
      { onprogress: ({ progress }) => void seen.push(progress) },
    )
    expect(seen).toEqual([1, 2, 3])
    const told: string[] = []
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void told.push(params.uri))
    const uri = (await client.listResources()).resources[0]?.uri ?? ''
    await client.listen({ resourceSubscriptions: [uri] })
    await callText(client, 'toggle-subscriber-updates')
    await vi.waitFor(() => expect(told).toContain(uri), 10_000)
    const stop = new AbortController()
    const long = client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 60, steps: 60 } },
      { signal: stop.signal, onprogress: () => stop.abort() },
    )
    await expect(long).rejects.toThrow()
    expect(await callText(client, 'echo', { message: 'after' })).toBe('Echo: after')
  })
})
