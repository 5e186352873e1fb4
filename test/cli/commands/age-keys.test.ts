import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { drawIdentity } from '../../../src/vault/age-key.js'
import { TestWorld } from '../../support/context.js'
import { temporaryDirectory } from '../../support/directory.js'
import { type Failure, fail, json, store, succeed, VAULT, write } from './support.js'

/** Puts an identity where a key is looked for and gives the flags that point there. */
const SOURCES: readonly (readonly [name: string, arrange: (world: TestWorld, text: string) => readonly string[]])[] = [
  ['--key-file', (world, text) => ['--key-file', write(world, 'flag.key', text)]],
  ['--key-fd', (world, text) => ['--key-fd', String(openSync(write(world, 'fd.key', text), 'r'))]],
  ['MCP_ENCRYPTION_KEY', (world, text) => set(world, 'MCP_ENCRYPTION_KEY', text)],
  ['MCP_ENCRYPTION_KEY_FILE', (world, text) => set(world, 'MCP_ENCRYPTION_KEY_FILE', write(world, 'env.key', text))],
  [
    'MCP_ENCRYPTION_KEY_COMMAND',
    (world, text) => set(world, 'MCP_ENCRYPTION_KEY_COMMAND', JSON.stringify(['/bin/echo', text])),
  ],
  [
    'the default key file',
    (world, text) => {
      mkdirSync(join(world.directory, '.config/mcpvault'), { recursive: true, mode: 0o700 })
      write(world, '.config/mcpvault/key', text)
      return []
    },
  ],
]

describe('an identity of age', () => {
  it.each(SOURCES)('opens a vault from %s, in a file as age-keygen writes it', async (_name, arrange) => {
    const { world, identity } = await ageWorld()
    const text = `# created: 2026-11-22\n# public key: age1…\n\n${identity}\n`
    const flags = arrange(world, text)
    expect(await succeed(world, 'load', 'a', ...flags)).toBe('value\n')
  })

  it('is one of several in a file', async () => {
    const { world, identity } = await ageWorld()
    const other = (await drawIdentity()).identity.revealText()
    const file = write(world, 'keys.txt', `${other}\n${identity}\n`)
    expect(await succeed(world, 'load', 'a', '--key-file', file)).toBe('value\n')
  })

  it('that is not a plain one is refused without being repeated', async () => {
    const { world, identity } = await ageWorld()
    const typo = identity.replace(/.$/, identity.endsWith('Q') ? 'P' : 'Q')
    const texts = [typo, identity.slice(0, -1), `${identity} x`, 'AGE-PLUGIN-YUBIKEY-1QQPQXQ', identity.toLowerCase()]
    for (const text of texts) {
      const failure = await expectStatus(5, world, 'load', 'a', '--key-file', write(world, 'bad.key', text))
      expect(world.stderr).not.toContain(text)
      expect(failure.message).toContain('cannot read the key from the key file')
    }
  })

  it('makes and opens no tutorial vault', async () => {
    const { world, file } = await ageWorld()
    const failure = await expectStatus(2, world, 'init', '--vault', 'x.enc', '--format', 'fernet', '--key-file', file)
    expect(failure.message).toContain('open with a raw key')
    writeFileSync(join(world.directory, 't.enc'), '{}', { mode: 0o600 })
    await expectStatus(5, world, 'store', 'a', '--generate', '--vault', 't.enc', '--key-file', file)
  })

  it('is examined by doctor', async () => {
    const { world, file } = await ageWorld()
    const findings = await json(world, 'doctor', '--key-file', file)
    expect(findings).toEqual([])
  })
})

describe('key add', () => {
  it('takes one key of one kind, and a label that is a word', async () => {
    const { world, file } = await ageWorld()
    const recipient = (await drawIdentity()).recipient
    const lines = [
      ['key', 'add', '--key-file', file],
      ['key', 'add', '--key-file', file, '--recipient', recipient, '--new-key-file', 'x'],
      ['key', 'add', '--key-file', file, '--recipient', recipient, '--label', 'two words'],
      ['key', 'add', '--key-file', file, '--recipient', 'age1pq1xyz'],
      ['key', 'add', '--key-file', file, '--new-passphrase'],
    ]
    for (const line of lines) await expectStatus(2, world, ...line)
  })

  it('does not leave a key file behind for a vault that did not take it', async () => {
    const { world, file } = await ageWorld()
    await succeed(world, 'key', 'add', '--key-file', file, '--new-key-file', 'one', '--label', 'x')
    await expectStatus(4, world, 'key', 'add', '--key-file', file, '--new-key-file', 'two', '--label', 'x')
    expect(() => readFileSync(join(world.directory, 'two'))).toThrow('ENOENT')
  })

  it('never prints an identity that stands in the place of a recipient', async () => {
    const { world, file, identity } = await ageWorld()
    const failure = await expectStatus(2, world, 'key', 'add', '--key-file', file, '--recipient', identity)
    expect(failure.message).toContain('make a new one')
    expect(world.stderr).not.toContain(identity)
  })
})

