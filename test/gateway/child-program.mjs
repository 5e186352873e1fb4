/**
 * A program that speaks MCP over stdio and does what a test asks it to: `node child-program.mjs both|legacy|modern`.
 * Tools: `echo`, `who` (its pid and value), `wait` (ms), `crash`, `hang`, `flood` (stderr), `chatter` (stdout), `env`,
 * `ask` (the client's model), `confirm` (the client's user, as the era does it), `roots`, `state` (what it was told of
 * levels and subscriptions, and which calls were cancelled), `touch` (a resource, all lists), `meta`,
 * `odd` (asks whether or not that can be carried), and `leak`, which gives its value away in one place and in all forms. The prompt `leak` and the resources `leak://it` and `leak://blob` do so too.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { inputRequired, Server } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'

const [era = 'both'] = process.argv.slice(2)
const text = (value) => ({
  content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }],
})

const state = { level: undefined, subscribed: [], cancelled: 0 }

/** The value in every form that is looked for. */
function forms() {
  const bytes = Buffer.from(process.env.NOTES_KEY ?? '')
  const shifted = (pad) => Buffer.concat([Buffer.from(pad), bytes, Buffer.from('end')])
  const base64 = ['', 'x', 'xy'].flatMap((pad) => [shifted(pad).toString('base64'), shifted(pad).toString('base64url')])
  const [raw, hex, percent] = [bytes.toString(), bytes.toString('hex'), encodeURIComponent(bytes.toString())]
  return [raw, hex, hex.toUpperCase(), percent, JSON.stringify({ raw }), ...base64].join(' | ')
}

const question = (words) => ({ messages: [{ role: 'user', content: { type: 'text', text: words } }], maxTokens: 5 })
const form = (message) => ({ message, requestedSchema: { type: 'object', properties: { ok: { type: 'boolean' } } } })

const LEAKS = {
  result: () => text(forms()),
  structured: () => ({ ...text('it'), structuredContent: { [forms()]: forms() } }),
  error: () => {
    throw Object.assign(new Error(forms()), { code: -32050, data: { told: forms() } })
  },
  progress: async ({ mcpReq }) => {
    const params = { progressToken: mcpReq._meta?.progressToken, progress: 1, message: forms() }
    await mcpReq.notify({ method: 'notifications/progress', params })
    return text('done')
  },
  log: async ({ mcpReq }) => {
    await mcpReq.notify({ method: 'notifications/message', params: { level: 'error', logger: forms(), data: forms() } })
    return text('done')
  },
  sampling: async ({ mcpReq }) => text((await mcpReq.requestSampling(question(forms()))).content),
  elicitation: async ({ mcpReq }) => text(await mcpReq.elicitInput(form(forms()))),
  input: ({ mcpReq }) =>
    mcpReq.inputResponses === undefined
      ? inputRequired({ inputRequests: { it: inputRequired.elicit(form(forms())) }, requestState: forms() })
      : text('done'),
  stderr: () => {
    process.stderr.write(`${forms()}\n`)
    return text('done')
  },
  updated: async (_, server) => {
    await server.notification({ method: 'notifications/resources/updated', params: { uri: `leak://${forms()}` } })
    return text('done')
  },
}

const TOOLS = {
  echo: ({ value }) => text(String(value)),
  who: () => text({ pid: process.pid, value: process.env.NOTES_KEY }),
  wait: async ({ ms }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken
    if (progressToken !== undefined) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 2 } })
    }
    await wait(ms, undefined, { signal: mcpReq.signal }).catch(() => {
      state.cancelled += 1
      process.stderr.write('was cancelled\n')
    })
    return text('waited')
  },
  crash: () => process.exit(3),
  hang: () => {
    for (;;);
  },
  flood: ({ bytes }) => {
    const line = `${process.env.NOTES_KEY} ${'x'.repeat(990)}\n`
    for (let written = 0; written < bytes; written += line.length) process.stderr.write(line)
    return text('flooded')
  },
  chatter: () => {
    process.stdout.write(`a log line ${process.env.NOTES_KEY}\n{"not":"a message"}\n\n[1]\n`)
    return text('chatted')
  },
  env: () => text(Object.keys(process.env).sort()),
  ask: async (_, { mcpReq }) => text((await mcpReq.requestSampling(question('well?'))).content),
  confirm: (_, { mcpReq }) =>
    mcpReq.inputResponses === undefined
      ? inputRequired({ inputRequests: { sure: inputRequired.elicit(form('sure?')) }, requestState: 'asked' })
      : text({ ...mcpReq.inputResponses, state: mcpReq.requestState() }),
  roots: async (_args, _context, server) => text(await server.listRoots()),
  state: () => text(state),
  touch: async ({ uri }, { mcpReq }, server) => {
    await server.notification({ method: 'notifications/resources/updated', params: { uri } })
    for (const list of ['tools', 'prompts', 'resources']) {
      await server.notification({ method: `notifications/${list}/list_changed` })
    }
    const params = { level: 'info', data: `touched ${uri}` }
    if (era !== 'modern') await mcpReq.notify({ method: 'notifications/message', params })
    return text('touched')
  },
  odd: (_, { mcpReq }) => {
    const result = { resultType: 'input_required', requestState: 'asked' }
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: mcpReq.id, result })}\n`)
    return text('too late')
  },
  meta: (_, { mcpReq }) => text(mcpReq._meta ?? {}),
  leak: ({ where }, context, server) => LEAKS[where](context, server),
}

function createServer() {
  const changes = { listChanged: true }
  const capabilities = { tools: changes, prompts: changes, resources: { ...changes, subscribe: true }, logging: {} }
  const server = new Server({ name: 'child', version: '1' }, { capabilities })
  server.setRequestHandler('tools/list', () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name,
      description: process.env.CHILD_DESCRIPTION ?? `does ${name}`,
      inputSchema: { type: 'object' },
    })),
  }))
  server.setRequestHandler('tools/call', ({ params }, context) =>
    TOOLS[params.name](params.arguments ?? {}, context, server),
  )
  server.setRequestHandler('prompts/list', () => ({ prompts: [{ name: 'leak', description: forms() }] }))
  server.setRequestHandler('prompts/get', () => ({
    messages: [{ role: 'user', content: { type: 'text', text: forms() } }],
  }))
  const blob = Buffer.from(`so: ${process.env.NOTES_KEY}`).toString('base64')
  server.setRequestHandler('resources/list', () => ({ resources: [{ name: 'leak', uri: 'leak://it' }] }))
  server.setRequestHandler('resources/read', ({ params: { uri } }) => ({
    contents: [uri === 'leak://blob' ? { uri, blob } : { uri, text: forms() }],
  }))
  server.setRequestHandler('resources/subscribe', ({ params }) => {
    state.subscribed.push(params.uri)
    return {}
  })
  server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    state.subscribed = state.subscribed.filter((uri) => uri !== params.uri)
    return {}
  })
  server.setRequestHandler('logging/setLevel', ({ params }) => {
    state.level = params.level
    return {}
  })
  return server
}

process.stderr.write(`started with ${process.env.NOTES_KEY}\n`)
if (era === 'legacy') await createServer().connect(new StdioServerTransport())
else serveStdio(createServer, { legacy: era === 'modern' ? 'reject' : 'serve' })
