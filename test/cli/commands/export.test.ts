import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import {
  emptyTutorialWorld,
  fail,
  HEX_KEY,
  json,
  KEY,
  nativeWorld,
  read,
  store,
  succeed,
  tutorialWorld,
  VAULT,
  write,
  PASSPHRASE,
  putPassphraseVault,
} from './support.js'

/** What must not mean anything to a shell. */
const NASTY: Readonly<Record<string, string>> = {
  quotes: `'"'"'\`"'`,
  newlines: 'two\nlines\n\nand more\n',
  command: '$(touch touched) `touch touched` ; touch touched #',
  variable: '$HOME $1 $$ \\$x \\',
  glob: '* ? [a-z] ~ {a,b}',
  unicode: 'pässwörd-日本語-🔑 \u202e',
  control: '\u0001\u001b[31m\r\t',
  space: '  before and behind  ',
  empty: '',
  'dash-and.dot': '-n -e \\n',
}

/** Lets a real shell take what `export --format env` printed, and print one variable. */
function shell(world: TestWorld, script: string, variable: string): string {
  const program = `set -eu; . ./exported; printf %s "$${variable}"`
  write(world, 'exported', script)
  return execFileSync('/bin/sh', ['-c', program], { cwd: world.directory, encoding: 'utf8', env: { HOME: '/nowhere' } })
}

async function nastyWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  for (const [name, value] of Object.entries(NASTY)) {
    world.stdin = value
    await succeed(world, 'store', name, '--stdin', '--raw', '--allow-empty')
  }
  return world
}

describe('export', () => {
  it('prints JSON that holds every value', async () => {
    const world = await nastyWorld()
    expect(await json(world, 'export')).toEqual(NASTY)
    expect(JSON.parse(await succeed(world, 'export', '--format', 'json'))).toEqual(NASTY)
    expect(await json(await nativeWorld(), 'export')).toEqual({})
  })

  it('prints assignments that a real shell takes literally', async () => {
    const world = await nastyWorld()
    const script = await succeed(world, 'export', '--format', 'env')
    for (const [name, value] of Object.entries(NASTY)) {
      expect(shell(world, script, name.toUpperCase().replaceAll(/[-.]/g, '_'))).toBe(value)
    }
    expect(existsSync(join(world.directory, 'touched'))).toBe(false)
    expect(await fail(world, 'export', '--format', 'env')).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it.for([
    ['two names that become one variable', ['a.b', 'a-b']],
    ['a name that starts with a digit', ['1password']],
  ] as const)('refuses %s for a shell, and prints nothing', async ([, names]) => {
    const world = await nativeWorld()
    for (const name of names) await store(world, name, 'x')
    expect(await world.run('export', '--format', 'env')).toBe(2)
    expect(world.stdout).toBe('')
    await succeed(world, 'export')
  })

  it('refuses, before anything is printed, names that would decide what the shell runs, and names them all', async () => {
    const world = await nativeWorld()
    for (const name of ['api_key', 'ps4', 'bash-env', 'ld.preload', 'random']) {
      await store(world, name, '$(touch touched)a[$(touch touched)]')
    }
    expect(await world.run('export', '--format', 'env')).toBe(2)
    const failure = world.stderr
    expect(world.stdout).toBe('')
    expect(failure).toContain('"bash-env" as BASH_ENV, "ld.preload" as LD_PRELOAD, "ps4" as PS4, "random" as RANDOM')
    expect(failure).not.toContain('api_key')
    expect(await world.run('export', '--format', 'env', '-o', 'new.env')).toBe(2)
    expect(existsSync(join(world.directory, 'new.env'))).toBe(false)
    expect(await succeed(world, 'export', '--format', 'env', '--allow-dangerous-env')).toContain("PS4='$(touch")
    expect(Object.keys(await json(world, 'export'))).toHaveLength(5)
    expect(await world.run('export', '--allow-dangerous-env')).toBe(2)
  })

  it('prints a value that is no text in base64 as JSON, and elsewhere says which it is and prints nothing', async () => {
    const world = await nativeWorld()
    await store(world, 'text', 'x')
    await store(world, 'binary', Buffer.from([0xff, 0xfe]))
    expect(await json(world, 'export')).toEqual({ text: 'x', binary: { value_base64: '//4=' } })
    const failure = await fail(world, 'export', '--format', 'fernet')
    expect(failure).toMatchObject({ status: 2, code: 'INPUT' })
    expect(failure.message).toContain('"binary"')
  })

  it('turns a native vault into either tutorial format under the same key, and that into anything again', async () => {
    const world = await nastyWorld()
    for (const format of ['fernet', 'aes-256-gcm']) {
      await succeed(world, 'export', '--format', format, '-o', `${format}.enc`)
      expect(world.stderr).toContain(`encrypted as ${format}`)
      world.env.MCP_ENCRYPTION_KEY = format === 'fernet' ? KEY : HEX_KEY
      expect(await json(world, 'export', '--vault', `${format}.enc`)).toEqual(NASTY)
      const first = Object.values(JSON.parse(read(world, `${format}.enc`)))[0]
      expect(first).toMatch(format === 'fernet' ? /^gAAAAA/ : /^[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]*$/)
      world.env.MCP_ENCRYPTION_KEY = KEY
    }
  })

  it('needs a raw key for the tutorial formats', async () => {
    const world = await nativeWorld()
    world.setTerminal(true)
    world.env.MCP_ENCRYPTION_KEY = undefined
    putPassphraseVault(world, 'locked/locked.enc')
    world.answers.push(PASSPHRASE)
    expect(await fail(world, 'export', '--vault', 'locked/locked.enc', '--format', 'fernet')).toMatchObject({
      status: 5,
      code: 'WRONG_KEY',
    })
  })

  it('writes a new private file with -o, and never over anything', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'value')
    expect(await json(world, 'export', '-o', 'out/all.json')).toEqual({
      output: join(world.directory, 'out/all.json'),
      format: 'json',
      credentials: 1,
    })
    expect(statSync(join(world.directory, 'out/all.json')).mode & 0o777).toBe(0o600)
    expect(JSON.parse(read(world, 'out/all.json'))).toEqual({ name: 'value' })
    const before = read(world, VAULT)
    expect(await fail(world, 'export', '-o', 'out/all.json')).toMatchObject({ status: 4, code: 'EXISTS' })
    expect((await fail(world, 'export', '-o', VAULT)).status).toBe(2)
    expect(read(world, VAULT)).toBe(before)
    expect((await fail(world, 'export', '--format', 'xml')).status).toBe(2)
  })
})

