import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { fail, HEX_KEY, json, KEY, OTHER_KEY, read, store, succeed, VAULT, write } from './support.js'

const LOST = 'a lost key cannot be recovered'

describe('init', () => {
  it('makes a native vault in the data directory and a key in the configuration directory, both private', async () => {
    const world = new TestWorld()
    expect(await succeed(world, 'init')).toBe('')
    expect(world.stderr).toContain(LOST)
    const vault = join(world.directory, '.local/share/mcpvault/mcp_credentials.enc')
    const key = join(world.directory, '.config/mcpvault/key')
    expect(readFileSync(key, 'utf8')).toMatch(/^[A-Za-z0-9_-]{43}=\n$/)
    for (const [path, mode] of [
      [vault, 0o600],
      [key, 0o600],
      [join(vault, '..'), 0o700],
      [join(key, '..'), 0o700],
    ] as const) {
      expect(statSync(path).mode & 0o777, path).toBe(mode)
    }
    expect(world.stderr).not.toContain(readFileSync(key, 'utf8').trim())
    await store(world, 'name', 'value')
    expect(await succeed(world, 'load', 'name')).toBe('value\n')
  })

  it('honours --vault before MCPVAULT_FILE before XDG_DATA_HOME, and ignores a relative XDG path', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY, MCPVAULT_FILE: 'named.enc' } })
    await succeed(world, 'init', '--vault', 'given/given.enc')
    await succeed(world, 'init')
    world.env.MCPVAULT_FILE = ''
    world.env.XDG_DATA_HOME = join(world.directory, 'data')
    await succeed(world, 'init')
    world.env.XDG_DATA_HOME = 'relative'
    await succeed(world, 'init')
    const made = [
      'given/given.enc',
      'named.enc',
      'data/mcpvault/mcp_credentials.enc',
      '.local/share/mcpvault/mcp_credentials.enc',
    ]
    for (const path of made) expect(existsSync(join(world.directory, path)), path).toBe(true)
    expect(existsSync(join(world.directory, 'relative'))).toBe(false)
  })

  it('uses the key that is found and makes none', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    const made = await json(world, 'init', '--vault', VAULT)
    expect(made).toEqual({ vault: join(world.directory, VAULT), format: 'native', key_file: null })
    expect(existsSync(join(world.directory, '.config'))).toBe(false)
    await store(world, 'name', 'value')
  })

  it('creates the file of --key-file when it is absent, although another key is in the environment', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    await succeed(world, 'init', '--vault', VAULT, '--key-file', 'keys/project.key')
    expect(read(world, 'keys/project.key').trim()).not.toBe(KEY)
    expect((await fail(world, 'load', 'x')).status).toBe(5)
    expect((await fail(world, 'load', 'x', '--key-file', 'keys/project.key')).status).toBe(3)
  })

  it('uses the file of --key-file when it is there and never overwrites it', async () => {
    const world = new TestWorld()
    write(world, 'project.key', `${KEY}\n`)
    await succeed(world, 'init', '--vault', VAULT, '--key-file', 'project.key')
    expect(read(world, 'project.key')).toBe(`${KEY}\n`)
    write(world, 'broken.key', 'short\n')
    expect(await fail(world, 'init', '--vault', 'second.enc', '--key-file', 'broken.key')).toMatchObject({
      status: 5,
      code: 'NO_KEY',
    })
    expect(read(world, 'broken.key')).toBe('short\n')
    expect(existsSync(join(world.directory, 'second.enc'))).toBe(false)
  })

  it('refuses an existing vault before it makes a key', async () => {
    const world = new TestWorld()
    write(world, VAULT, 'whatever')
    expect(await fail(world, 'init', '--vault', VAULT, '--key-file', 'new.key')).toMatchObject({
      status: 4,
      code: 'EXISTS',
    })
    expect(await fail(world, 'init', '--vault', VAULT, '--print-key')).toMatchObject({ status: 4 })
    mkdirSync(join(world.directory, 'directory'))
    expect(await fail(world, 'init', '--vault', 'directory')).toMatchObject({ status: 4 })
    expect(existsSync(join(world.directory, 'new.key'))).toBe(false)
    expect(existsSync(join(world.directory, '.config'))).toBe(false)
    expect(read(world, VAULT)).toBe('whatever')
  })

  it('prints the key with --print-key alone, and keeps it nowhere', async () => {
    const world = new TestWorld()
    const printed = await succeed(world, 'init', '--vault', VAULT, '--print-key')
    expect(printed).toMatch(/^export MCP_ENCRYPTION_KEY=[A-Za-z0-9_-]{43}=\n$/)
    expect(existsSync(join(world.directory, '.config'))).toBe(false)
    expect((await fail(world, 'load', 'x')).status).toBe(5)
    world.env.MCP_ENCRYPTION_KEY = printed.trim().slice('export MCP_ENCRYPTION_KEY='.length)
    expect((await fail(world, 'load', 'x')).status).toBe(3)
    const { key, ...others } = await json(world, 'init', '--vault', 'second/second.enc', '--print-key')
    expect(key).toBe(world.env.MCP_ENCRYPTION_KEY)
    expect(others).toEqual({ vault: join(world.directory, 'second/second.enc'), format: 'native', key_file: null })
  })

  it('makes a tutorial vault with a key in the spelling that its programs read', async () => {
    const world = new TestWorld()
    expect(await succeed(world, 'init', '--vault', 'f.enc', '--format', 'fernet', '--print-key')).toMatch(
      /=[\w-]{43}=\n$/,
    )
    expect(await succeed(world, 'init', '--vault', 'g.enc', '--format', 'aes-256-gcm', '--print-key')).toMatch(
      /=[0-9a-f]{64}\n$/,
    )
    expect(JSON.parse(read(world, 'f.enc'))).toEqual({})
    world.env.MCP_ENCRYPTION_KEY = KEY
    expect(await fail(world, 'init', '--vault', 'h.enc', '--format', 'aes-256-gcm')).toMatchObject({
      status: 2,
      code: 'INPUT',
    })
    world.env.MCP_ENCRYPTION_KEY = HEX_KEY
    expect(await fail(world, 'init', '--vault', 'h.enc', '--format', 'fernet')).toMatchObject({
      status: 2,
      code: 'INPUT',
    })
    expect(existsSync(join(world.directory, 'h.enc'))).toBe(false)
  })

  it('asks for a passphrase twice, only with --passphrase and only on a terminal', async () => {
    const world = new TestWorld({ env: { MCP_ENCRYPTION_KEY: OTHER_KEY } })
    expect(await fail(world, 'init', '--vault', VAULT, '--passphrase')).toMatchObject({ status: 2, code: 'USAGE' })
    world.setTerminal(true)
    expect(await fail(world, 'init', '--vault', VAULT, '--passphrase', '--no-input')).toMatchObject({ status: 2 })
    expect(await fail(world, 'init', '--vault', VAULT, '--passphrase', '--format', 'fernet')).toMatchObject({
      status: 2,
    })
    world.answers.push('correct horse', 'wrong horse')
    expect(await fail(world, 'init', '--vault', VAULT, '--passphrase')).toMatchObject({ status: 2, code: 'INPUT' })
    world.answers.push('', '')
    expect(await fail(world, 'init', '--vault', VAULT, '--passphrase')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(existsSync(join(world.directory, VAULT))).toBe(false)
    world.answers.push('correct horse', 'correct horse')
    await succeed(world, 'init', '--vault', VAULT, '--passphrase')
    world.env.MCP_ENCRYPTION_KEY = undefined
    world.answers.push('correct horse', 'value', 'value')
    await succeed(world, 'store', 'name')
    expect(world.questions.slice(-3)).toEqual([
      'passphrase of the vault:',
      'value of "name":',
      'value of "name", once more:',
    ])
    world.answers.push('wrong horse')
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    expect(await fail(world, 'load', 'name', '--no-input')).toMatchObject({ status: 5, code: 'NO_KEY' })
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 130, code: 'CANCELLED' })
  })

  it('says that a new key, once lost, is lost; also with --quiet, and as JSON with --json', async () => {
    const world = new TestWorld()
    await succeed(world, 'init', '--vault', 'a.enc', '--quiet')
    expect(world.stderr).toMatch(/^mcpvault: warning: a lost key[^\n]*\n$/)
    await json(world, 'init', '--vault', 'sub/b.enc', '--key-file', 'b.key')
    expect(JSON.parse(world.stderr).warning.message).toContain(LOST)
  })
})
