import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { describe, expect, it, onTestFinished } from 'vitest'
import { NOTES_KEY } from './gateway-support.js'
import { ProgramHome } from './program-support.js'

const PROGRAM = fileURLToPath(new URL('child-program.mjs', import.meta.url))

interface Entry {
  readonly command: string
  readonly args: readonly string[]
}

/** Does what a client does with the entry that stands in its config. */
async function start(home: ProgramHome, path: string): Promise<Client> {
  const { notes } = (JSON.parse(readFileSync(path, 'utf8')) as { mcpServers: { notes: Entry } }).mcpServers
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'legacy' } })
  const transport = new StdioClientTransport({ ...notes, args: [...notes.args], env: home.env, stderr: 'pipe' })
  onTestFinished(() => client.close())
  await client.connect(transport)
  return client
}

describe('an entry that adopt --gateway has rewritten', () => {
  it('starts nothing before the configuration was approved, and then the same server behind a token', async () => {
    const home = new ProgramHome()
    home.run(['init', '--quiet'])
    const path = join(home.directory, 'claude.json')
    const entry = { command: process.execPath, args: [PROGRAM, 'legacy'], env: { NOTES_KEY } }
    writeFileSync(path, JSON.stringify({ mcpServers: { notes: entry } }, null, 2), { mode: 0o600 })
    home.run(['adopt', '--gateway', '--yes', path])
    expect(readFileSync(path, 'utf8')).not.toContain(NOTES_KEY)
    await expect(start(home, path)).rejects.toThrow()
    home.run(['config', 'allow', '--yes'])
    const client = await start(home, path)
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('who')
    const answer = (await client.callTool({ name: 'who', arguments: {} })).content as { text: string }[]
    // The server has the value: it says it, and the gateway takes it out.
    expect(answer[0]?.text).toContain('[redacted]')
  })
})
