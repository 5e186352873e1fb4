/**
 * A program that speaks MCP over stdio and does what a test asks it to: `node child-program.mjs both|legacy|modern`.
 * Tools: `echo`, `who` (its pid and value), `wait` (ms), `crash`, `hang`, `flood` (stderr), `chatter` (stdout), `env`, `ask` (the client's model), `meta`.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { Server } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'

const [era = 'both'] = process.argv.slice(2)
const text = (value) => ({
  content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }],
})

const TOOLS = {
  echo: ({ value }) => text(String(value)),
  who: () => text({ pid: process.pid, value: process.env.NOTES_KEY }),
  wait: async ({ ms }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken
    if (progressToken !== undefined) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 2 } })
    }
    await wait(ms, undefined, { signal: mcpReq.signal }).catch(() => process.stderr.write('was cancelled\n'))
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
  ask: async (_, { mcpReq }) => {
    const question = { role: 'user', content: { type: 'text', text: 'well?' } }
    return text((await mcpReq.requestSampling({ messages: [question], maxTokens: 5 })).content)
  },
  meta: (_, { mcpReq }) => text(mcpReq._meta ?? {}),
}

function createServer() {
  const server = new Server({ name: 'child', version: '1' }, { capabilities: { tools: { listChanged: true } } })
  server.setRequestHandler('tools/list', () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name,
      description: process.env.CHILD_DESCRIPTION ?? `does ${name}`,
      inputSchema: { type: 'object' },
    })),
  }))
  server.setRequestHandler('tools/call', ({ params }, context) => TOOLS[params.name](params.arguments ?? {}, context))
  return server
}

process.stderr.write(`started with ${process.env.NOTES_KEY}\n`)
if (era === 'legacy') await createServer().connect(new StdioServerTransport())
else serveStdio(createServer, { legacy: era === 'modern' ? 'reject' : 'serve' })
