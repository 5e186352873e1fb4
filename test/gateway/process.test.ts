import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'
import { findForms } from '../support/forms.js'
import { call, sendResult, startUpstream } from './gateway-support.js'

const SECRET = 'sk_live_canary/of+the "gateway"'
const KEY = `${Buffer.alloc(32, 'gateway').toString('base64url')}=`

interface Place {
  readonly directory: string
  run(argv: readonly string[], stdin?: string): string
  serve(): Promise<{ child: ChildProcess; origin: string; stderr: () => string }>
}

function createPlace(): Place {
  const directory = temporaryDirectory()
  const env = { PATH: process.env.PATH, HOME: directory, MCP_ENCRYPTION_KEY: KEY }
  const run = (argv: readonly string[], input = ''): string => {
    const result = spawnSync(process.execPath, ['--', launcher(), ...argv], {
      cwd: directory,
      env,
      input,
      encoding: 'utf8',
    })
    if (result.status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${result.status}: ${result.stderr}`)
    return result.stdout
  }
  run(['init', '--vault', 'mcp_credentials.enc'])
  const serve: Place['serve'] = async () => {
    const argv = ['--', launcher(), 'serve', '--listen', '127.0.0.1:0']
    const child = spawn(process.execPath, argv, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
    await expect.poll(() => said, { timeout: 20_000 }).toContain('"msg":"serving"')
    const port = /"port":(\d+)/.exec(said)?.[1]
    return { child, origin: `http://127.0.0.1:${port}`, stderr: () => said }
  }
  return { directory, run, serve }
}

describe('mcpvault serve, as a process', () => {
  it('serves, reloads, drains, and leaves a credential nowhere', async () => {
    let release = (): void => {}
    const upstream = await startUpstream(async (received, response) => {
      if (received.body.includes('"slow"')) await new Promise<void>((resolve) => (release = resolve))
      sendResult(received, response, { content: [{ type: 'text', text: `${received.headers.authorization}` }] })
    })
    const place = createPlace()
    place.run(['store', 'notes_key', '--stdin'], SECRET)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
    const headers = { Authorization: 'Bearer ${vault:notes_key}' }
    const config = { mcpServers: { notes: { url: `${upstream.url}/mcp`, headers } } }
    writeFileSync(join(place.directory, 'mcpvault.json'), JSON.stringify(config), { mode: 0o600 })
    place.run(['config', 'allow', '--yes'])
    const token = place.run(['token', 'create', '--tools', 'notes/a,notes/slow']).trim()
    const { child, origin, stderr } = await place.serve()
    const post = (message: object): Promise<Response> =>
      fetch(`${origin}/mcp/notes`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify(message),
      })
    const answer = await (await post(call('a'))).text()
    expect(answer).toContain('Bearer [redacted]')
    expect(upstream.received.at(-1)?.headers.authorization).toBe(`Bearer ${SECRET}`)
    expect(readFileSync(join(place.directory, 'mcp_holders.jsonl'), 'utf8')).toContain('"serve"')

    // Signals: a reload, the inspector that stays closed, and an end that waits for what is under way.
    child.kill('SIGHUP')
    child.kill('SIGUSR1')
    await expect.poll(stderr).toContain('"msg":"reloaded"')
    const slow = post(call('slow'))
    await expect.poll(() => upstream.received.length).toBe(2)
    child.kill('SIGTERM')
    await expect.poll(stderr).toContain('"msg":"draining"')
    await expect(post(call('a'))).rejects.toThrow()
    release()
    expect((await slow).status).toBe(200)
    if (child.exitCode === null) await once(child, 'exit')
    expect(child.exitCode).toBe(0)
    expect(stderr()).not.toContain('Debugger listening')

    const written = [stderr(), answer, ...everyFile(place.directory)]
    for (const text of written) expect(findForms(text, SECRET)).toEqual([])
    // The control: the canary is found where it was put.
    expect(findForms(JSON.stringify(upstream.received), SECRET)).not.toEqual([])
  })
})

function everyFile(directory: string): readonly string[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(names.map(({ name }) => name)).toContain('mcp_audit.jsonl')
  return names
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter(existsSync)
    .map((path) => readFileSync(path, 'latin1'))
}
