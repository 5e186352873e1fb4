import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { fail, KEY, nativeWorld, read, rotate, store, succeed, tutorialWorld, VAULT, write } from './support.js'

/** One command line of each command that opens a vault. */
const COMMANDS: readonly (readonly string[])[] = [
  ['store', 'new', '--generate'],
  ['load', 'name'],
  ['list'],
  ['history', 'name'],
  ['rollback', 'name'],
  ['remove', 'name', '--yes'],
  ['export'],
  ['rotate', 'name', '--generate'],
  ['rotation-due'],
  ['log', 'show'],
  ['log', 'verify'],
  ['token', 'create', '--tools', 'web_search'],
  ['token', 'check', '--tool', 'web_search'],
  ['token', 'list'],
  ['token', 'revoke', '--all'],
  ['search', 'words'],
  ['upgrade'],
]
/** A reader with a key, one without, a writer, and one for the tutorial's format only. */
const SOME = COMMANDS.filter(([command]) => ['load', 'rotation-due', 'rotate', 'upgrade'].includes(command ?? ''))
const WRITERS = COMMANDS.filter(
  ([command, sub]) =>
    ['store', 'rotate', 'rollback', 'remove'].includes(command ?? '') || ['create', 'revoke'].includes(sub ?? ''),
)

/** A native vault with a credential that has two versions. */
async function world(): Promise<TestWorld> {
  const made = await nativeWorld()
  await store(made, 'name', 'first')
  await rotate(made, 'name', 'second')
  return made
}

describe('without a vault', () => {
  it.for(COMMANDS)('%s %s is exit 3 and lists where it looked', async (argv) => {
    const empty = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    const failure = await fail(empty, ...argv)
    expect(failure).toMatchObject({ status: 3, code: 'NOT_FOUND', message: 'no vault was found' })
    const places = [`${empty.directory}/${VAULT}`, `${empty.directory}/.local/share/mcpvault/${VAULT}`]
    for (const place of places) expect(failure.hints.join('\n')).toContain(place)
    expect(failure.hints.at(-1)).toContain('mcpvault init')
  })

  it('names only the place that was given', async () => {
    const made = await world()
    made.env.MCPVAULT_FILE = 'named.enc'
    expect((await fail(made, 'list')).hints.join('\n')).toContain(`${made.directory}/named.enc" (MCPVAULT_FILE)`)
    const { hints } = await fail(made, 'list', '--vault', 'given.enc')
    expect(hints.join('\n')).toContain(`${made.directory}/given.enc" (--vault)`)
    expect(hints).toHaveLength(2)
    made.env.MCPVAULT_FILE = ''
    await succeed(made, 'list')
  })
})

