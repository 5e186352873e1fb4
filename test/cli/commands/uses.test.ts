import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createAccess } from '../../../src/cli/open-vault.js'
import { formatCron, formatService } from '../../../src/cli/schedule-text.js'
import { findInText } from '../../../src/cli/timers.js'
import { namesCredential } from '../../../src/cli/uses.js'
import { registerHolder } from '../../../src/exec/holders.js'
import type { TestWorld } from '../../support/context.js'
import { nativeWorld, succeed, VAULT } from './support.js'

const OLD = 'sk-old-5f6d7a8b9c0d1e2f'
const NEW = 'sk-new-0a1b2c3d4e5f6071'

/** A world whose credential was rotated while this process held the old version. */
async function rotatedWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  world.stdin = OLD
  await succeed(world, 'store', 'scavio_api_key', '--stdin')
  const context = world.context()
  const options = {
    acceptRestore: false,
    trustNewKey: false,
    json: false,
    quiet: false,
    input: false,
    color: false,
    debug: false,
  }
  const access = createAccess(join(world.directory, VAULT), options, { context })
  const credentials = [{ name: 'scavio_api_key', version: 1 }]
  await registerHolder(access, { command: 'exec', program: '/usr/bin/npx', credentials }, context.host)
  world.stdin = NEW
  await succeed(world, 'rotate', 'scavio_api_key', '--stdin')
  return world
}

const usesOf = async (world: TestWorld): Promise<string[]> =>
  (await succeed(world, 'uses', 'scavio_api_key')).replaceAll(world.directory, '$DIR').split('\n').slice(0, -1)

describe('uses', () => {
  it('says which process holds which version, against the current one', async () => {
    const world = await rotatedWorld()
    expect(await usesOf(world)).toEqual([`process\tpid ${process.pid} (exec npx)\tholds version 1, current is 2`])
    expect(JSON.parse(await succeed(world, 'uses', 'scavio_api_key', '--json'))).toEqual([
      {
        kind: 'process',
        where: `pid ${process.pid} (exec npx)`,
        what: 'holds version 1, current is 2',
        version: 1,
        stale: true,
      },
    ])
  })

  it('lists targets, client configs, upstreams, timers and the tokens that reach it', async () => {
    const world = await rotatedWorld()
    const put = (path: string, text: string): void => {
      mkdirSync(join(world.directory, path, '..'), { recursive: true })
      writeFileSync(join(world.directory, path), text, { mode: 0o600 })
    }
    put('.mcp.json', `{"mcpServers":{\n"a":{"env":{"K":"${OLD}"}},\n"b":{"args":["exec","-e","K=scavio_api_key"]}}}`)
    put('.cursor/mcp.json', `{"mcpServers":{"a":{"env":{"K":"${NEW}"}}}}`)
    const scavio = { builtin: 'scavio', credential: 'scavio_api_key' }
    put('mcpvault.json', JSON.stringify({ mcpServers: { web: scavio, other: { url: 'https://other.example/mcp' } } }))
    put('.config/systemd/user/mcpvault-rotate.service', '')
    writeFileSync(join(world.directory, 'key'), String(world.env.MCP_ENCRYPTION_KEY), { mode: 0o600 })
    const unit = await succeed(
      world,
      'schedule',
      'rotate',
      '--key-file',
      'key',
      '--format',
      'systemd',
      '--part',
      'service',
    )
    put('.config/systemd/user/mcpvault-rotate.service', unit)
    await succeed(world, 'policy', 'set', 'scavio_api_key', '--target', 'json:a.json#/k')
    await succeed(world, 'token', 'create', '--tools', 'web_search', '--label', 'agent', '--quiet')
    await succeed(world, 'token', 'create', '--tools', 'web/deep,other/x', '--quiet')
    await succeed(world, 'token', 'create', '--tools', 'other/x', '--quiet')
    const uses = (await usesOf(world)).map((line) => line.replace(/token [0-9a-f]+/, 'token ID'))
    expect(uses.slice(1)).toEqual([
      'target\tjson:a.json#/k\tgets every new value when it is rotated',
      'config\t$DIR/.mcp.json:2 (Claude Code)\tholds version 1, current is 2, in plain text',
      'config\t$DIR/.mcp.json:3 (Claude Code)\trefers to it by name',
      'config\t$DIR/.cursor/mcp.json:1 (Cursor)\tholds version 2, the current one, in plain text',
      'upstream\t$DIR/mcpvault.json\tthe upstream "web" gets it at each call',
      'timer\t$DIR/.config/systemd/user/mcpvault-rotate.service:7\truns "rotate" on this vault',
      'token\ttoken ID (agent)\treaches it by web_search',
      'token\ttoken ID\treaches it by web/deep',
    ])
    expect(world.stdout + world.stderr).not.toMatch(/sk-/)
  })

  it('goes on without the key and past what cannot be read, and says so', async () => {
    const world = await rotatedWorld()
    writeFileSync(join(world.directory, 'mcpvault.json'), '{', { mode: 0o600 })
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await usesOf(world)).toHaveLength(1)
    expect(world.stderr).toContain('mcpvault.json')
  })

  it('does not know an unknown name', async () => {
    const world = await rotatedWorld()
    expect(await world.run('uses', 'scavio_api_kei')).toBe(3)
    expect(world.stderr).toContain('did you mean "scavio_api_key"?')
  })
})

