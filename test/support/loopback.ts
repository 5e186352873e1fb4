/**
 * Servers on loopback that answer well or badly.
 *
 * @module
 */

import { createServer as createHttpServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'

export interface LoopbackServer {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  /** The headers of every request so far; empty for a raw server. */
  readonly requests: IncomingHttpHeaders[]
  /** How many connections it has had. */
  connections(): number
  close(): Promise<void>
}

/** Starts a well-behaved HTTP server. */
export async function startHttp(listener: RequestListener): Promise<LoopbackServer> {
  const requests: IncomingHttpHeaders[] = []
  const server = createHttpServer((request, response) => {
    requests.push(request.headers)
    listener(request, response)
  })
  return listen(server, requests)
}

/** Starts a TCP server that hands the socket over once the head of a request has come. */
export async function startRaw(onRequest: (socket: Socket, head: string) => void): Promise<LoopbackServer> {
  const server = createTcpServer((socket) => {
    let head = ''
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      const isFirst = !head.includes('\r\n\r\n')
      head += chunk.toString('latin1')
      if (isFirst && head.includes('\r\n\r\n')) onRequest(socket, head)
    })
  })
  return listen(server, [])
}

/** Starts a server that answers with these bytes and then ends the connection. */
export function startBytes(bytes: string): Promise<LoopbackServer> {
  return startRaw((socket) => socket.end(bytes))
}

/** Gives the address of a port on which nobody listens. */
export async function closedPort(): Promise<string> {
  const server = await startRaw(() => {})
  await server.close()
  return server.url
}

async function listen(server: Server, requests: IncomingHttpHeaders[]): Promise<LoopbackServer> {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
