import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { fail, json, KEY, read, succeed, VAULT, write } from './support.js'

const TOKEN = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'
const GITHUB = `"GitHub": { "type": "stdio", "command": "npx", "args": ["-y", "some-mcp"], "env": { "GITHUB_TOKEN": "${TOKEN}", "LOG": "debug" }, "disabled": false }`
const NOTES = `"my_notes": { "type": "http", "url": "https://notes.example/mcp", "headers": { "Authorization": "Bearer hunter2-hunter2" } }`
const CONFIG = `{\r\n  // mine\r\n  "mcpServers": {\r\n    ${GITHUB}, // until March\r\n    ${NOTES}\r\n  }\r\n}\r\n`
const GITHUB_SERVER = {
  command: 'npx',
  args: ['-y', 'some-mcp'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  env: { GITHUB_TOKEN: '${vault:github_token}', LOG: 'debug' },
}
const NOTES_SERVER = {
  url: 'https://notes.example/mcp',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  headers: { Authorization: 'Bearer ${vault:my_notes_token}' },
}

async function adoptingWorld(files: Readonly<Record<string, string>> = { '.mcp.json': CONFIG }): Promise<TestWorld> {
  const world = new TestWorld()
  mkdirSync(join(world.directory, '.config', 'mcpvault'), { recursive: true, mode: 0o700 })
  write(world, '.config/mcpvault/key', KEY)
  await succeed(world, 'init', '--vault', VAULT)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(world.directory, name)), { recursive: true })
    write(world, name, text)
  }
  return world
}

function servers(world: TestWorld): unknown {
  return JSON.parse(read(world, 'mcpvault.json')).mcpServers
}

