/**
 * The least that a relay over HTTP can do: `node gateway-pass.js URL` reads a request, sends it on and hands the answer
 * back. It checks nothing, records nothing, knows no credential and redacts nothing, so what it costs is the cost of
 * being in between at all: no gateway on the same runtime can be faster.
 */
import { createServer } from 'node:http'
import { Pool } from 'undici'

const { origin, pathname: path } = new URL(process.argv[2])
const pool = new Pool(origin, { connections: 256 })
const KEPT = ['accept', 'content-type', 'mcp-session-id', 'mcp-protocol-version']

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => pass(request, response, Buffer.concat(chunks)))
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}${path}\n`))

function pass({ method, headers }, response, body) {
  const answer = { status: 0, headers: {}, chunks: [] }
  pool.dispatch(
    { method, path, headers: pick(headers), body },
    {
      onRequestStart() {},
      onResponseStart(_, status, received) {
        Object.assign(answer, { status, headers: pick(received) })
      },
      onResponseData(_, chunk) {
        answer.chunks.push(chunk)
      },
      onResponseEnd() {
        const whole = Buffer.concat(answer.chunks)
        response.writeHead(answer.status, { ...answer.headers, 'content-length': whole.length }).end(whole)
      },
      onResponseError(_, error) {
        response.destroy(error)
      },
    },
  )
}

function pick(headers) {
  return Object.fromEntries(KEPT.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]))
}
