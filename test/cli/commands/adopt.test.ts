import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { fail, json, KEY, read, rotate, store, succeed, VAULT, write } from './support.js'

const TOKEN = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'
const CONFIG = `{
  // mine
  "mcpServers": {
    "github": {
      "command": "npx",
      "args": ["-y", "some-mcp"],
      "env": {
        "GITHUB_TOKEN": "${TOKEN}", // until March
        "LOG_LEVEL": "debug"
      }
    }
  }
}
`

/** A world with an empty vault that opens by the default key file, as a client that no shell started needs. */
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

/** Everything that lies beside the vault, but the vault's own encrypted values. */
function sideTexts(world: TestWorld): string {
  return readdirSync(world.directory)
    .filter((name) => statSync(join(world.directory, name)).isFile())
    .map((name) => read(world, name))
    .join('\n')
}

describe('adopt', () => {
  it('moves secrets into the vault, due at once, and rewrites the entry alone', async () => {
    const world = await adoptingWorld()
    const { adopted } = await json<{ adopted: readonly object[] }>(world, 'adopt', '--yes')
    expect(adopted).toEqual([
      expect.objectContaining({
        credential: 'github_token',
        server: 'github',
        place: 'env GITHUB_TOKEN',
        form: 'exec',
      }),
    ])
    expect(await succeed(world, 'load', 'github_token', '-n')).toBe(TOKEN)
    expect(await json(world, 'rotation-due', 'github_token')).toEqual([expect.objectContaining({ reason: 'leak' })])
    expect(await succeed(world, 'list')).toContain('adopted from')
    const text = read(world, '.mcp.json')
    expect(text).toContain('// mine\n')
    expect(text).toContain('        // until March\n        "LOG_LEVEL": "debug"\n')
    expect(JSON.parse(text.replace(/ \/\/.*/g, '')).mcpServers.github).toEqual({
      command: process.execPath,
      args: [
        world.context().host.launcher[1],
        'exec',
        '--vault',
        join(world.directory, VAULT),
        '-e',
        'GITHUB_TOKEN=github_token',
        '--',
        'npx',
        '-y',
        'some-mcp',
      ],
      env: { LOG_LEVEL: 'debug' },
    })
    expect(sideTexts(world)).not.toContain(TOKEN)
  })

  it('names mcpvault by its name where the search path has it', async () => {
    const world = await adoptingWorld()
    mkdirSync(join(world.directory, 'bin'))
    writeFileSync(join(world.directory, 'bin', 'mcpvault'), '', { mode: 0o755 })
    world.env.PATH = `/nowhere:${join(world.directory, 'bin')}`
    await succeed(world, 'adopt', '--yes')
    expect(read(world, '.mcp.json')).toContain('"command": "mcpvault",\n      "args": ["exec", "--vault", ')
  })

  it('finds nothing a second time', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes')
    const text = read(world, '.mcp.json')
    expect(await json(world, 'adopt', '--yes')).toMatchObject({ adopted: [] })
    expect(world.stdout).not.toContain('github_token')
    expect(read(world, '.mcp.json')).toBe(text)
    expect(await succeed(world, 'adopt', '--dry-run')).toBe('')
  })

  it('makes one credential of a secret that stands in three places', async () => {
    const cursor = `{"mcpServers":{"gh":{"command":"gh-mcp","args":["--token=${TOKEN}"]}}}`
    const code = `{"servers":{"gh":{"type":"http","url":"https://x.example/mcp","headers":{"Authorization":"Bearer ${TOKEN}"}}}}`
    const world = await adoptingWorld({ '.mcp.json': CONFIG, '.cursor/mcp.json': cursor, '.vscode/mcp.json': code })
    await succeed(world, 'adopt', '--yes')
    expect((await succeed(world, 'list')).trim().split('\n')).toHaveLength(1)
    expect(world.stderr).toBe('')
    expect(read(world, '.cursor/mcp.json')).toContain('"--token={{ vault \\"github_token\\" }}"')
    expect(read(world, '.vscode/mcp.json')).toContain(`"Bearer \${env:GITHUB_TOKEN}"`)
    for (const file of ['.mcp.json', '.cursor/mcp.json', '.vscode/mcp.json'])
      expect(read(world, file)).not.toContain(TOKEN)
  })

  it('refers to a credential that the vault has already, and names others so that none is taken', async () => {
    const world = await adoptingWorld()
    await store(world, 'github_token', 'something else')
    await store(world, 'mine', TOKEN)
    await succeed(world, 'adopt', '--yes')
    expect(read(world, '.mcp.json')).toContain('"GITHUB_TOKEN=mine"')
    expect((await succeed(world, 'rotation-due')).split('\t')[0]).toBe('mine')

    const other = await adoptingWorld()
    await store(other, 'github_token', 'something else')
    await succeed(other, 'adopt', '--yes')
    expect(read(other, '.mcp.json')).toContain('"GITHUB_TOKEN=github_token_2"')
  })

  it('shows without values what it would do, also before there is a vault', async () => {
    const world = new TestWorld()
    write(world, '.mcp.json', CONFIG)
    const diff = await succeed(world, 'adopt', '--dry-run')
    expect(diff).toContain('-        "GITHUB_TOKEN": "[secret]", // until March\n')
    expect(diff + world.stderr).not.toContain(TOKEN)
    expect(read(world, '.mcp.json')).toBe(CONFIG)
    expect(readdirSync(world.directory)).toEqual(['.mcp.json'])
  })

  it('asks for each secret on a terminal, and leaves what was not agreed to', async () => {
    const two = CONFIG.replace('"LOG_LEVEL": "debug"', '"OTHER_TOKEN": "hunter2-hunter2"')
    const world = await adoptingWorld({ '.mcp.json': two })
    world.setTerminal(true)
    world.answers.push(false, true)
    await succeed(world, 'adopt')
    expect(world.questions).toEqual([
      expect.stringMatching(/^env GITHUB_TOKEN of "github" in .*GitHub\): move to the vault as "github_token"\?$/),
      expect.stringMatching(/^env OTHER_TOKEN .*\(its name says so\): move to the vault as "other_token"\?$/),
    ])
    expect(read(world, '.mcp.json')).toContain(TOKEN)
    expect(read(world, '.mcp.json')).not.toContain('hunter2')
    expect(read(world, 'mcp_adopted.jsonl')).not.toContain(TOKEN)
  })

  it('does nothing unasked without a terminal', async () => {
    const world = await adoptingWorld()
    expect(await fail(world, 'adopt')).toMatchObject({ status: 2, code: 'USAGE' })
    expect(read(world, '.mcp.json')).toBe(CONFIG)
    expect(await succeed(world, 'list')).toBe('')
  })

  it('takes and leaves secrets by the names of credentials, servers and variables', async () => {
    const two = CONFIG.replace('"LOG_LEVEL": "debug"', '"OTHER_TOKEN": "hunter2-hunter2"')
    const world = await adoptingWorld({ '.mcp.json': two })
    expect(await json(world, 'adopt', '--yes', '--skip', 'github')).toMatchObject({ adopted: [] })
    await succeed(world, 'adopt', '--yes', '--only', 'OTHER_TOKEN')
    expect(await succeed(world, 'list')).toMatch(/^other_token/)
    await succeed(world, 'adopt', '--yes', '--only', 'github_token')
    expect(read(world, '.mcp.json')).not.toContain(TOKEN)
    expect(await fail(await adoptingWorld(), 'adopt', '--only', 'nope', '--yes')).toMatchObject({
      code: 'NOT_FOUND',
      hints: ['there are: github_token'],
    })
  })

  it('is refused where a client that no shell has started could not open the vault', async () => {
    const world = await adoptingWorld()
    write(world, 'elsewhere.key', KEY)
    world.env.MCP_ENCRYPTION_KEY = KEY
    write(world, '.config/mcpvault/key', '')
    chmodSync(join(world.directory, '.config/mcpvault'), 0o700)
    const failure = await fail(world, 'adopt', '--yes')
    expect(failure).toMatchObject({ status: 5, code: 'NO_KEY' })
    expect(failure.message).toContain('a client that no shell has started could not open the vault')
    expect(failure.hints.join('\n')).toContain('the key is in MCP_ENCRYPTION_KEY here')
    expect(JSON.stringify(failure)).not.toContain(KEY)
    expect(read(world, '.mcp.json')).toBe(CONFIG)
    expect(await succeed(world, 'list')).toBe('')
    await succeed(world, 'adopt', '--yes', '--key-file', 'elsewhere.key')
    expect(read(world, '.mcp.json')).toContain(`"--key-file", "${join(world.directory, 'elsewhere.key')}"`)
  })

  it('is refused for a tutorial vault, which cannot record a leak', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    await succeed(world, 'init', '--vault', VAULT, '--format', 'fernet')
    write(world, '.mcp.json', CONFIG)
    expect(await fail(world, 'adopt', '--yes')).toMatchObject({ code: 'INPUT', hints: ['mcpvault upgrade'] })
  })

  it('warns of a file that git tracks', async () => {
    const world = await adoptingWorld()
    const git = (...argv: readonly string[]) =>
      world.context().runProgram(['git', '-C', world.directory, ...argv], { timeoutMs: 10_000, maxBytes: 100_000 })
    git('init', '-q')
    git('add', '.mcp.json')
    await succeed(world, 'adopt', '--yes')
    expect(world.stderr).toContain('.mcp.json" is tracked by git: its history still holds the values')
    const other = await adoptingWorld()
    await succeed(other, 'adopt', '--yes')
    expect(other.stderr).not.toContain('git')
  })
})

