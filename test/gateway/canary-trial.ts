/**
 * A credential that a server gives away wherever a message has room for it, in every form that is looked for: followed
 * through one way over the gateway, as bytes on the client's side, in the log and in the audit log.
 */

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { expect, onTestFinished, vi } from 'vitest'
import { findForms } from '../support/forms.js'
import { type Era, PROGRAM, withProgram } from './child-support.js'
import { GatewayWorld, NOTES_KEY } from './gateway-support.js'
import { connectRemote, connectStdio } from './stdio-support.js'

const METHODS = ['tools', 'resources', 'prompts'] as const
const CAPABILITIES = { sampling: {}, elicitation: {} }

/** One way from a client to a server. */
export interface Way {
  readonly front: 'http' | 'stdio' | 'merged' | 'remote'
  readonly back: 'program' | 'http'
  readonly era: Era
  /** What the server speaks. */
  readonly serverEra: Era | 'both'
}

/** What a client has got, byte for byte. */
class Wire {
  text = ''

  readonly take = (text: string): void => {
    this.text += text
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    this.take(JSON.stringify([...response.headers]))
    if (response.body === null) return response
    const [own, copy] = response.body.tee()
    void this.#read(copy)
    return new Response(own, { status: response.status, headers: response.headers })
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of body) this.take(Buffer.from(chunk).toString())
    } catch {
      // The client has ended it.
    }
  }
}

type Step = (client: Client, tool: string) => Promise<unknown>

const leak =
  (where: string): Step =>
  (client, name) =>
    client.callTool({ name, arguments: { where } }, where === 'progress' ? { onprogress: () => {} } : {})

/** Where the server gives it away, and which ways have room for that. */
const STEPS: Readonly<Record<string, { readonly run: Step; isOn(way: Way): boolean }>> = {
  result: { run: leak('result'), isOn: () => true },
  structured: { run: leak('structured'), isOn: () => true },
  error: { run: leak('error'), isOn: () => true },
  progress: { run: leak('progress'), isOn: () => true },
  log: { run: leak('log'), isOn: hasSession },
  sampling: { run: leak('sampling'), isOn: hasSession },
  elicitation: { run: leak('elicitation'), isOn: hasSession },
  updated: { run: leak('updated'), isOn: hasSession },
  input: { run: leak('input'), isOn: ({ era, serverEra }) => era === 'modern' && serverEra !== 'legacy' },
  prompts: { run: (client) => client.listPrompts(), isOn: isNamed },
  prompt: { run: (client) => client.getPrompt({ name: 'leak' }), isOn: isNamed },
  resource: { run: (client) => client.readResource({ uri: 'leak://it' }), isOn: isNamed },
  // What is left of it is no base64, which a client may not take.
  blob: { run: (client) => client.readResource({ uri: 'leak://blob' }), isOn: isNamed },
}

function hasSession({ front, era }: Way): boolean {
  return front !== 'merged' && era === 'legacy'
}

function isNamed({ front }: Way): boolean {
  return front !== 'merged'
}

/** Follows the credential along a way; gives the steps that were made. */
export async function followCanary(way: Way): Promise<readonly string[]> {
  const world = await startWorld(way)
  const steps = await walk(await reach(world, way), way, (text) => /\[redacted\]|its answer cannot be read/.test(text))
  const audit = JSON.stringify(world.audit())
  // Its own words go into the log alone.
  await vi.waitFor(() => expect(world.log.join('')).toMatch(way.back === 'program' ? /"line":".*\[redacted\]/ : /./))
  for (const text of [world.log.join(''), audit]) expect(findForms(text, NOTES_KEY)).toEqual([])
  expect(world.audit().some(({ event, upstream }) => event === 'leak' && upstream === 'notes')).toBe(true)
  return steps
}

/** Follows the same value where it is no credential: it must be seen at every step, or seeing none would say nothing. */
export async function followPlainValue(way: Way): Promise<readonly string[]> {
  const world = await startLeaking(way.serverEra)
  const wire = await reach(world, way)
  return walk(wire, way, (text) => findForms(text, NOTES_KEY).length > 0, true)
}

interface Reached {
  readonly client: Client
  readonly wire: Wire
}

async function walk(
  { client, wire }: Reached,
  way: Way,
  hasCome: (text: string) => boolean,
  isSeen = false,
): Promise<readonly string[]> {
  const content = { type: 'text', text: 'so' } as const
  client.setRequestHandler('sampling/createMessage', () => ({ model: 'm', role: 'assistant', content }))
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }))
  const made: string[] = []
  for (const [name, { run, isOn }] of Object.entries(STEPS)) {
    if (!isOn(way)) continue
    const from = wire.text.length
    await run(client, way.front === 'merged' ? 'notes__leak' : 'leak').catch(() => {})
    await vi.waitFor(() => expect(hasCome(wire.text.slice(from)), name).toBe(true), 5000)
    made.push(name)
  }
  await client.callTool({ name: way.front === 'merged' ? 'notes__leak' : 'leak', arguments: { where: 'stderr' } })
  if (!isSeen) expect(findForms(wire.text + decoded(wire.text), NOTES_KEY)).toEqual([])
  return made
}

/** All strings of all messages, after JSON decoding. */
function decoded(text: string): string {
  const strings: string[] = []
  for (const line of text.split('\n')) {
    const json = line.replace(/^data: /, '')
    if (!json.startsWith('{')) continue
    JSON.parse(json, (key, value: unknown) => {
      strings.push(key)
      if (typeof value === 'string') strings.push(value)
      return value
    })
  }
  expect(strings.length).toBeGreaterThan(0)
  return strings.join('\n')
}

async function startWorld({ back, serverEra }: Way): Promise<GatewayWorld> {
  if (back === 'program') return withProgram(serverEra, { isServed: true })
  const far = await startLeaking(serverEra)
  const world = await GatewayWorld.create()
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const key = '${vault:notes_key}'
  const headers = { authorization: `Bearer ${await far.token({ tools: ['*'], methods: METHODS })}`, 'x-key': key }
  await world.start({ mcpServers: { notes: { url: `${far.origin}/mcp/notes`, headers } } })
  return world
}

/** A gateway that does not know the value for a credential: what its server says goes on as it is. */
async function startLeaking(era: Era | 'both'): Promise<GatewayWorld> {
  const world = await GatewayWorld.create()
  const notes = { command: process.execPath, args: [PROGRAM, era], env: { NOTES_KEY } }
  await world.start({ mcpServers: { notes } })
  return world
}

async function reach(world: GatewayWorld, { front, era }: Way): Promise<Reached> {
  const wire = new Wire()
  const token = await world.token({ tools: ['*'], methods: METHODS })
  const options = { era, capabilities: CAPABILITIES, onLine: wire.take }
  if (front === 'stdio') return { wire, client: await connectStdio(world, token, options) }
  if (front === 'remote') return { wire, client: await connectRemote(`${world.origin}/mcp/notes`, token, options) }
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy'
  const client = new Client(
    { name: 'canary', version: '1' },
    { versionNegotiation: { mode }, capabilities: CAPABILITIES },
  )
  const url = new URL(`${world.origin}${front === 'merged' ? '/mcp' : '/mcp/notes'}`)
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  onTestFinished(() => client.close())
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit, fetch: wire.fetch }))
  return { wire, client }
}
