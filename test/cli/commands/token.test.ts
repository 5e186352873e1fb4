import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  KEY,
  memberNames,
  nativeWorld,
  OTHER_KEY,
  store,
  succeed,
  tutorialWorld,
  write,
} from './support.js'

const RECORDS = 'mcp_tokens.jsonl'
const REFUSED = 'Unauthorized or expired token'

async function create(world: TestWorld, ...argv: readonly string[]): Promise<string> {
  return (await succeed(world, 'token', 'create', '--tools', 'web_search', ...argv)).trim()
}

/** Asks whether a token may call a tool: the exit status. */
async function check(world: TestWorld, token: string | undefined, tool = 'web_search'): Promise<number> {
  world.env.MCPVAULT_TOKEN = token
  const status = await world.run('token', 'check', '--tool', tool)
  expect(world.stdout).toBe('')
  return status
}

describe('token create', () => {
  it('prints the token alone on stdout and a sentence on stderr, also with --quiet', async () => {
    const world = await nativeWorld()
    const printed = await succeed(
      world,
      'token',
      'create',
      '--tools',
      'web_search,github/get_issue',
      '--ttl',
      '30m',
      '--label',
      'ci',
    )
    expect(printed).toMatch(/^mcpv_[A-Za-z0-9_-]+\n$/)
    expect(world.stderr).toMatch(
      /^created token [0-9a-f]{32} "ci" for web_search, github\/get_issue until 2026-11-22T12:30:00Z\n$/,
    )
    expect(await succeed(world, 'token', 'create', '--tools', 'x', '--quiet')).toMatch(/^mcpv_/)
    expect(world.stderr).toBe('')
  })

  it('takes no key that opens nothing of a tutorial vault: its records would not hold under the right one', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'name', 'value')
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, 'token', 'create', '--tools', 'x')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    expect(existsSync(join(world.directory, RECORDS))).toBe(false)
    world.env.MCP_ENCRYPTION_KEY = KEY
    const token = await create(world)
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, 'token', 'list')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
    world.env.MCPVAULT_TOKEN = token
    expect(await fail(world, 'token', 'check', '--tool', 'web_search')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
  })

  it('gives id, scope and token in JSON', async () => {
    const world = await nativeWorld()
    const made = await json(world, 'token', 'create', '--tools', 'web_search')
    expect(made).toEqual({
      token: expect.stringMatching(/^mcpv_/),
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      label: null,
      methods: ['tools'],
      tools: ['web_search'],
      before: '2026-11-22T13:00:00Z',
      caveats: [{ methods: ['tools'] }, { tools: ['web_search'] }, { before: '2026-11-22T13:00:00Z' }],
    })
    for (const name of memberNames(made)) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
  })

  it.for([
    ['no tools', ['--ttl', '1h']],
    ['an empty name', ['--tools', 'a,,b']],
    ['a pattern', ['--tools', 'github/get_*']],
    ['* beside names', ['--tools', '*,web_search']],
    ['a life of no time', ['--tools', 'a', '--ttl', '0']],
    ['a life over 30 days', ['--tools', 'a', '--ttl', '31d']],
    ['an unknown method', ['--tools', 'a', '--methods', 'everything']],
    ['a label that is no label', ['--tools', 'a', '--label', 'two words']],
    ['a label that looks like an id', ['--tools', 'a', '--label', 'a'.repeat(32)]],
    ['an unknown flag', ['--tools', 'a', '--speed', '30/m']],
    ['a rate that is none', ['--tools', 'web_search', '--rate', '30/d']],
  ] as const)('is exit 2 with %s', async ([, argv]) => {
    const world = await nativeWorld()
    expect((await fail(world, 'token', 'create', ...argv)).status).toBe(2)
    expect(await json(world, 'token', 'list', '--all')).toEqual([])
  })

  it('warns of *, which allows everything', async () => {
    const world = await nativeWorld()
    const token = (await succeed(world, 'token', 'create', '--tools', '*')).trim()
    expect(world.stderr).toContain('warning: this token may call every tool')
    expect(await check(world, token, 'anything/at_all')).toBe(0)
  })

  it('lets a label be used again once its token is revoked or expired', async () => {
    const world = await nativeWorld()
    await create(world, '--label', 'ci')
    expect(await fail(world, 'token', 'create', '--tools', 'a', '--label', 'ci')).toMatchObject({
      status: 4,
      code: 'EXISTS',
      hints: ['mcpvault token revoke ci'],
    })
    await succeed(world, 'token', 'revoke', 'ci')
    await create(world, '--label', 'ci')
    world.nowMs += 3_600_000
    const third = await create(world, '--label', 'ci')
    await succeed(world, 'token', 'revoke', 'ci')
    expect(await check(world, third)).toBe(1)
  })
})

