/**
 * An MCP server for the conformance suite, over Streamable HTTP on loopback: sessions for the protocols up to 2025-11-25,
 * one request at a time for 2026-07-28. Prints its address.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  originValidationResponse,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createFeatures } from './features.mjs'

const sessions = new Map()
const modern = createMcpHandler(createFeatures, { legacy: 'reject' })

async function answer(request) {
  const refusal =
    hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
    originValidationResponse(request, localhostAllowedOrigins())
  if (refusal !== undefined) return refusal
  return (await isLegacyRequest(request)) ? answerInSession(request) : modern.fetch(request)
}

async function answerInSession(request) {
  const id = request.headers.get('mcp-session-id')
  if (id === null) return (await openSession()).handleRequest(request)
  const transport = sessions.get(id)
  return transport?.handleRequest(request) ?? Response.json(noSession(), { status: 404 })
}

async function openSession() {
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => void sessions.set(id, transport),
    onsessionclosed: (id) => void sessions.delete(id),
  })
  await createFeatures().connect(transport)
  return transport
}

function noSession() {
  return { jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }
}

const server = createServer(toNodeHandler({ fetch: answer }))
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}/mcp\n`))
