import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { describe, expect, it } from 'vitest'
import { KEY } from '../cli/commands/support.js'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

const SERVER = join(
  dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')),
  'dist/index.js',
)

interface Entry {
  readonly command: string
  readonly args: string[]
  readonly env: Record<string, string>
}

/** Starts a server as a client does, and asks it for its environment. */
async function askEnvironment({ command, args, env }: Entry, home: string): Promise<Record<string, string>> {
  const client = new Client({ name: 'test', version: '1' })
  const transport = new StdioClientTransport({
    command,
    args,
    env: { PATH: process.env.PATH ?? '', ...env, HOME: home },
    cwd: home,
    stderr: 'ignore',
  })
  await client.connect(transport)
  try {
    const { content } = (await client.callTool({ name: 'get-env', arguments: {} })) as { content: { text: string }[] }
    return JSON.parse(content[0]?.text ?? '') as Record<string, string>
  } finally {
    await client.close()
  }
}

function entryOf(path: string): Entry {
  const { mcpServers } = JSON.parse(readFileSync(path, 'utf8')) as { mcpServers: { everything: Entry } }
  return mcpServers.everything
}

describe('server-everything from npm, started by the client of the MCP SDK', () => {
  it('sees the same environment through an adopted config as before', async () => {
    const home = temporaryDirectory()
    const env = { HOME: home, PATH: process.env.PATH ?? '' }
    const mcpvault = (...argv: readonly string[]): void => {
      const { status, stderr } = spawnSync(process.execPath, [launcher(), ...argv], {
        env,
        cwd: home,
        encoding: 'utf8',
      })
      expect(status, stderr).toBe(0)
    }
    mkdirSync(join(home, '.config', 'mcpvault'), { recursive: true, mode: 0o700 })
    writeFileSync(join(home, '.config', 'mcpvault', 'key'), KEY, { mode: 0o600 })
    mcpvault('init')
    const secrets = { API_TOKEN: 'quote " and \'\nline', GITHUB_TOKEN: 'ghp_abcdefghijklmnopqrstuvwxyz0123456789' }
    const old: Entry = { command: process.execPath, args: [SERVER, 'stdio'], env: { ...secrets, LOG_LEVEL: 'debug' } }
    const path = join(home, '.mcp.json')
    const text = JSON.stringify({ mcpServers: { everything: old } }, undefined, 2)
    writeFileSync(path, text, { mode: 0o600 })
    const before = await askEnvironment(old, home)
    expect(before).toMatchObject(secrets)

    mcpvault('adopt', '--yes')
    const adopted = entryOf(path)
    expect(adopted.env).toEqual({ LOG_LEVEL: 'debug' })
    expect(await askEnvironment(adopted, home)).toEqual(before)
    mcpvault('adopt', '--undo', '--yes')
    expect(readFileSync(path, 'utf8')).toBe(text)
  })
})
