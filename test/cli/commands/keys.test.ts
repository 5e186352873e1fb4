import { chmodSync, existsSync, mkdirSync, openSync, symlinkSync } from 'node:fs'
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
  OTHER_KEY,
  store,
  succeed,
  VAULT,
  write,
} from './support.js'

const GARBAGE = 'hunter2-is-no-key'

/** Puts a text where a key is looked for and gives the flags that point there. */
type Source = (world: TestWorld, text: string) => readonly string[]

/** In the order in which they are looked at. */
const SOURCES: readonly (readonly [name: string, arrange: Source])[] = [
  ['--key-file', (world, text) => ['--key-file', write(world, 'flag.key', `${text}\n`)]],
  ['--key-fd', (world, text) => ['--key-fd', String(openSync(write(world, 'fd.key', text), 'r'))]],
  [
    '--env-file',
    (world, text) => ['--env-file', write(world, '.env', `OTHER=1\nexport MCP_ENCRYPTION_KEY="${text}" # c\n`)],
  ],
  ['MCP_ENCRYPTION_KEY', (world, text) => set(world, 'MCP_ENCRYPTION_KEY', ` ${text}\n`)],
  ['MCP_ENCRYPTION_KEY_FILE', (world, text) => set(world, 'MCP_ENCRYPTION_KEY_FILE', write(world, 'env.key', text))],
  [
    'MCP_ENCRYPTION_KEY_COMMAND',
    (world, text) => set(world, 'MCP_ENCRYPTION_KEY_COMMAND', JSON.stringify(['/bin/echo', text])),
  ],
  [
    'systemd credential',
    (world, text) => {
      mkdirSync(join(world.directory, 'systemd'), { recursive: true })
      write(world, 'systemd/mcp_encryption_key', text)
      return set(world, 'CREDENTIALS_DIRECTORY', join(world.directory, 'systemd'))
    },
  ],
  [
    'mcpvault/key',
    (world, text) => {
      mkdirSync(join(world.directory, '.config/mcpvault'), { recursive: true, mode: 0o700 })
      write(world, '.config/mcpvault/key', `${text}\n`)
      return []
    },
  ],
]

/** What messages call a source, where that is not its name. */
const WORDS: Readonly<Record<string, string>> = {
  '--key-file': 'flag.key',
  '--key-fd': 'descriptor',
  '--env-file': 'the env file',
}

function set(world: TestWorld, name: string, value: string): readonly string[] {
  world.env[name] = value
  return []
}

/** A world with a credential under KEY, and no key at hand. */
async function keylessWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'name', 'value')
  world.env.MCP_ENCRYPTION_KEY = undefined
  return world
}

function arrange(world: TestWorld, from: number, text: string): readonly string[] {
  return SOURCES.slice(from).flatMap(([, source]) => source(world, text))
}

describe.for(SOURCES.map(([name, source], index) => [name, source, index] as const))(
  'a key from %s',
  ([name, source, index]) => {
    it('opens the vault, and sources further down are not looked at', async () => {
      const world = await keylessWorld()
      const flags = [...source(world, KEY), ...arrange(world, index + 1, GARBAGE)]
      expect(await succeed(world, 'load', 'name', ...flags)).toBe('value\n')
    })

    it('may be spelled in hex as well', async () => {
      const world = await keylessWorld()
      expect(await succeed(world, 'load', 'name', ...source(world, HEX_KEY))).toBe('value\n')
    })

    it.for([
      ['malformed', GARBAGE, 'NO_KEY'],
      ['empty', name === 'MCP_ENCRYPTION_KEY' ? ' ' : '', 'NO_KEY'],
      ['a byte short', KEY.slice(4), 'NO_KEY'],
      ['that of another vault', OTHER_KEY, 'WRONG_KEY'],
    ] as const)('is an error when it is %s, although a good one follows', async ([, text, code]) => {
      const world = await keylessWorld()
      const flags = [...source(world, text), ...arrange(world, index + 1, KEY)]
      // Reading a descriptor uses it up, and `fail` runs a command once.
      const failure = await fail(world, 'load', 'name', ...flags)
      expect(failure).toMatchObject({ status: 5, code })
      if (code === 'NO_KEY') expect(failure.message).toContain(WORDS[name] ?? name)
      expect(world.stderr).not.toContain(GARBAGE)
      expect(world.stderr).not.toContain(KEY.slice(4, 20))
    })
  },
)