describe('a config that cannot be adopted', () => {
  it('is named with the position where it is broken, and quotes nothing', async () => {
    const world = await adoptingWorld({ 'a.json': `{"mcpServers": {\n  "x": {"env": {"TOKEN": "${TOKEN}}}}` })
    const failure = await fail(world, 'adopt', 'a.json', '--yes')
    expect(failure.message).toMatch(/^cannot read ".*a\.json": it is broken JSON at 2:\d+$/)
    const both = await adoptingWorld({ '.mcp.json': CONFIG, '.cursor/mcp.json': '{' })
    await succeed(both, 'adopt', '--yes')
    expect(both.stderr).toMatch(/left out: cannot read ".*\.cursor\/mcp\.json": it is broken JSON at 1:2/)
    expect(read(both, '.mcp.json')).not.toContain(TOKEN)
  })

  it('is written through a symbolic link, and left alone when it is read-only or too large', async () => {
    const world = await adoptingWorld({ 'dotfiles/mcp.json': CONFIG })
    symlinkSync('dotfiles/mcp.json', join(world.directory, '.mcp.json'))
    await succeed(world, 'adopt', '--yes')
    expect(read(world, 'dotfiles/mcp.json')).not.toContain(TOKEN)
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, 'dotfiles/mcp.json')).toBe(CONFIG)
    expect(existsSync(join(world.directory, '.mcp.json'))).toBe(true)

    const locked = await adoptingWorld()
    chmodSync(join(locked.directory, '.mcp.json'), 0o400)
    expect(await fail(locked, 'adopt', '--yes')).toMatchObject({
      code: 'IO',
      message: expect.stringContaining('read-only'),
    })
    expect(read(locked, '.mcp.json')).toBe(CONFIG)
    chmodSync(join(locked.directory, '.mcp.json'), 0o600)
    await succeed(locked, 'adopt', '--yes')
    expect((await succeed(locked, 'list')).trim().split('\n')).toHaveLength(1)

    const large = await adoptingWorld({ '.mcp.json': CONFIG + ' '.repeat(10 * 1024 * 1024) })
    expect((await fail(large, 'adopt', '.mcp.json', '--yes')).message).toContain('is larger than 10485760 bytes')
  })

  it('keeps its secrets where nobody can tell whose it is, or the client has no other form', async () => {
    const remote = `{"mcpServers":{"r":{"url":"https://x.example","headers":{"X-Api-Key":"hunter2"}}}}`
    const world = await adoptingWorld({ 'some.json': remote, 'claude_desktop_config.json': remote })
    expect(await json(world, 'adopt', 'some.json', '--yes')).toMatchObject({ adopted: [] })
    expect(world.stderr).toContain('say --client NAME')
    expect(await json(world, 'adopt', 'claude_desktop_config.json', '--yes')).toMatchObject({ adopted: [] })
    expect(world.stderr).toContain('Claude Desktop calls no servers by URL')
    await succeed(world, 'adopt', 'some.json', '--client', 'cursor', '--yes')
    expect(read(world, 'some.json')).toContain(`{"X-Api-Key":"\${env:R_API_KEY}"}`)
    expect(world.stderr).toContain('start Cursor with its variables: mcpvault exec -e R_API_KEY=r_api_key -- cursor')
  })

  it('is named when there is none', async () => {
    const world = await adoptingWorld({})
    const failure = await fail(world, 'adopt', '--yes')
    expect(failure).toMatchObject({ status: 3, code: 'NOT_FOUND' })
    expect(failure.hints).toContain(`looked for "${join(world.directory, '.mcp.json')}"`)
    expect(await fail(world, 'adopt', 'no.json', '--yes')).toMatchObject({ status: 3 })
  })
})

