/**
 * The MCP server that the gateway's benchmark stands in front of: one tool, `echo`.
 *
 * `node gateway-upstream.js sdk` serves Streamable HTTP as the SDK does, in sessions, and prints its address; `stdio` is the
 * same server over stdin and stdout. `bare` answers over HTTP, and `bare-stdio` over stdin and stdout, with hardly any work
 * at all: no server that does something is as fast, so they show the cost of what stands in front of them.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { Server, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'

const INFO = { name: 'bench', version: '1' }

const FORMS = {
  sdk: () => listen(toNodeHandler({ fetch: answerWithSdk })),
  bare: () => listen(answerBare),
  stdio,
  'bare-stdio': bareStdio,
}
await FORMS[process.argv[2]]()

function createEcho() {
  const server = new Server(INFO, { capabilities: { tools: {} } })
  server.setRequestHandler('tools/list', () => ({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }))
  server.setRequestHandler('tools/call', ({ params }) => echo(params))
  return server
}

function echo({ arguments: { text } }) {
  return { content: [{ type: 'text', text }] }
}

function stdio() {
  serveStdio(createEcho)
}

const sessions = new Map()

async function answerWithSdk(request) {
  const session = request.headers.get('mcp-session-id')
  return (sessions.get(session) ?? (await openSession())).handleRequest(request)
}

async function openSession() {
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => void sessions.set(id, transport),
  })
  await createEcho().connect(transport)
  return transport
}

function answerBare(request, response) {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const { id, method, params } = JSON.parse(Buffer.concat(chunks))
    if (id === undefined) return response.writeHead(202).end()
    const body = bareAnswer({ id, method, params })
    const session = method === 'initialize' ? { 'mcp-session-id': 'bare' } : {}
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...session,
    })
    response.end(body)
  })
}

function bareAnswer({ id, method, params }) {
  const hello = { protocolVersion: params?.protocolVersion, capabilities: { tools: {} }, serverInfo: INFO }
  const result = method === 'tools/call' ? echo(params) : hello
  return JSON.stringify({ jsonrpc: '2.0', id, result })
}

function bareStdio() {
  createInterface(process.stdin).on('line', (line) => {
    const message = JSON.parse(line)
    if (message.id !== undefined) process.stdout.write(`${bareAnswer(message)}\n`)
  })
}

function listen(listener) {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}/mcp\n`))
}