describe('two people with one vault in git', () => {
  it('each open it with an own key, and whoever is removed is out', async () => {
    const origin = temporaryDirectory()
    git(origin, 'init', '-q', '--bare', '.')
    const alice = await teamMember(origin)
    git(alice.place, 'commit', '-q', '--allow-empty', '-m', 'begin')
    const key = ['--key-file', alice.file]
    await succeed(alice.world, 'init', '--vault', 'repo/mcp_credentials.enc', ...key)
    alice.world.env.MCPVAULT_FILE = join(alice.place, VAULT)
    alice.world.env.MCP_ENCRYPTION_KEY_FILE = alice.file
    await store(alice.world, 'api', 'first')
    const bob = await teamMember(origin)
    await succeed(alice.world, 'key', 'add', '--label', 'bob', '--recipient', bob.recipient)
    push(alice.place, 'add bob')
    git(bob.place, 'pull', '-q')
    Object.assign(bob.world.env, { MCPVAULT_FILE: join(bob.place, VAULT), MCP_ENCRYPTION_KEY_FILE: bob.file })
    expect(await succeed(bob.world, 'load', 'api')).toBe('first\n')
    expect(bob.world.stderr).toContain('for the first time')
    await bob.world.run('doctor', '--json')
    expect(bob.world.stdout).toContain('"vault-unconfirmed"')
    const hers = await json(alice.world, 'key', 'list')
    const his = await json(bob.world, 'key', 'list', '--trust-new-key')
    await bob.world.run('doctor', '--json')
    expect(bob.world.stdout).not.toContain('"vault-unconfirmed"')
    expect(his).toMatchObject({ fingerprint: hers.fingerprint, verified: true, trusted: true })
    bob.world.stdin = 'second'
    await succeed(bob.world, 'rotate', 'api', '--stdin')
    push(bob.place, 'rotate api')
    git(alice.place, 'pull', '-q')
    expect(await succeed(alice.world, 'load', 'api')).toBe('second\n')
    await succeed(alice.world, 'key', 'remove', 'bob', '--yes', '--mark-leaked')
    expect(alice.world.stderr).toContain('has known every value')
    expect(alice.world.stderr).toContain('also in the history of git')
    expect(await json(alice.world, 'rotation-due')).toHaveLength(1)
    push(alice.place, 'remove bob')
    git(bob.place, 'pull', '-q')
    const out = await expectStatus(5, bob.world, 'load', 'api')
    expect(out.message).toContain('the key does not fit')
    // The copy before is an old one for whoever has seen the new data key.
    writeFileSync(join(alice.place, VAULT), gitShow(alice.place, `HEAD~1:${VAULT}`))
    expect((await expectStatus(4, alice.world, 'rotate', 'api', '--generate')).message).toContain('earlier data key')
  }, 60_000)
})

interface Member {
  readonly world: TestWorld
  readonly place: string
  readonly file: string
  readonly recipient: string
}

async function teamMember(origin: string): Promise<Member> {
  const world = new TestWorld()
  const place = join(world.directory, 'repo')
  git(world.directory, 'clone', '-q', origin, place)
  chmodSync(place, 0o700)
  const printed = await succeed(world, 'key', 'identity', 'me.key')
  return { world, place, file: join(world.directory, 'me.key'), recipient: printed.trim() }
}

function push(place: string, message: string): void {
  git(place, 'add', '-A', ':!*.bak')
  git(place, 'commit', '-q', '-m', message)
  git(place, 'push', '-q', 'origin', 'HEAD')
}

const GIT = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
const NAMED = ['-c', 'user.name=x', '-c', 'user.email=x@example.org', '-c', 'core.sharedRepository=0600']

function git(cwd: string, ...argv: readonly string[]): string {
  const env = { PATH: process.env.PATH, HOME: cwd, ...GIT }
  return execFileSync('git', [...NAMED, ...argv], { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function gitShow(cwd: string, what: string): string {
  return git(cwd, 'show', what)
}

/** A world with a vault for one identity, and a credential in it. */
async function ageWorld(): Promise<{ readonly world: TestWorld; readonly identity: string; readonly file: string }> {
  const world = new TestWorld()
  const { identity } = await drawIdentity()
  const text = identity.revealText() ?? ''
  const file = write(world, 'me.txt', `${text}\n`)
  await succeed(world, 'init', '--vault', VAULT, '--key-file', file)
  world.stdin = 'value'
  await succeed(world, 'store', 'a', '--stdin', '--key-file', file)
  return { world, identity: text, file }
}

async function expectStatus(status: number, world: TestWorld, ...argv: readonly string[]): Promise<Failure> {
  const failure = await fail(world, ...argv)
  expect(failure.status).toBe(status)
  return failure
}

function set(world: TestWorld, name: string, value: string): readonly [] {
  world.env[name] = value
  return []
}