describe('a vault that is no vault', () => {
  it.for(COMMANDS)('%s %s refuses a directory, a FIFO, a device and a socket', async (argv) => {
    const made = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    mkdirSync(join(made.directory, 'directory'))
    execFileSync('mkfifo', [join(made.directory, 'fifo')])
    const server = createServer().listen(join(made.directory, 'socket'))
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      for (const path of ['directory', 'fifo', 'socket', '/dev/zero']) {
        expect(await fail(made, ...argv, '--vault', path)).toMatchObject({ status: 2, code: 'INPUT' })
      }
    } finally {
      server.close()
    }
  })

  it.for([
    ['empty', ''],
    ['a word', 'hello'],
    ['no object', '"text"'],
    ['cut', '{"name": "gAAAA'],
    ['with a name twice', '{"name": "a", "name": "b"}'],
    ['an array of something else', '["something",\n{},\n"x"]\n'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ] as const)('is damage when it is %s: exit 6, and never written', async ([, content]) => {
    const made = new TestWorld({ env: { MCP_ENCRYPTION_KEY: KEY } })
    const path = write(made, VAULT, content)
    for (const argv of content === 'hello' ? COMMANDS : SOME) {
      expect(await fail(made, ...argv)).toMatchObject({ status: 6, code: 'DAMAGED' })
    }
    expect(readFileSync(path)).toEqual(Buffer.from(content))
  })

  it('is damage when a byte of it was flipped or its end is missing', async () => {
    const made = await world()
    const bytes = readFileSync(join(made.directory, VAULT))
    const flipped = Buffer.from(bytes)
    const at = bytes.indexOf('"stage"') - 20
    flipped[at] = (flipped[at] ?? 0) ^ 1
    for (const content of [flipped, bytes.subarray(0, -20), Buffer.concat([bytes, bytes])]) {
      write(made, VAULT, content)
      for (const argv of COMMANDS) expect(await fail(made, ...argv)).toMatchObject({ status: 6, code: 'DAMAGED' })
    }
  })

  it('keeps its other values when one of a tutorial vault is damaged', async () => {
    const made = tutorialWorld('node')
    // A tag of four bytes, which node:crypto alone would accept.
    write(made, VAULT, read(made, VAULT).replace(/("empty": "[0-9a-f]{32}:[0-9a-f]{8})[0-9a-f]{24}/, '$1'))
    expect(await fail(made, 'load', 'empty')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(await succeed(made, 'load', '-n', 'unicode')).toBe(made.values.unicode)
    await rotate(made, 'empty', 'again')
    expect(await succeed(made, 'load', 'empty')).toBe('again\n')
  })
})

describe('an older copy of a vault', () => {
  it('is exit 4 for reading and writing, and goes on with --accept-restore', async () => {
    const made = await world()
    const old = read(made, VAULT)
    await rotate(made, 'name', 'third')
    write(made, VAULT, old)
    expect(await fail(made, 'load', 'name')).toMatchObject({ status: 4, code: 'RESTORED' })
    expect(await fail(made, 'rotate', 'name', '--generate')).toMatchObject({ status: 4, code: 'RESTORED' })
    const { hints } = await fail(made, 'load', 'name')
    const way = hints.at(-1)?.split(': mcpvault ')[1] ?? ''
    expect(way).toBe('log settle --accept-restore')
    await succeed(made, ...way.split(' '))
    expect(made.stderr).toContain('since this copy was made: "name" rotated')
    await succeed(made, 'rotate', 'name', '--generate')
    await succeed(made, 'load', 'name')
    await succeed(made, 'log', 'verify')
  })

  it('is warned of in a git work tree, where reading it is normal', async () => {
    const made = await world()
    const old = read(made, VAULT)
    await rotate(made, 'name', 'third')
    write(made, VAULT, old)
    mkdirSync(join(made.directory, '.git'))
    expect(await succeed(made, 'load', 'name')).toBe('second\n')
    expect(made.stderr).toContain('older')
    expect(await fail(made, 'rotate', 'name', '--generate')).toMatchObject({ status: 4, code: 'RESTORED' })
  })
})

describe('a held lock', () => {
  it.for(WRITERS)('%s %s is exit 7 and names who holds it', async (argv) => {
    const made = await world()
    await succeed(made, 'token', 'create', '--tools', 'x')
    // A record that mcpvault wrote, kept alive by a process that lives: this one.
    const { systemContext } = await import('../../../src/cli/system.js')
    const { tryLock } = await import('../../../src/storage/lock.js')
    const { host, randomBytes } = systemContext()
    const path = join(made.directory, `${VAULT}.lock`)
    const lock = tryLock(path, { command: 'rotate', host, randomBytes, now: () => Date.now() })
    const before = read(made, VAULT)
    const failure = await fail(made, ...argv, '--lock-timeout', '0')
    expect(failure).toMatchObject({ status: 7, code: 'LOCKED' })
    expect(failure.message).toContain(`"rotate" (process ${host.pid})`)
    expect(read(made, VAULT)).toBe(before)
    for (const reader of [['load', 'name'], ['list'], ['rotation-due', '--exit-zero'], ['log', 'show']])
      await succeed(made, ...reader)
    lock?.release()
    await succeed(made, ...argv)
  })
})

describe('the command line', () => {
  it('takes global flags before and after the command, and between a group and its command', async () => {
    const made = await world()
    await succeed(made, 'init', '--vault', 'sub/other.enc')
    for (const argv of [
      ['--vault', 'sub/other.enc', '--json', 'list'],
      ['list', '--json', '--vault', 'sub/other.enc'],
      ['--json', 'list', '--vault=sub/other.enc'],
      ['token', 'list', '--vault', 'sub/other.enc', '--json'],
      ['token', '--vault', 'sub/other.enc', 'list', '--json'],
      ['--vault', 'sub/other.enc', 'token', '--json', 'list'],
      ['--vault', 'missing.enc', 'list', '--vault', 'sub/other.enc', '--json'],
    ]) {
      expect(await succeed(made, ...argv)).toBe('[]\n')
    }
    expect(await fail(made, '--vault', 'sub/other.enc', 'list', '--vault', 'missing.enc')).toMatchObject({ status: 3 })
  })

  it.for([
    [['lst'], 'did you mean "list"?'],
    [['rotat', 'name'], 'did you mean "rotate"?'],
    [['token', 'crate'], 'did you mean "create"?'],
    [['log', 'shwo'], 'did you mean "show"?'],
    [['list', '--jsn'], 'did you mean "--json"?'],
    [['store', 'x', '--genrate'], 'did you mean "--generate"?'],
    [['frobnicate'], 'mcpvault help'],
    [['list', '--frobnicate'], 'mcpvault help list'],
  ] as const)('refuses %j with one suggestion, and runs nothing', async ([argv, hint]) => {
    const made = await world()
    const before = read(made, VAULT)
    expect(await fail(made, ...argv)).toMatchObject({ status: 2, code: 'USAGE', hints: [hint] })
    expect(read(made, VAULT)).toBe(before)
  })

  it.for([
    ['load'],
    ['load', 'a', 'b'],
    ['list', 'a', 'b'],
    ['load', 'name', '--version'],
    ['load', 'name', '--version', '0'],
    ['load', 'name', '--version', 'x'],
    ['list', '--lock-timeout', '5x'],
    ['list', '--key-fd', '-1'],
    ['list', '--json=true'],
    ['rotate', 'name', '--grace', '7 days', '--generate'],
    ['rollback', 'name', '--to', 'latest'],
  ])('is exit 2 for %s %s %s %s', async (argv) => {
    const made = await world()
    expect(await fail(made, ...argv)).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it('prints the help of a group that is named alone', async () => {
    const made = new TestWorld()
    expect(await succeed(made, 'token')).toContain('mcpvault token makes, narrows, checks and revokes')
    expect(await succeed(made, 'log', '-h')).toContain('verify')
  })

  it('keeps stdout empty on failure, and prints text or one JSON object on stderr', async () => {
    const made = await world()
    expect(await made.run('load', 'nam')).toBe(3)
    expect([made.stdout, made.stderr]).toEqual([
      '',
      'mcpvault: error: no credential is named "nam"\nmcpvault: hint: did you mean "name"?\n',
    ])
    expect(await made.run('load', 'nam', '--json')).toBe(3)
    expect([made.stdout, JSON.parse(made.stderr)]).toEqual([
      '',
      { error: { code: 'NOT_FOUND', message: 'no credential is named "nam"', hints: ['did you mean "name"?'] } },
    ])
  })

  it('prints a stack with --debug alone', async () => {
    const made = await world()
    await made.run('load', 'nam')
    expect(made.stderr).not.toContain('    at ')
    await made.run('load', 'nam', '--debug')
    expect(made.stderr).toContain('    at ')
    await made.run('load', 'nam', '--debug', '--json')
    expect(JSON.parse(made.stderr)).toMatchObject({
      error: { code: 'NOT_FOUND', stack: expect.stringMatching(/^ +at /m) },
    })
  })
})
