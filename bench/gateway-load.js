/**
 * Calls an MCP server as fast as it answers, in a process of its own: takes jobs as messages of its parent and answers each.
 *
 * A job is `{ url, headers, connections, seconds }` or, for so many calls, `{ …, calls }`; each connection makes one call
 * after the other. Every answer is looked at: one that is not what was asked for ends the job with an error.
 */
import { performance } from 'node:perf_hooks'
import { Client } from 'undici'

const TEXT = 'The quick brown fox jumps over the lazy dog'
const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const PROTOCOL = '2025-11-25'

let lastId = 0

process.on('message', (job) => {
  run(job).then(
    (result) => process.send(result),
    (error) => process.send({ error: error.message }),
  )
})

async function run({
  url,
  headers,
  connections,
  seconds = Number.POSITIVE_INFINITY,
  calls = Number.POSITIVE_INFINITY,
}) {
  const { origin, pathname: path } = new URL(url)
  const clients = Array.from({ length: connections }, () => new Client(origin))
  try {
    const target = { path, headers: await openSession(clients[0], { path, headers: { ...HEADERS, ...headers } }) }
    const waits = []
    const start = performance.now()
    const end = start + seconds * 1000
    let left = calls
    const callOn = async (client) => {
      for (let now = performance.now(); now < end && left > 0; ) {
        left -= 1
        await callTool(client, target)
        const then = performance.now()
        waits.push(then - now)
        now = then
      }
    }
    await Promise.all(clients.map(callOn))
    const elapsed = (performance.now() - start) / 1000
    waits.sort((a, b) => a - b)
    const at = (share) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))]
    return { calls: waits.length, perSecond: waits.length / elapsed, p50: at(0.5), p99: at(0.99) }
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

/** Gives the headers of the calls that follow. */
async function openSession(client, { path, headers }) {
  const params = { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: 'bench', version: '1' } }
  const hello = await post(client, { path, headers }, { method: 'initialize', params, id: newId() })
  const session = hello.headers['mcp-session-id']
  const known = { ...headers, 'mcp-protocol-version': PROTOCOL, ...(session && { 'mcp-session-id': session }) }
  await post(client, { path, headers: known }, { method: 'notifications/initialized' })
  return known
}

async function callTool(client, target) {
  const id = newId()
  const { body } = await post(client, target, {
    method: 'tools/call',
    params: { name: 'echo', arguments: { text: TEXT } },
    id,
  })
  if (body.includes(`"text":"${TEXT}"`) && body.includes(`"id":${id}`)) return
  throw new Error(`a call was answered with: ${body}`)
}

/** Ids are never used twice: servers tell the calls of a session apart by them. */
function newId() {
  lastId += 1
  return lastId
}

/** Below `Client.request`, which makes a stream of each answer. */
function post(client, { path, headers }, message) {
  return new Promise((resolve, reject) => {
    const answer = { status: 0, headers: {}, body: '' }
    client.dispatch(
      { method: 'POST', path, headers, body: JSON.stringify({ jsonrpc: '2.0', ...message }) },
      {
        onRequestStart() {},
        onResponseStart(_, status, headers) {
          Object.assign(answer, { status, headers })
        },
        onResponseData(_, chunk) {
          answer.body += chunk
        },
        onResponseEnd() {
          if (answer.status < 300) resolve(answer)
          else reject(new Error(`${message.method} was answered with ${answer.status}: ${answer.body}`))
        },
        onResponseError(_, error) {
          reject(error)
        },
      },
    )
  })
}
