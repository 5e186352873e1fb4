import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { call, GatewayWorld, rpc, sendResult, startUpstream } from './gateway-support.js'

describe('a gateway that is being ended', () => {
  it('answers what is under way, takes nothing new, and tells a client that keeps its connection', async () => {
    let release = (): void => {}
    const upstream = await startUpstream(async (received, response) => {
      await new Promise<void>((resolve) => (release = resolve))
      sendResult(received, response, { content: [] })
    })
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    const socket = connect(Number(new URL(world.origin).port), '127.0.0.1')
    let said = ''
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')))
    const request = (): string => {
      const body = JSON.stringify(call('a'))
      const head = `POST /mcp/notes HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n`
      return `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    }
    socket.write(request())
    await vi.waitFor(() => expect(upstream.received).toHaveLength(1))
    const stopped = world.stop()
    await vi.waitFor(() => expect(world.log.join('')).toContain('"draining"'))
    socket.write(request())
    await expect(world.post(rpc('ping'), { token })).rejects.toThrow()
    release()
    await once(socket, 'close')
    await stopped
    expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(said.toLowerCase()).toContain('connection: close')
    expect(upstream.received).toHaveLength(1)
    expect(world.audit().map(({ event }) => event)).toEqual(['call', 'result'])
  })
})

describe('what operators ask', () => {
  it('is answered with an error, and not with silence, when it is too long or the records cannot be read', async () => {
    const upstream = await startUpstream((received, response) => sendResult(received, response, {}))
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token({ methods: ['introspect'] })
    const headers = { authorization: `Bearer ${token}` }
    const ask = (body: string): Promise<Response> =>
      fetch(`${world.origin}/introspect`, { method: 'POST', headers, body })
    const chunks = new ReadableStream({
      start: (controller) => {
        for (let sent = 0; sent < 5; sent += 1) controller.enqueue(Buffer.alloc(1024 * 1024, 'a'))
        controller.close()
      },
    })
    const tooLong = await fetch(`${world.origin}/introspect`, {
      method: 'POST',
      headers,
      body: chunks,
      duplex: 'half',
    } as RequestInit)
    expect(tooLong.status).toBe(413)
    chmodSync(join(world.vault.directory, 'mcp_tokens.jsonl'), 0o666)
    expect((await ask(`token=${token}`)).status).toBe(503)
    expect(world.log.join('')).toContain('/introspect could not be answered')
    chmodSync(join(world.vault.directory, 'mcp_tokens.jsonl'), 0o600)
    expect(await (await ask(`token=${token}`)).json()).toMatchObject({ active: true })
  })
})

describe('a certificate', () => {
  it('that is none is an error of the command and repeats nothing of the file', async () => {
    const world = await GatewayWorld.create()
    const tls = { cert: Buffer.from('sk_live_not_a_certificate'), key: Buffer.from('sk_live_not_a_key') }
    const failure = world.start({ mcpServers: { notes: { url: 'https://notes.example/mcp' } } }, { tls })
    await expect(failure).rejects.toMatchObject({ code: 'INPUT', message: expect.not.stringContaining('sk_live') })
  })
})