describe('a name in a line', () => {
  it('is one where it stands whole', () => {
    for (const line of ['"K": "${vault:' + 'a.b}"', '"-e","K=a.b"', '["a.b"]', '{ vault "a.b" }']) {
      expect(namesCredential(line, 'a.b'), line).toBe(true)
    }
    for (const line of ['"a.bc"', '"xa.b"', 'axb', '"a.b.c"', '"/a.b"']) {
      expect(namesCredential(line, 'a.b'), line).toBe(false)
    }
  })
})

describe('a timer', () => {
  it('is a line that starts mcpvault on the vault, as cron and systemd escape its path', () => {
    const text = [
      "1 * * * * exec node /x/mcpvault.js rotate --due --vault '/v 50\\%/c.enc'",
      '# mcpvault rotate --vault /v 50%/c.enc',
      'ExecStart=/usr/bin/node "/m v/mcpvault.js" rotation-due --vault "/v 50%%/c.enc"',
      'MCP_ENCRYPTION_KEY=k mcpvault rotate --vault /other.enc',
    ].join('\n')
    expect(findInText(text, 'crontab', { vaultPaths: ['/v 50%/c.enc'], home: '/h' })).toEqual([
      { where: 'crontab:1', command: 'rotate' },
      { where: 'crontab:3', command: 'rotation-due' },
    ])
  })

  it('are found however the vault is named: before the subcommand, by a variable, by a folder, not at all', () => {
    const home = '/home/me'
    const vault = '/srv/m v/mcp_credentials.enc'
    const found = (text: string, vaultPaths = [vault]): readonly string[] =>
      findInText(text, 'x', {
        vaultPaths,
        home,
        defaultVault: '/home/me/.local/share/mcpvault/mcp_credentials.enc',
      }).map(({ where, command }) => `${where} ${command}`)
    expect(found(`1 * * * * mcpvault --quiet --vault='${vault}' rotate --due`)).toEqual(['x:1 rotate'])
    expect(found(`1 * * * * MCPVAULT_FILE="${vault}" mcpvault --log /l.json rotate --due`)).toEqual(['x:1 rotate'])
    expect(found('1 * * * * cd /srv/m\\ v && mcpvault rotate --due')).toEqual(['x:1 rotate'])
    expect(found(`MCPVAULT_FILE="${vault}"\n\n1 * * * * mcpvault rotate --due`)).toEqual(['x:3 rotate'])
    const unit = (...lines: readonly string[]): string => ['[Service]', ...lines].join('\n')
    expect(found(unit(`Environment="MCPVAULT_FILE=${vault}"`, 'ExecStart=/b/mcpvault rotate'))).toEqual(['x:3 rotate'])
    expect(found(unit('WorkingDirectory="/srv/m v"', 'ExecStart=/b/mcpvault serve'))).toEqual(['x:3 serve'])
    expect(found(unit('ExecStart=/b/mcpvault \\', '  rotate --due \\', `  --vault "${vault}"`))).toEqual(['x:2 rotate'])
    expect(found('1 * * * * mcpvault rotate', ['/home/me/.local/share/mcpvault/mcp_credentials.enc'])).toHaveLength(1)
    expect(found('1 * * * * mcpvault rotate --vault ~/a.enc', ['/home/me/a.enc'])).toHaveLength(1)
    expect(found(unit('ExecStart=/b/mcpvault rotate --vault %h/a.enc'), ['/home/me/a.enc'])).toHaveLength(1)
    expect(found('1 * * * * mcpvault rotate --vault /other.enc\n1 * * * * mcpvault rotate')).toEqual([])
  })

  it('are found in what schedule prints, whatever the paths are', () => {
    const vault = `/it's 50% $odd "dir"/v.enc`
    const argv = ['/usr/bin/node', '/m v/mcpvault.js', 'rotate', '--due', '--vault', vault, '--key-file', '/k']
    const command = { unit: 'mcpvault-rotate', summary: 'rotates', argv, environment: { XDG_STATE_HOME: '/s t' } }
    const cron = formatCron(command, { everySeconds: 3600, minute: 1, hour: 1 })
    const question = { vaultPaths: [vault], home: '/h' }
    expect(findInText(cron, 'crontab', question)).toEqual([{ where: 'crontab:2', command: 'rotate' }])
    expect(findInText(formatService(command), 'unit', question)).toMatchObject([{ command: 'rotate' }])
  })
})