describe('upgrade', () => {
  it.for(['python', 'node'] as const)(
    'turns the vault of the %s program into a native one with the same values',
    async (name) => {
      const world = tutorialWorld(name)
      const before = read(world, VAULT)
      const path = join(world.directory, VAULT)
      const token = (await succeed(world, 'token', 'create', '--tools', 'web_search')).trim()
      expect(await json(world, 'upgrade')).toEqual({
        vault: path,
        credentials: Object.keys(world.values).length,
        previous: `${path}.tutorial.bak`,
      })
      expect(read(world, `${VAULT}.tutorial.bak`)).toBe(before)
      expect(await json(world, 'export')).toEqual(world.values)
      expect(read(world, VAULT)).toMatch(/^\["mcpvault\/1",\n/)
      world.env.MCPVAULT_TOKEN = token
      expect(await world.run('token', 'check', '--tool', 'web_search'), world.stderr).toBe(0)
      await store(world, 'fresh', 'x')
      await succeed(world, 'log', 'verify')
      const rows = await json<{ name: string; since: string | null; verified: boolean }[]>(world, 'list')
      expect(rows.every(({ verified }) => verified)).toBe(true)
      const dated = rows
        .filter(({ name: one }) => one !== 'fresh' && rows.length > 0)
        .filter(({ since }) => since !== null)
      expect(dated.length).toBe(name === 'python' ? Object.keys(world.values).length : 0)
    },
  )

  it('warns when another program has written the log lately, and not when that is long ago', async () => {
    const world = tutorialWorld('python')
    await succeed(world, 'upgrade')
    expect(world.stderr).toContain('another program wrote the rotation log')
    const later = tutorialWorld('python', { nowMs: Date.UTC(2027, 5, 1) })
    await succeed(later, 'upgrade')
    expect(later.stderr).not.toContain('another program')
  })

  it('refuses a native vault, a damaged value, a key that does not fit and an earlier backup; nothing changes', async () => {
    const native = await nativeWorld()
    expect(await fail(native, 'upgrade')).toMatchObject({ status: 2, code: 'INPUT' })
    const world = tutorialWorld('python')
    const before = read(world, VAULT)
    const key = world.env.MCP_ENCRYPTION_KEY
    world.env.MCP_ENCRYPTION_KEY = KEY
    expect(await fail(world, 'upgrade')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await fail(world, 'upgrade')).toMatchObject({ status: 5, code: 'NO_KEY' })
    world.env.MCP_ENCRYPTION_KEY = key
    write(world, VAULT, before.replace('"empty": "g', '"empty": "h'))
    expect(await fail(world, 'upgrade')).toMatchObject({ status: 6, code: 'DAMAGED' })
    write(world, VAULT, before)
    write(world, `${VAULT}.tutorial.bak`, 'precious')
    expect(await fail(world, 'upgrade')).toMatchObject({ status: 4, code: 'EXISTS' })
    expect(read(world, VAULT)).toBe(before)
    expect(read(world, `${VAULT}.tutorial.bak`)).toBe('precious')
    expect(existsSync(join(world.directory, `${VAULT}.lock`))).toBe(false)
  })

  it('keeps names that no new credential may have', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'placeholder', 'value')
    for (const name of ['__proto__', ' ', 'ключ "x"', '\u202e\u001b']) {
      write(world, VAULT, read(world, VAULT).replace(/"[^"]*(?:\\.[^"]*)*"(?=: )/, JSON.stringify(name)))
      await succeed(world, 'load', name)
    }
    await succeed(world, 'upgrade')
    expect(await succeed(world, 'load', '\u202e\u001b')).toBe('value\n')
  })
})

describe('a hint', () => {
  it('is a command that a shell can run, whatever the name', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'placeholder', 'value')
    const name = `it's a "name" $(touch touched)`
    for (const file of [VAULT, 'rotation_log.json']) {
      write(world, file, read(world, file).replace('"placeholder"', JSON.stringify(name)))
    }
    await succeed(world, 'upgrade')
    const { hints } = await fail(world, 'rollback', name)
    const printed = execFileSync('/bin/sh', ['-c', `mcpvault() { printf '%s|' "$@"; }; ${hints[0]}`], {
      encoding: 'utf8',
    })
    expect(printed).toBe(`history|${name}|`)
    expect(await fail(world, 'init', '--vault', VAULT, '--json')).toMatchObject({
      hints: [`mcpvault list --vault ${world.directory}/${VAULT}`],
    })
  })
})
