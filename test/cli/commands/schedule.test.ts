import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import { launcher } from '../../support/built.js'
import { DAY_MS, KEY, nativeWorld, OTHER_KEY, succeed, VAULT } from './support.js'

const NO_OPTIONS = {
  acceptRestore: false,
  trustNewKey: false,
  json: false,
  quiet: false,
  input: false,
  color: false,
  debug: false,
}

/** A world whose key lies in a file that its environment names. */
async function worldWithKeyFile(): Promise<TestWorld> {
  const world = await nativeWorld()
  writeFileSync(join(world.directory, 'key file'), `${KEY}\n`, { mode: 0o600 })
  delete world.env.MCP_ENCRYPTION_KEY
  world.env.MCP_ENCRYPTION_KEY_FILE = 'key file'
  return world
}

/** The words of a scheduled command behind node and mcpvault. */
async function wordsOf(world: TestWorld, ...flags: readonly string[]): Promise<readonly string[]> {
  const { command } = JSON.parse(await succeed(world, 'schedule', ...flags, '--json'))
  expect(command.slice(0, 2)).toEqual([process.execPath, launcher()])
  return command.slice(2)
}

describe('schedule', () => {
  it('prints a line that says what is due from an empty environment', async () => {
    const world = await nativeWorld({ nowMs: Date.now() - 31 * DAY_MS })
    world.stdin = 'value'
    await succeed(world, 'store', 'old_key', '--stdin')
    const line = (await succeed(world, 'schedule', 'rotation-due')).split('\n')[1] ?? ''
    const command = line.split(' ').slice(5).join(' ').replaceAll('\\%', '%')
    const run = spawnSync('env', ['-i', 'sh', '-c', command], { cwd: '/', encoding: 'utf8' })
    expect([run.stderr, run.stdout, run.status]).toEqual(['', 'old_key\t31d\t30d\tage\n', 0])
  })

  it('prints a line that rotates what is due, from an empty environment', async () => {
    const world = await worldWithKeyFile()
    world.nowMs = Date.now() - 31 * DAY_MS
    world.stdin = 'old value'
    await succeed(world, 'store', 'old_key', '--stdin')
    await succeed(world, 'policy', 'set', 'old_key', '--provider', 'generate:20')
    const line = (await succeed(world, 'schedule', 'rotate')).split('\n')[1] ?? ''
    const command = line.split(' ').slice(5).join(' ').replaceAll('\\%', '%')
    const run = spawnSync('env', ['-i', 'sh', '-c', command], { cwd: '/', encoding: 'utf8' })
    expect([run.status, run.stdout], run.stderr).toEqual([0, ''])
    world.nowMs = Date.now()
    expect(await succeed(world, 'load', 'old_key')).toMatch(/^[A-Za-z0-9]{20}\n$/)
    expect(await succeed(world, 'load', 'old_key', '--version', 'previous')).toBe('old value\n')
  })

  it('names the key file that the environment names, and the places by absolute paths', async () => {
    const world = await worldWithKeyFile()
    world.env.MCPVAULT_LOG = 'log.json'
    const at = (name: string): string => join(world.directory, name)
    expect(await wordsOf(world, 'rotate', '--assume-tz', 'Europe/Berlin')).toEqual([
      ...['rotate', '--due', '--vault', at(VAULT), '--log', at('log.json'), '--assume-tz', 'Europe/Berlin'],
      ...['--key-file', at('key file'), '--no-input'],
    ])
  })

  it('hands on a home directory that is not that of the account, since what this machine has seen lies there', async () => {
    const world = await worldWithKeyFile()
    expect(await succeed(world, 'schedule', 'rotate')).not.toContain('export HOME')
    const context = world.context()
    const elsewhere = { ...context, host: { ...context.host, accountHome: '/home/of the account' } }
    const { planJob } = await import('../../../src/cli/scheduled-job.js')
    const { environment } = planJob('rotate', { ...NO_OPTIONS, vault: join(world.directory, VAULT) }, elsewhere)
    expect(environment).toEqual({ HOME: world.directory })
  })

  it('needs no key for a question', async () => {
    const world = await nativeWorld()
    world.env.MCP_ENCRYPTION_KEY = 'malformed'
    expect(await wordsOf(world, 'rotation-due')).toEqual([
      ...['rotation-due', '--exit-zero', '--vault', join(world.directory, VAULT), '--no-input'],
    ])
  })

  it('refuses a key that is in the environment alone, and never prints it', async () => {
    const world = await nativeWorld()
    expect(await world.run('schedule', 'rotate')).toBe(5)
    expect(world.stderr).toContain('a timer would find no key')
    expect(world.stderr).toContain('MCP_ENCRYPTION_KEY is not there at night')
    expect(world.stdout + world.stderr).not.toContain(KEY)
  })

  it('takes the default key file where it holds the key of the environment, and not where it holds another', async () => {
    const world = await nativeWorld()
    mkdirSync(join(world.directory, '.config/mcpvault'), { recursive: true })
    const file = join(world.directory, '.config/mcpvault/key')
    writeFileSync(file, OTHER_KEY, { mode: 0o600 })
    expect(await world.run('schedule', 'rotate')).toBe(5)
    writeFileSync(file, KEY, { mode: 0o600 })
    expect(await wordsOf(world, 'rotate')).toContain(file)
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await wordsOf(world, 'rotate')).toContain(file)
    writeFileSync(file, OTHER_KEY, { mode: 0o600 })
    expect(await world.run('schedule', 'rotate')).toBe(5)
  })

  it('hands on a key command, a .env file and what else changes where mcpvault looks', async () => {
    const world = await nativeWorld({ env: { XDG_STATE_HOME: '/var/state' } })
    writeFileSync(join(world.directory, '.env'), `MCP_ENCRYPTION_KEY=${KEY}\n`, { mode: 0o600 })
    expect(await wordsOf(world, 'rotate', '--env-file', '.env')).toContain(join(world.directory, '.env'))
    delete world.env.MCP_ENCRYPTION_KEY
    world.env.MCP_ENCRYPTION_KEY_COMMAND = '["pass","50%"]'
    const text = await succeed(world, 'schedule', 'rotate')
    expect(text).toContain(`export XDG_STATE_HOME=/var/state; export 'MCP_ENCRYPTION_KEY_COMMAND=["pass","50\\%"]'; `)
  })

  it('prints both units, or one', async () => {
    const world = await worldWithKeyFile()
    const both = await succeed(world, 'schedule', 'rotate', '--format', 'systemd', '--every', '12h')
    const service = await succeed(world, 'schedule', 'rotate', '--format', 'systemd', '--part', 'service')
    const timer = await succeed(world, 'schedule', 'rotate', '--format', 'systemd', '--part', 'timer', '--every', '12h')
    expect(both).toBe(`${service}\n${timer}`)
    expect(service).toContain(`--key-file "${join(world.directory, 'key file')}" --no-input\n`)
  })

  it('prints the unit of a gateway that writes beside its vault and its state alone', async () => {
    const world = await worldWithKeyFile()
    const { writes, command, text } = JSON.parse(await succeed(world, 'schedule', 'serve', '--json'))
    expect(writes).toEqual([world.directory, join(world.directory, '.local/state/mcpvault')])
    expect(command.slice(2)).toEqual([
      ...['serve', '--vault', join(world.directory, VAULT), '--key-file', join(world.directory, 'key file')],
      '--no-input',
    ])
    expect(await succeed(world, 'schedule', 'serve')).toBe(text)
  })

  it('says which folder must be made first: systemd starts no unit that may write to one that is not there', async () => {
    const world = await worldWithKeyFile()
    await succeed(world, 'schedule', 'serve')
    expect(world.stderr).not.toContain('mkdir')
    world.env.XDG_STATE_HOME = join(world.directory, 'other state')
    await succeed(world, 'schedule', 'serve')
    expect(world.stderr).toContain(`mkdir -p -m 700 '${join(world.directory, 'other state/mcpvault')}'`)
  })

  it('hands the configuration and the address of a gateway on, by an absolute path', async () => {
    const world = await worldWithKeyFile()
    const config = join(world.directory, 'my 50% team.json')
    writeFileSync(config, '{}')
    const flags = ['--config', 'my 50% team.json', '--listen', '[::1]:9000']
    expect((await wordsOf(world, 'serve', ...flags)).slice(-4)).toEqual(['--config', config, '--listen', '[::1]:9000'])
    const text = await succeed(world, 'schedule', 'serve', ...flags)
    expect(text).toContain(` --config "${config.replace('%', '%%')}" --listen "[::1]:9000"\n`)
    expect(await world.run('schedule', 'serve', '--config', 'other.json')).toBe(3)
    expect(world.stderr).toContain('there is no gateway configuration at')
  })

  it.each([
    [['schedule', 'serve', '--listen', '0.0.0.0:8808'], 'other machines could connect'],
    [['schedule', 'serve', '--listen', '8808'], 'cannot read --listen'],
    [['schedule', 'rotate', '--config', 'x.json'], 'they belong to schedule serve'],
    [['schedule', 'backup'], 'expected one of rotation-due, rotate, serve'],
    [['schedule', 'serve', '--every', '1h'], 'it lasts'],
    [['schedule', 'serve', '--format', 'cron'], 'it lasts'],
    [['schedule', 'rotate', '--every', '7m'], 'cannot schedule something every 7m'],
    [['schedule', 'rotate', '--part', 'timer'], 'it belongs to --format systemd'],
    [['schedule', 'rotate', '--format', 'launchd'], 'cannot read --format'],
  ])('refuses %j', async (argv, reason) => {
    const world = await worldWithKeyFile()
    expect(await world.run(...argv)).toBe(2)
    expect(world.stderr).toContain(reason)
  })
})