describe('token check', () => {
  it('exits 0 or 1, says which on stderr, and gives the same in JSON', async () => {
    const world = await nativeWorld()
    const token = await create(world)
    expect(await check(world, token)).toBe(0)
    expect(world.stderr).toMatch(/^token [0-9a-f]{32} may call web_search\n$/)
    expect(await json(world, 'token', 'check', '--tool', 'web_search')).toEqual({
      allowed: true,
      id: expect.any(String),
      tool: 'web_search',
    })
    expect(await check(world, token, 'other')).toBe(1)
    expect(world.stderr).toBe(`${REFUSED}\n`)
    expect(await world.run('token', 'check', '--tool', 'other', '--json')).toBe(1)
    expect(JSON.parse(world.stdout)).toEqual({ allowed: false, id: null, tool: 'other' })
    expect(await world.run('token', 'check', '--tool', 'other', '--quiet')).toBe(1)
    expect(world.stderr).toBe('')
  })

  it('refuses none, an empty, a malformed, an altered, an expired, a revoked and a foreign token alike', async () => {
    const world = await nativeWorld()
    const token = await create(world)
    const other = await nativeWorld()
    const foreign = await create(other)
    const altered = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`
    for (const bad of [undefined, '', ' ', 'mcpv_', 'hunter2', altered, foreign, `${token}=`, token.toUpperCase()]) {
      expect(await check(world, bad)).toBe(1)
      expect(world.stderr).toBe(`${REFUSED}\n`)
    }
    world.nowMs += 3_600_000 - 1
    expect(await check(world, token)).toBe(0)
    world.nowMs += 1
    expect(await check(world, token)).toBe(1)
    world.nowMs -= DAY_MS
    expect(await check(world, token)).toBe(1)
    world.nowMs += DAY_MS - 1000
    expect(await check(world, ` ${token}\n`)).toBe(0)
    await succeed(world, 'token', 'revoke', '--all')
    expect(await check(world, token)).toBe(1)
  })

  it('takes the token from a file or stdin, and needs a tool', async () => {
    const world = await nativeWorld()
    const token = await create(world)
    write(world, 'token.txt', `${token}\n`)
    expect(await world.run('token', 'check', '--tool', 'web_search', '--token-file', 'token.txt')).toBe(0)
    world.stdin = `${token}\n`
    expect(await world.run('token', 'check', '--tool', 'web_search', '--token-file', '-')).toBe(0)
    world.env.MCPVAULT_TOKEN = token
    expect((await fail(world, 'token', 'check')).status).toBe(2)
    expect((await fail(world, 'token', 'check', '--tool', 'x', '--token-file', 'missing')).status).toBe(3)
    expect((await fail(world, 'token', 'check', '--tool', 'x', '--token-file', '.')).status).toBe(2)
  })

  it('is exit 6 with damaged records, 4 when they are older than what was seen', async () => {
    const world = await nativeWorld()
    const token = await create(world)
    const path = join(world.directory, RECORDS)
    const before = readFileSync(path, 'utf8')
    await create(world, '--label', 'second')
    const after = readFileSync(path, 'utf8')
    writeFileSync(path, after.replace('web_search', 'web_sErch'))
    world.env.MCPVAULT_TOKEN = token
    expect(await fail(world, 'token', 'check', '--tool', 'web_search')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(await fail(world, 'token', 'list')).toMatchObject({ status: 6 })
    expect(await fail(world, 'token', 'create', '--tools', 'x')).toMatchObject({ status: 6 })
    expect(await fail(world, 'token', 'revoke', '--all')).toMatchObject({ status: 6 })
    expect(await fail(world, 'search', 'words')).toMatchObject({ status: 4, code: 'UNAUTHORIZED', message: REFUSED })
    writeFileSync(path, before)
    expect(await fail(world, 'token', 'check', '--tool', 'web_search')).toMatchObject({ status: 4, code: 'RESTORED' })
    expect(await fail(world, 'search', 'words')).toMatchObject({ status: 4, code: 'UNAUTHORIZED', message: REFUSED })
    await succeed(world, 'token', 'revoke', '--all', '--accept-restore')
    expect(await check(world, token)).toBe(1)
    writeFileSync(path, '')
    expect(await world.run('token', 'check', '--tool', 'web_search')).toBeGreaterThan(1)
  })
})

describe('token narrow', () => {
  it('prints a weaker token without vault, key or records, and revoking ends both', async () => {
    const world = await nativeWorld()
    const token = await create(world, '--ttl', '2h')
    const both = (await succeed(world, 'token', 'create', '--tools', 'a,b')).trim()
    const elsewhere = Object.assign(Object.create(Object.getPrototypeOf(world)), world) as TestWorld
    elsewhere.env.MCP_ENCRYPTION_KEY = undefined
    elsewhere.env.MCPVAULT_FILE = 'nowhere'
    elsewhere.env.MCPVAULT_TOKEN = token
    const narrowed = (await succeed(world, 'token', 'narrow', '--ttl', '10m')).trim()
    expect(world.stderr).toMatch(
      /^narrowed token ([0-9a-f]{32}) to web_search until 2026-11-22T12:10:00Z; revoking \1 ends both\n$/,
    )
    world.env.MCPVAULT_TOKEN = both
    const made = await json(world, 'token', 'narrow', '--tools', 'a')
    expect(made).toMatchObject({ tools: ['a'], methods: ['tools'], before: '2026-11-22T13:00:00Z' })
    world.env.MCP_ENCRYPTION_KEY = (await nativeWorld()).env.MCP_ENCRYPTION_KEY
    world.env.MCPVAULT_FILE = undefined
    expect(await check(world, String(made.token), 'a')).toBe(0)
    expect(await check(world, String(made.token), 'b')).toBe(1)
    expect(await check(world, narrowed)).toBe(0)
    world.nowMs += 600_000
    expect(await check(world, narrowed)).toBe(1)
    expect(await check(world, token)).toBe(0)
    world.stdin = narrowed
    await succeed(world, 'token', 'revoke', '-')
    expect(await check(world, token)).toBe(1)
    expect(await check(world, both, 'a')).toBe(0)
  })

  it.for([
    ['nothing to narrow', []],
    ['a tool that is not in it', ['--tools', 'other']],
    ['*', ['--tools', '*']],
    ['a method that is not in it', ['--methods', 'resources']],
  ] as const)('is exit 2 with %s', async ([, argv]) => {
    const world = await nativeWorld()
    world.env.MCPVAULT_TOKEN = await create(world)
    expect((await fail(world, 'token', 'narrow', ...argv)).status).toBe(2)
    expect(world.stderr).not.toContain(world.env.MCPVAULT_TOKEN)
  })

  it('is exit 2 without a token and with what is none, which is not repeated', async () => {
    const world = await nativeWorld()
    for (const command of ['narrow', 'show']) {
      const flags = command === 'narrow' ? ['--tools', 'a'] : []
      world.env.MCPVAULT_TOKEN = undefined
      expect(await fail(world, 'token', command, ...flags)).toMatchObject({ status: 2, code: 'USAGE' })
      world.env.MCPVAULT_TOKEN = 'mcpv_hunter2'
      expect(await fail(world, 'token', command, ...flags)).toMatchObject({ status: 2, code: 'INPUT' })
      expect(world.stderr).not.toContain('hunter2')
    }
  })
})

describe('token show', () => {
  it('decodes a token, and says whether it is genuine when the key is there', async () => {
    const world = await nativeWorld()
    const token = await create(world, '--label', 'ci')
    world.env.MCPVAULT_TOKEN = token
    const shown = await json(world, 'token', 'show')
    expect(shown).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      methods: ['tools'],
      tools: ['web_search'],
      before: '2026-11-22T13:00:00Z',
      expired: false,
      caveats: expect.any(Array),
      unknown_caveats: false,
      state: 'genuine',
      verified: true,
    })
    const key = world.env.MCP_ENCRYPTION_KEY
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await json(world, 'token', 'show')).toMatchObject({ state: 'not verified', verified: false })
    const text = await succeed(world, 'token', 'show')
    expect(text).toContain('tools\tweb_search\n')
    expect(text).not.toContain(token.slice(0, 20))
    world.env.MCPVAULT_FILE = 'nowhere'
    expect(await json(world, 'token', 'show')).toMatchObject({ state: 'not verified' })
    expect(await fail(world, 'token', 'show', '--vault', 'nowhere')).toMatchObject({ status: 3 })
    world.env.MCPVAULT_FILE = undefined
    world.env.MCP_ENCRYPTION_KEY = key
    world.nowMs += DAY_MS
    expect(await json(world, 'token', 'show')).toMatchObject({ expired: true, state: 'genuine' })
    await succeed(world, 'token', 'revoke', 'ci')
    expect(await json(world, 'token', 'show')).toMatchObject({ state: 'revoked' })
    world.env.MCPVAULT_TOKEN = await create(await nativeWorld())
    expect(await json(world, 'token', 'show')).toMatchObject({ state: 'not genuine', verified: true })
  })
})

describe('token list', () => {
  it('lists live tokens, all with --all, and never a token', async () => {
    const world = await nativeWorld()
    expect(await succeed(world, 'token', 'list')).toBe('')
    expect(await json(world, 'token', 'list')).toEqual([])
    const tokens = [
      await create(world, '--label', 'a'),
      await create(world, '--ttl', '1m'),
      await create(world, '--label', 'c'),
    ]
    await succeed(world, 'token', 'revoke', 'c')
    world.nowMs += 60_000
    expect(await json(world, 'token', 'list')).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        label: 'a',
        methods: ['tools'],
        tools: ['web_search'],
        before: '2026-11-22T13:00:00Z',
        created: '2026-11-22T12:00:00.000Z',
        revoked: null,
        state: 'live',
        calls_left: null,
      },
    ])
    const all = await json<{ state: string }[]>(world, 'token', 'list', '--all')
    expect(all.map(({ state }) => state)).toEqual(['live', 'expired', 'revoked'])
    const text = await succeed(world, 'token', 'list', '--all')
    expect(text.split('\n')[0]).toMatch(/^[0-9a-f]{32}\ta\tweb_search\ttools\t2026-11-22T13:00:00Z\tlive$/)
    for (const token of tokens) expect(`${text}${JSON.stringify(all)}`).not.toContain(token.slice(5, 40))
    world.setTerminal(true)
    world.env.NO_COLOR = '1'
    expect(await succeed(world, 'token', 'list')).toMatch(
      /^ID +LABEL +TOOLS +METHODS +EXPIRES +STATE\n\w+ +a +web_search +tools +in 59m +live\n$/,
    )
  })
})

describe('token revoke', () => {
  it('takes ids, labels and the token on stdin; once more is no error; an unknown one is exit 3 and revokes none', async () => {
    const world = await nativeWorld()
    const byId = await json(world, 'token', 'create', '--tools', 'a')
    const byLabel = await json(world, 'token', 'create', '--tools', 'a', '--label', 'ci')
    const byText = await json(world, 'token', 'create', '--tools', 'a')
    expect(await fail(world, 'token', 'revoke', String(byId.id), 'unknown')).toMatchObject({
      status: 3,
      code: 'NOT_FOUND',
    })
    expect(await check(world, String(byId.token), 'a')).toBe(0)
    world.stdin = ` ${byText.token}\n`
    expect(await json(world, 'token', 'revoke', String(byId.id), 'ci', '-')).toEqual({
      revoked: [byId.id, byLabel.id, byText.id],
    })
    for (const { token } of [byId, byLabel, byText]) expect(await check(world, String(token), 'a')).toBe(1)
    expect(await json(world, 'token', 'revoke', 'ci', String(byId.id), '-')).toEqual({ revoked: [] })
    expect(await succeed(world, 'token', 'revoke', 'ci')).toBe('')
    expect(world.stderr).toBe('nothing to revoke: already done\n')
  })

  it('revokes every token with --all, in every vault but another one', async () => {
    const world = await nativeWorld()
    const tokens = [await create(world), await create(world)]
    expect(await json(world, 'token', 'revoke', '--all')).toMatchObject({
      revoked: [expect.any(String), expect.any(String)],
    })
    for (const token of tokens) expect(await check(world, token)).toBe(1)
    expect(await json(world, 'token', 'revoke', '--all')).toEqual({ revoked: [] })
  })

  it('is exit 2 when nothing or too much is named, or stdin has no token', async () => {
    const world = await nativeWorld()
    await create(world)
    expect((await fail(world, 'token', 'revoke')).status).toBe(2)
    expect((await fail(world, 'token', 'revoke', 'x', '--all')).status).toBe(2)
    expect((await fail(world, 'token', 'revoke', '-')).status).toBe(2)
    world.stdin = 'hunter2'
    expect((await fail(world, 'token', 'revoke', '-')).status).toBe(2)
    world.stdin = 'mcpv_hunter2'
    expect((await fail(world, 'token', 'revoke', '-')).status).toBe(2)
    expect(world.stderr).not.toContain('hunter2')
  })
})

describe('tokens of a tutorial vault', () => {
  it('work as those of a native one', async () => {
    for (const world of [tutorialWorld('python'), tutorialWorld('node'), await emptyTutorialWorld()]) {
      const token = await create(world, '--label', 'ci')
      expect(await check(world, token)).toBe(0)
      await store(world, 'fresh', 'x')
      expect(await check(world, token)).toBe(0)
      await succeed(world, 'token', 'revoke', 'ci')
      expect(await check(world, token)).toBe(1)
    }
  })
})