describe('adopt --gateway', () => {
  it('moves servers with references to the gateway, and lets their clients start mcpvault connect', async () => {
    const world = await adoptingWorld()
    const answer = await json<object>(world, 'adopt', '--gateway', '--yes')
    expect(answer).toMatchObject({
      adopted: [{ form: 'connect' }, { form: 'connect' }],
      gateway: { config: join(world.directory, 'mcpvault.json'), servers: ['github', 'my-notes'], without: [] },
    })
    expect(servers(world)).toEqual({ github: GITHUB_SERVER, 'my-notes': NOTES_SERVER })
    expect(statSync(join(world.directory, 'mcpvault.json')).mode & 0o777).toBe(0o600)
    const [node, script] = world.context().host.launcher
    const connect = (name: string) => ({
      type: 'stdio',
      command: node,
      args: [script, 'connect', '--vault', join(world.directory, VAULT), name],
    })
    expect(JSON.parse(read(world, '.mcp.json').replaceAll(/ ?\/\/ .*/g, '')).mcpServers).toEqual({
      GitHub: { ...connect('github'), disabled: false },
      my_notes: connect('my-notes'),
    })
    expect(read(world, '.mcp.json')).toContain('// until March\r\n')
    for (const file of ['.mcp.json', 'mcpvault.json', 'mcp_adopted.jsonl']) {
      expect(read(world, file)).not.toMatch(/ghp_|hunter2/)
    }
    expect(await json(world, 'adopt', '--gateway', '--yes')).toMatchObject({ adopted: [] })
  })

  it('approves nothing by itself, and says how', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--gateway', '--yes')
    expect(world.stderr).toContain('the gateway runs none before you approve it: mcpvault config allow\n')
    expect(await json(world, 'config', 'show')).toMatchObject({ approved: false })
    await succeed(world, 'config', 'allow', '--yes')
    expect(await json(world, 'config', 'show')).toMatchObject({
      approved: true,
      servers: [{ credentials: ['github_token'] }, { credentials: ['my_notes_token'] }],
    })
  })

  it('keeps the servers that stand there byte for byte, and takes its own out again with --undo', async () => {
    const before =
      '{\n\t"privateHosts": ["10.0.0.1"],\n\t"mcpServers": {\n\t\t"own":   {"url":"https://x.example/mcp"}\n\t}\n}\n'
    const world = await adoptingWorld({ '.mcp.json': CONFIG, 'mcpvault.json': before })
    await succeed(world, 'adopt', '--gateway', '--yes')
    expect(read(world, 'mcpvault.json').startsWith(before.slice(0, before.indexOf('\n\t}\n}')))).toBe(true)
    expect(servers(world)).toMatchObject({ github: GITHUB_SERVER, 'my-notes': NOTES_SERVER })
    expect(await json(world, 'adopt', '--undo', '--yes')).toMatchObject({ gateway_removed: ['github', 'my-notes'] })
    expect(read(world, 'mcpvault.json')).toBe(before)
    expect(read(world, '.mcp.json')).toBe(CONFIG)
  })

  it('refuses a name that is taken by another server, and writes and stores nothing', async () => {
    const before = '{"mcpServers":{"github":{"url":"https://x.example/mcp"}}}'
    const world = await adoptingWorld({ '.mcp.json': CONFIG, 'mcpvault.json': before })
    const failure = await fail(world, 'adopt', '--gateway', '--yes')
    expect(failure).toMatchObject({ code: 'EXISTS' })
    expect(failure.message).toContain('another server has the name "github"')
    expect(read(world, '.mcp.json') + read(world, 'mcpvault.json')).toBe(CONFIG + before)
    expect(await json(world, 'list')).toEqual([])
    const two = `{"mcpServers":{${NOTES},${NOTES.replace('my_notes', 'my-notes').replace('hunter2-', 'hunter3-')}}}`
    const other = await adoptingWorld({ '.mcp.json': two })
    expect(await fail(other, 'adopt', '--gateway', '--yes')).toMatchObject({ code: 'EXISTS' })
    expect(existsSync(join(other.directory, 'mcpvault.json'))).toBe(false)
  })

  it('refuses a configuration that the gateway could not read, before anything is written', async () => {
    const before = '{ // mine\n  "mcpServers": {}\n}'
    const world = await adoptingWorld({ '.mcp.json': CONFIG, 'mcpvault.json': before })
    expect(await fail(world, 'adopt', '--gateway', '--yes')).toMatchObject({ code: 'INPUT' })
    expect(read(world, '.mcp.json') + read(world, 'mcpvault.json')).toBe(CONFIG + before)
    expect(await json(world, 'list')).toEqual([])
  })

  it.for([
    [
      'a secret in its arguments',
      '"command": "npx", "args": ["--api-key", "hunter2-hunter2"]',
      'references in arguments',
    ],
    ['a secret in its address', '"url": "https://x.example/mcp?api_key=hunter2-hunter2"', 'references in addresses'],
    ['a short secret', '"command": "npx", "env": { "API_KEY": "short" }', 'shorter than 8 bytes'],
    ['a member of its own', '"command": "npx", "cwd": "/x", "env": { "API_KEY": "hunter2-hunter2" }', 'member "cwd"'],
    [
      'references of its client',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a client's reference is written
      '"command": "npx", "env": { "API_KEY": "hunter2-hunter2", "A": "${vault:other}" }',
      'references that its client fills in',
    ],
    [
      'an address that the gateway refuses',
      '"url": "http://x.example/mcp", "headers": { "Authorization": "Bearer hunter2-hunter2" }',
      'it is not https',
    ],
  ] as const)('adopts a server with %s without the gateway, and says why', async ([, members, reason]) => {
    const world = await adoptingWorld({ '.mcp.json': `{"mcpServers":{"one":{${members}}}}` })
    expect(await world.run('adopt', '--gateway', '--yes', '--client', 'claude-code')).toBe(0)
    expect(world.stderr).toContain('is adopted without the gateway: ')
    expect(world.stderr).toContain(reason)
    expect(read(world, '.mcp.json')).not.toMatch(/hunter2|short"|connect/)
    expect(existsSync(join(world.directory, 'mcpvault.json'))).toBe(false)
  })

  it('never copies a secret that stays into the gateway', async () => {
    const two = `{"mcpServers":{"one":{"command":"npx","env":{"A_TOKEN":"hunter2-hunter2","B_TOKEN":"hunter3-hunter3"}}}}`
    const world = await adoptingWorld({ '.mcp.json': two })
    await succeed(world, 'adopt', '--gateway', '--yes', '--skip', 'B_TOKEN')
    expect(world.stderr).toContain('some of its secrets stay where they are')
    expect(existsSync(join(world.directory, 'mcpvault.json'))).toBe(false)
  })

  it('makes one server of the same entry of several clients, and keeps it while one of them connects to it', async () => {
    const toml = `[mcp_servers.gh]\ncommand = "gh-mcp" # mine\n\n[mcp_servers.gh.env]\nGH_TOKEN = "${TOKEN}"\n`
    const cursor = `{"mcpServers":{"gh":{"command":"gh-mcp","env":{"GH_TOKEN":"${TOKEN}"}}}}`
    const world = await adoptingWorld({ '.codex/config.toml': toml, '.cursor/mcp.json': cursor })
    await succeed(world, 'adopt', '--gateway', '--yes', '.codex/config.toml')
    const once = read(world, 'mcpvault.json')
    await succeed(world, 'adopt', '--gateway', '--yes')
    expect(read(world, 'mcpvault.json')).toBe(once)
    expect(read(world, '.codex/config.toml')).toContain('"connect", "--vault", ')
    expect(await json(world, 'adopt', '--undo', '--yes', '.codex/config.toml')).toMatchObject({ gateway_removed: [] })
    expect(read(world, '.codex/config.toml')).toBe(toml)
    expect(await json(world, 'adopt', '--undo', '--yes')).toMatchObject({ gateway_removed: ['gh'] })
    expect(read(world, '.cursor/mcp.json')).toBe(cursor)
    expect(servers(world)).toEqual({})
  })

  it('leaves a server that was there before, or was changed since, when it is undone', async () => {
    const own = `{ "mcpServers": { "github": ${JSON.stringify(GITHUB_SERVER)} } }`
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes', '--only', 'github_token')
    await succeed(world, 'adopt', '--undo', '--yes')
    write(world, 'mcpvault.json', own)
    await succeed(world, 'adopt', '--gateway', '--yes', '--only', 'github_token')
    expect(read(world, 'mcpvault.json')).toBe(own)
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, 'mcpvault.json')).toBe(own)
    await succeed(world, 'adopt', '--gateway', '--yes', '--only', 'my_notes_token')
    write(world, 'mcpvault.json', read(world, 'mcpvault.json').replace('notes.example', 'other.example'))
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(world.stderr).toContain('"my-notes" stays in the gateway\'s configuration')
    expect(read(world, 'mcpvault.json')).toContain('other.example')
  })

  it('takes its server out again where the client’s config could not be written', async () => {
    const world = await adoptingWorld()
    chmodSync(join(world.directory, '.mcp.json'), 0o400)
    expect(await fail(world, 'adopt', '--gateway', '--yes')).toMatchObject({ code: 'IO' })
    expect(servers(world)).toEqual({})
    chmodSync(join(world.directory, '.mcp.json'), 0o600)
    await succeed(world, 'adopt', '--gateway', '--yes')
    expect(Object.keys(servers(world) as object)).toEqual(['github', 'my-notes'])
  })

  it('shows without values what it would do', async () => {
    const world = await adoptingWorld()
    const diff = await succeed(world, 'adopt', '--gateway', '--dry-run')
    expect(diff).toContain(
      `+++ ${join(world.directory, 'mcpvault.json')}\n@@ github @@\n+    "github": {"command":"npx"`,
    )
    expect(diff + world.stderr).not.toMatch(/ghp_|hunter2/)
    expect(existsSync(join(world.directory, 'mcpvault.json'))).toBe(false)
    expect(await fail(world, 'adopt', '--gateway', '--undo')).toMatchObject({ code: 'USAGE' })
  })
})