describe('a key', () => {
  it('that no source has is exit 5 and the hint says where to put one', async () => {
    const world = await keylessWorld()
    const failure = await fail(world, 'load', 'name')
    expect(failure).toMatchObject({ status: 5, code: 'NO_KEY' })
    expect(failure.hints.join(' ')).toContain('MCP_ENCRYPTION_KEY')
  })

  it('that does not fit is told by the ids of both, never by itself', async () => {
    const world = await keylessWorld()
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    const { message, hints } = await fail(world, 'load', 'name')
    expect(`${message} ${hints.join(' ')}`.match(/\b[0-9a-f]{16}\b/g)).toHaveLength(2)
  })

  it('that a named file does not have is an error, as is a file that is no file', async () => {
    const world = await keylessWorld()
    expect(await fail(world, 'load', 'name', '--key-file', 'missing.key')).toMatchObject({ status: 5, code: 'NO_KEY' })
    expect(await fail(world, 'load', 'name', '--env-file', 'missing.env')).toMatchObject({ status: 5 })
    expect(await fail(world, 'load', 'name', '--env-file', write(world, 'other.env', 'A=1\n'))).toMatchObject({
      status: 5,
    })
    expect(await fail(world, 'load', 'name', '--key-file', '.')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(await fail(world, 'load', 'name', '--key-fd', '999')).toMatchObject({ status: 5, code: 'NO_KEY' })
    world.env.MCP_ENCRYPTION_KEY_FILE = 'missing.key'
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 5 })
  })

  it.for([
    ['prints no key', ['/bin/echo', 'hello']],
    ['fails', ['/bin/false']],
    ['does not exist', ['/nonexistent/program']],
    ['is no array', 'not an array'],
  ] as const)('is missing when the key program %s', async ([, argv]) => {
    const world = await keylessWorld()
    world.env.MCP_ENCRYPTION_KEY_COMMAND = typeof argv === 'string' ? `[${argv}` : JSON.stringify(argv)
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 5, code: 'NO_KEY' })
  })

  it('comes from a program without a shell', async () => {
    const world = await keylessWorld()
    world.env.MCP_ENCRYPTION_KEY_COMMAND = JSON.stringify(['/bin/echo', `${KEY}; touch touched`])
    expect((await fail(world, 'load', 'name')).status).toBe(5)
    const program = write(world, 'key program', `#!/bin/sh\necho ${KEY}\n`, 0o700)
    world.env.MCP_ENCRYPTION_KEY_COMMAND = program
    expect(await succeed(world, 'load', 'name')).toBe('value\n')
    expect(existsSync(join(world.directory, 'touched'))).toBe(false)
  })

  it('file may be a symbolic link, is warned of when others can read it, refused when they can write it', async () => {
    const world = await keylessWorld()
    const path = write(world, 'real.key', KEY)
    symlinkSync(path, join(world.directory, 'link.key'))
    expect(await succeed(world, 'load', 'name', '--key-file', 'link.key')).toBe('value\n')
    expect(world.stderr).toBe('')
    chmodSync(path, 0o644)
    await succeed(world, 'load', 'name', '--key-file', 'link.key')
    expect(world.stderr).toMatch(/^mcpvault: warning: other users can read the key file [^\n]*\n$/)
    await succeed(world, 'load', 'name', '--key-file', 'link.key', '--json')
    expect(JSON.parse(world.stderr).warning.message).toContain('other users can read')
    chmodSync(path, 0o622)
    expect(await fail(world, 'load', 'name', '--key-file', 'link.key')).toMatchObject({ status: 4, code: 'UNSAFE' })
  })
})

const KEYLESS = [
  ['list'],
  ['history', 'name'],
  ['rotation-due', '--exit-zero'],
  ['log', 'show'],
  ['log', 'verify'],
] as const

describe.for(KEYLESS)('%s %s', (argv) => {
  it('works without a key, says so, runs no key program and asks nothing', async () => {
    const world = await keylessWorld()
    world.setTerminal(true)
    world.env.MCP_ENCRYPTION_KEY_COMMAND = JSON.stringify(['/bin/touch', join(world.directory, 'touched')])
    world.nowMs += 40 * DAY
    const printed = await json<unknown>(world, ...argv)
    expect(existsSync(join(world.directory, 'touched'))).toBe(false)
    expect(world.questions).toEqual([])
    // The log is printed as it is: an array of records.
    if (argv[1] !== 'show') expect(JSON.stringify(printed)).toContain('"verified":false')
    world.env.MCP_ENCRYPTION_KEY_COMMAND = undefined
    world.env.MCP_ENCRYPTION_KEY = KEY
    if (argv[1] !== 'show') expect(JSON.stringify(await json<unknown>(world, ...argv))).toContain('"verified":true')
  })

  it('refuses a key that is there and does not fit, and a vault that the key shows to be altered', async () => {
    const world = await keylessWorld()
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, ...argv)).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    world.env.MCP_ENCRYPTION_KEY = GARBAGE
    expect(await fail(world, ...argv)).toMatchObject({ status: 5, code: 'NO_KEY' })
    world.env.MCP_ENCRYPTION_KEY = KEY
    const bytes = Buffer.from(await readVault(world))
    const at = bytes.indexOf('"created":"2026')
    bytes[at + 14] = 0x39
    write(world, VAULT, bytes)
    expect(await fail(world, ...argv)).toMatchObject({ status: 6, code: 'DAMAGED' })
  })
})

describe('commands that need a key', () => {
  it.for([
    ['load', 'name'],
    ['store', 'other', '--generate'],
    ['rotate', 'name', '--generate'],
    ['rollback', 'name'],
    ['remove', 'name', '--yes'],
    ['export'],
    ['token', 'create', '--tools', 'web_search'],
    ['token', 'check', '--tool', 'web_search'],
    ['token', 'list'],
    ['token', 'revoke', '--all'],
    ['search', 'words'],
  ])('exit 5 without one: %s %s', async (argv) => {
    const world = await keylessWorld()
    expect(await fail(world, ...argv)).toMatchObject({ status: 5, code: 'NO_KEY' })
  })

  it('exit 5 in the tutorial format as well, with a key that opens nothing and with none', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'name', 'value')
    const before = await readVault(world)
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    expect(await fail(world, 'store', 'second', '--generate')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    expect(await fail(world, 'rotate', 'name', '--generate')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await fail(world, 'load', 'name')).toMatchObject({ status: 5, code: 'NO_KEY' })
    expect(await readVault(world)).toEqual(before)
    expect(await json<{ verified: boolean }[]>(world, 'list')).toMatchObject([{ name: 'name', verified: false }])
  })
})

const DAY = 86_400_000

async function readVault(world: TestWorld): Promise<Buffer> {
  const { readFileSync } = await import('node:fs')
  return readFileSync(join(world.directory, VAULT))
}
