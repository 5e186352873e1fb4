import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { demandOf } from '../../src/gateway/decide.js'
import { type Frame, parseFrame } from '../../src/gateway/frame.js'

/**
 * Bytes that two readers may take for two things. `allowed` and `forbidden` stand for the tool that a token may call and
 * the one that it may not.
 */
const CALL = '"jsonrpc":"2.0","id":1,"method":"tools/call"'
const ODD: readonly string[] = [
  `{${CALL},"params":{"name":"allowed"}}`,
  `{${CALL},"params":{"name":"forbidden"}}`,
  `{${CALL},"params":{"name":"allowed","name":"forbidden"}}`,
  `{${CALL},"params":{"name":"forbidden","name":"allowed"}}`,
  `{${CALL},"params":{"name":"allowed","n\\u0061me":"forbidden"}}`,
  `{${CALL},"params":{"name":"allowed","Name":"forbidden"}}`,
  `{${CALL},"params":{"name":"allowed"},"params":{"name":"forbidden"}}`,
  `{${CALL},"Params":{"name":"forbidden"},"params":{"name":"allowed"}}`,
  `{${CALL},"params":{"name":"allowed","__proto__":{"name":"forbidden"}}}`,
  `{${CALL},"__proto__":{"params":{"name":"forbidden"}},"params":{"name":"allowed"}}`,
  `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":1,"method":"ping"}\n{${CALL},"params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":1,"method":"ping",\r"params":{}}\r{${CALL},"params":{"name":"forbidden"}}`,
  `{${CALL},"params":{"name":"allowed","arguments":{"x":"\r{${CALL}}"}}}`,
  `{${CALL},\n"params":{"name":\n"allowed"}}`,
  `{${CALL},\r"params":{"name":"allowed"\r}}`,
  `{${CALL},"params":{"name":"allowed","arguments":{"x":"\u2028\u0085{${CALL.replaceAll('"', '\\"')}}"}}}`,
  `[{${CALL},"params":{"name":"forbidden"}}]`,
  `[{"jsonrpc":"2.0","id":1,"method":"ping"},{${CALL},"params":{"name":"forbidden"}}]`,
  `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"forbidden"},"result":{}}`,
  `{"jsonrpc":"2.0","id":1,"method":"tools\\/call","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":1,"method":"tools/call\\u0000","params":{"name":"forbidden"}}`,
  `{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{"name":"forbidden"}}`,
  `\ufeff{${CALL},"params":{"name":"forbidden"}}`,
  ` \n{${CALL},"params":{"name":"forbidden"}}`,
  `{${CALL},"params":{"name":"forbidden"}}\n\n`,
  `{${CALL},"params":{"name":"forbidden"}} trailing`,
  `{${CALL},"params":{"name":["forbidden"]}}`,
  `{${CALL},"params":["forbidden"]}`,
  `{${CALL},"params":{"name":"forbidden"},}`,
  `{${CALL},/**/"params":{"name":"forbidden"}}`,
  `{'jsonrpc':'2.0','id':1,'method':'tools/call','params':{'name':'forbidden'}}`,
]

/** A server that notes which tools it was really made to run. */
function makeServer(ran: string[]): McpServer {
  const server = new McpServer({ name: 'odd', version: '1.0.0' })
  for (const name of ['allowed', 'forbidden']) {
    server.registerTool(name, { inputSchema: z.object({}).loose() }, () => {
      ran.push(name)
      return { content: [] }
    })
  }
  return server
}

/** What the gateway would send on, and which tool it has decided about; undefined if it sends nothing. */
function decide(bytes: string): { readonly frame: Frame; readonly tool: string | undefined } | undefined {
  try {
    const frame = parseFrame(Buffer.from(bytes))
    return { frame, tool: demandOf(frame, (tool) => tool).tool }
  } catch {
    return undefined
  }
}

/** Runs bytes through a server over stdio and gives the tools that ran. */
async function runOverStdio(bytes: string): Promise<readonly string[]> {
  const ran: string[] = []
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  const server = makeServer(ran)
  await server.connect(new StdioServerTransport(stdin, stdout))
  const said: string[] = []
  stdout.on('data', (chunk: Buffer) => said.push(chunk.toString('utf8')))
  const hello = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }
  stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 'hello', method: 'initialize', params: hello })}\n`)
  stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
  stdin.write(`${bytes}\n`)
  stdin.write('{"jsonrpc":"2.0","id":"last","method":"ping"}\n')
  await expect.poll(() => said.join('')).toContain('"last"')
  await server.close()
  return ran
}

describe('whatever the SDK would run, the gateway has decided on', () => {
  it('over HTTP and over stdio, for bytes that can be read in two ways', async () => {
    const ran: string[] = []
    const listener = toNodeHandler(createMcpHandler(() => makeServer(ran)))
    const http = createServer((request, response) => void listener(request as Parameters<typeof listener>[0], response))
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      http.closeAllConnections()
      http.close()
    })
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
    const runOverHttp = async (body: string): Promise<readonly string[]> => {
      ran.length = 0
      await (await fetch(url, { method: 'POST', headers, body })).text()
      return [...ran]
    }
    let dangerous = 0
    for (const odd of ODD) {
      const decided = decide(odd)
      // Without the gateway some of these run what a careless check would not have seen.
      if ((await runOverHttp(odd)).includes('forbidden')) dangerous += 1
      if (decided === undefined) continue
      const { frame, tool } = decided
      const expected = tool === undefined ? [] : [tool]
      for (const seen of [await runOverHttp(frame.text), await runOverStdio(frame.text)]) {
        expect(
          seen.every((name) => expected.includes(name)),
          JSON.stringify(odd),
        ).toBe(true)
        expect(seen.length, JSON.stringify(odd)).toBeLessThanOrEqual(1)
      }
    }
    // The control: there was something to be seen.
    expect(dangerous).toBeGreaterThan(5)
    expect(ODD.filter((odd) => decide(odd) !== undefined).length).toBeGreaterThan(5)
  })

  it('a bare CR is the end of a line to a reader of lines, and does not survive', async () => {
    const smuggled = `{"jsonrpc":"2.0","id":1,"method":"ping",\r"params":{}}`
    expect(decide(smuggled)?.frame.text).toBe('{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}')
  })
})
