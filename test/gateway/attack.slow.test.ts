import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { expect, it, onTestFinished, vi } from 'vitest'
import { launcher } from '../support/built.js'
import { call, GatewayWorld, NOTES_KEY, sendResult, startUpstream } from './gateway-support.js'
import { ProgramHome } from './program-support.js'

it('a client that never finishes its TLS handshake is ended within some seconds', async () => {
  const world = await GatewayWorld.create()
  const tls = { cert: readFileSync('test/fixtures/tls/cert.pem'), key: readFileSync('test/fixtures/tls/key.pem') }
  await world.start({ mcpServers: { notes: { url: 'https://notes.example/mcp' } } }, { tls })
  const silent = connect(Number(new URL(world.origin).port), '127.0.0.1')
  silent.on('error', () => {})
  await vi.waitFor(() => expect(silent.closed).toBe(true), { timeout: 30_000, interval: 100 })
}, 60_000)

it('a budget holds over SIGKILL with calls under way', async () => {
  let isHeld = true
  const upstream = await startUpstream((received, response) => {
    if (!isHeld) sendResult(received, response, { content: [] })
  })
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const headers = { Authorization: 'Bearer ${vault:notes_key}' }
  const home = ProgramHome.create({ notes_key: NOTES_KEY }, { notes: { url: `${upstream.url}/mcp`, headers } })
  const token = home.run(['token', 'create', '--tools', 'notes/a', '--calls', '20']).trim()
  const serve = async () => {
    const argv = [launcher(), 'serve', '--listen', '127.0.0.1:0']
    const child = spawn(process.execPath, argv, { env: home.env, stdio: ['ignore', 'ignore', 'pipe'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await vi.waitFor(() => expect(said).toContain('"serving"'), { timeout: 20_000 })
    const post = (): Promise<Response> =>
      fetch(/"url":"([^"]+)"/.exec(said)?.[1]?.concat('/notes') ?? '', {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify(call('a')),
      })
    return { child, post }
  }
  for (let round = 1; round <= 3; round += 1) {
    const { child, post } = await serve()
    const calls = Array.from({ length: 3 }, () => post().catch(() => undefined))
    await vi.waitFor(() => expect(upstream.received).toHaveLength(round * 3), { timeout: 20_000 })
    child.kill('SIGKILL')
    await Promise.all([once(child, 'exit'), ...calls])
  }
  // Every line of the audit log is whole: each call was recorded before it was made.
  const records = home.audit()
  expect(records.filter(({ event }) => event === 'call')).toHaveLength(9)
  isHeld = false
  const { post } = await serve()
  let answered = 0
  for (let more = 0; more < 15; more += 1) if ((await post()).status === 200) answered += 1
  expect(answered).toBe(11)
  expect(upstream.received).toHaveLength(20)
}, 120_000)