describe('adopt --undo', () => {
  it('puts the adopted entries back byte for byte, and leaves everything else as it has become', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes')
    const kept = read(world, 'mcp_adopted.jsonl')
    expect(kept).not.toContain(TOKEN)
    expect(statSync(join(world.directory, 'mcp_adopted.jsonl')).mode & 0o777).toBe(0o600)
    write(
      world,
      '.mcp.json',
      read(world, '.mcp.json').replace('// mine', '// ours').replace('  }\n}', '  },\n  "x": 1\n}'),
    )
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, '.mcp.json')).toBe(CONFIG.replace('// mine', '// ours').replace('  }\n}', '  },\n  "x": 1\n}'))
    expect(await json(world, 'adopt', '--undo', '--yes')).toEqual({ restored: [], left: [] })
    await succeed(world, 'adopt', '--yes')
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, '.mcp.json')).toContain(TOKEN)
  })

  it('goes back through an entry that was adopted twice', async () => {
    const two = CONFIG.replace('"LOG_LEVEL": "debug"', '"OTHER_TOKEN": "hunter2-hunter2"')
    const world = await adoptingWorld({ '.mcp.json': two })
    await succeed(world, 'adopt', '--yes', '--only', 'other_token')
    await succeed(world, 'adopt', '--yes')
    expect(read(world, '.mcp.json').match(/"--"/g)).toHaveLength(1)
    expect(read(world, 'mcp_adopted.jsonl')).not.toMatch(/ghp_|hunter2/)
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, '.mcp.json')).toBe(two)
  })

  it('gives the current value after a rotation, and says so', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes')
    await rotate(world, 'github_token', 'ghp_new"value')
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, '.mcp.json')).toBe(CONFIG.replace(TOKEN, 'ghp_new\\"value'))
    expect(world.stderr).toContain('has the current value of "github_token", which was rotated since')
  })

  it('leaves an entry that was changed since, one that is gone, and one whose credential is gone', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes')
    const adopted = read(world, '.mcp.json')
    write(world, '.mcp.json', adopted.replace('some-mcp', 'other-mcp'))
    const changed = await fail(world, 'adopt', '--undo', '--yes')
    expect(changed).toMatchObject({ code: 'UNSAFE', message: 'cannot put 1 of 1 entries back' })
    expect(changed.hints[0]).toContain('the entry has been changed since it was adopted')
    write(world, '.mcp.json', '{}')
    expect((await fail(world, 'adopt', '--undo', '--yes')).hints[0]).toContain('the entry is gone')
    write(world, '.mcp.json', adopted)
    await succeed(world, 'remove', 'github_token', '--yes')
    expect((await fail(world, 'adopt', '--undo', '--yes')).hints[0]).toContain('no credential is named "github_token"')
    expect(read(world, '.mcp.json')).toBe(adopted)
  })

  it('asks first, and refuses a list of entries that is damaged', async () => {
    const world = await adoptingWorld()
    await succeed(world, 'adopt', '--yes')
    expect(await fail(world, 'adopt', '--undo')).toMatchObject({ code: 'USAGE' })
    write(world, 'mcp_adopted.jsonl', `${read(world, 'mcp_adopted.jsonl')}{"torn`)
    await succeed(world, 'adopt', '--undo', '--yes')
    expect(read(world, '.mcp.json')).toBe(CONFIG)
    write(world, 'mcp_adopted.jsonl', '{"v":1}\n')
    expect(await fail(world, 'adopt', '--undo', '--yes')).toMatchObject({ code: 'DAMAGED' })
  })
})

describe('import', () => {
  it('takes the secrets out of a client’s config, each once, and leaves the config', async () => {
    const twice = CONFIG.replace('"LOG_LEVEL": "debug"', `"GH": "${TOKEN}", "API_KEY": "hunter2"`)
    const world = await adoptingWorld({ 'mcp.json': twice })
    expect(await json(world, 'import', 'mcp.json')).toMatchObject({ stored: ['github_token', 'github_api_key'] })
    expect(await succeed(world, 'load', 'github_api_key', '-n')).toBe('hunter2')
    expect(read(world, 'mcp.json')).toBe(twice)
    const broken = await adoptingWorld({ 'mcp.json': twice.slice(0, -4) })
    expect((await fail(broken, 'import', 'mcp.json')).message).toMatch(/^cannot read "mcp\.json": it is broken JSON at/)
    const empty = await adoptingWorld({ 'mcp.json': '{"mcpServers": {}}' })
    expect(await fail(empty, 'import', 'mcp.json')).toMatchObject({ code: 'INPUT' })
  })
})
