import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type StandIn, startStandIn } from '../../../src/search/stand-in.js'
import type { TestWorld } from '../../support/context.js'
import { emptyTutorialWorld, fail, json, nativeWorld, rotate, store, succeed, write } from './support.js'

const API_KEY = 'sk_live_4f9c1e7a'
const REFUSED = 'Unauthorized or expired token'

/** Makes a token for the search and puts it into the environment. */
async function create(world: TestWorld, ...argv: readonly string[]): Promise<string> {
  const token = (await succeed(world, 'token', 'create', '--tools', 'web_search', ...argv)).trim()
  world.env.MCPVAULT_TOKEN = token
  return token
}

async function narrow(world: TestWorld, ...argv: readonly string[]): Promise<string> {
  const token = (await succeed(world, 'token', 'narrow', ...argv)).trim()
  world.env.MCPVAULT_TOKEN = token
  return token
}

/** Asks about a call with these arguments: the exit status. */
async function check(world: TestWorld, args?: unknown, ...argv: readonly string[]): Promise<number> {
  if (args !== undefined) write(world, 'args.json', typeof args === 'string' ? args : JSON.stringify(args))
  const flags = args === undefined ? [] : ['--args', 'args.json']
  return world.run('token', 'check', '--tool', 'web_search', ...flags, ...argv)
}

describe('--arg', () => {
  it('limits the arguments of calls, from the beginning and narrowed', async () => {
    const world = await nativeWorld()
    await create(world, '--arg', 'web_search:num_results<=5', '--arg', 'web_search:query prefix site:')
    expect(await check(world, { query: 'site:x', num_results: 5 })).toBe(0)
    expect(await check(world, { query: 'site:x', num_results: 6 })).toBe(1)
    expect(world.stderr).toBe(`${REFUSED}\n`)
    expect(await check(world, { query: 'x', num_results: 5 })).toBe(1)
    expect(await check(world)).toBe(1)
    await narrow(world, '--arg', 'web_search:num_results in 1,2')
    expect(await check(world, { query: 'site:x', num_results: 2 })).toBe(0)
    expect(await check(world, { query: 'site:x', num_results: 5 })).toBe(1)
    expect(await succeed(world, 'token', 'show')).toContain(
      'argument\tweb_search:num_results <= 5\n' +
        'argument\tweb_search:query prefix "site:"\n' +
        'argument\tweb_search:num_results in [1,2]\n',
    )
    expect(await json(world, 'token', 'show')).toMatchObject({
      caveats: expect.arrayContaining([{ args: [['web_search', 'num_results', 'in', [1, 2]]] }]),
    })
  })

  it.for([
    ['no rule', ['--arg', 'num_results<=5']],
    ['an unknown operator', ['--arg', 'web_search:num_results~5']],
    ['a text to compare by size', ['--arg', 'web_search:num_results<=five']],
    ['a tool that it may not call', ['--arg', 'other:num_results<=5']],
    ['more rules than one caveat holds', Array(33).fill(['--arg', 'web_search:a=1']).flat()],
    ['no calls', ['--calls', '0']],
    ['too many calls', ['--calls', '1000000001']],
    ['a part of a call', ['--calls', '1.5']],
  ] as const)('is exit 2 with %s', async ([, argv]) => {
    const world = await nativeWorld()
    expect((await fail(world, 'token', 'create', '--tools', 'web_search', ...argv)).status).toBe(2)
    expect(await json(world, 'token', 'list', '--all')).toEqual([])
    await create(world)
    expect((await fail(world, 'token', 'narrow', ...argv)).status).toBe(2)
  })

  it('may be about any tool where the token may call any', async () => {
    const world = await nativeWorld()
    const made = await succeed(world, 'token', 'create', '--tools', '*', '--arg', 'web_search:num_results<=5')
    world.env.MCPVAULT_TOKEN = made.trim()
    expect(await check(world, { num_results: 6 })).toBe(1)
    expect(await world.run('token', 'check', '--tool', 'other')).toBe(0)
  })
})

describe('token check --args', () => {
  it('takes the arguments from a file or stdin, as a JSON object', async () => {
    const world = await nativeWorld()
    const token = await create(world, '--arg', 'web_search:a.b=true')
    expect(await check(world, { a: { b: true } })).toBe(0)
    world.stdin = '{"a":{"b":true}}'
    expect(await world.run('token', 'check', '--tool', 'web_search', '--args', '-')).toBe(0)
    world.stdin = token
    const both = ['token', 'check', '--tool', 'web_search', '--args', 'args.json', '--token-file', '-']
    expect(await world.run(...both)).toBe(0)
    expect(await fail(world, 'token', 'check', '--tool', 'x', '--args', '-', '--token-file', '-')).toMatchObject({
      status: 2,
      code: 'USAGE',
    })
    expect(await fail(world, 'token', 'check', '--tool', 'x', '--args', 'missing')).toMatchObject({ status: 3 })
  })

  it.each(['', '[]', 'null', '5', '"x"', '{"a":1}{', '{hunter2}'])('is exit 2 with %s', async (text) => {
    const world = await nativeWorld()
    await create(world)
    write(world, 'args.json', text)
    expect(await fail(world, 'token', 'check', '--tool', 'web_search', '--args', 'args.json')).toMatchObject({
      status: 2,
      code: 'INPUT',
    })
    expect(world.stderr).not.toContain('hunter2')
  })
})

describe('token check --explain', () => {
  it('says why, in words and in JSON, and changes neither the answer nor the status', async () => {
    const world = await nativeWorld()
    await create(world, '--arg', 'web_search:num_results<=5', '--label', 'ci')
    const explain = async (args?: unknown): Promise<string> => {
      expect(await check(world, args, '--explain')).toBe(1)
      const text = world.stderr
      expect(await check(world, args)).toBe(1)
      expect(text.startsWith(world.stderr)).toBe(true)
      expect(world.stderr).toBe(`${REFUSED}\n`)
      return text.slice(world.stderr.length)
    }
    expect(await explain({ num_results: 6 })).toBe(
      'args: it does not allow these arguments, by {"args":[["web_search","num_results","<=",5]]}\n',
    )
    expect(await check(world, { num_results: 6 }, '--explain', '--json')).toBe(1)
    expect(JSON.parse(world.stdout)).toEqual({
      allowed: false,
      id: null,
      tool: 'web_search',
      reason: 'args',
      caveat: { args: [['web_search', 'num_results', '<=', 5]] },
    })
    expect(await check(world, { num_results: 5 }, '--explain', '--json')).toBe(0)
    expect(JSON.parse(world.stdout)).toMatchObject({ allowed: true, reason: null, caveat: null })
    expect(await check(world, { num_results: 5 }, '--explain')).toBe(0)
    expect(world.stderr).toMatch(/^token [0-9a-f]{32} may call web_search\n$/)
    expect(await check(world, { num_results: 6 }, '--explain', '--quiet')).toBe(1)
    expect(world.stderr).toBe('')
    world.nowMs += 3_600_000
    expect(await explain({ num_results: 5 })).toBe('expired: it has ended, by {"before":"2026-11-22T13:00:00Z"}\n')
    await succeed(world, 'token', 'revoke', 'ci')
    expect(await explain()).toBe('revoked: it was revoked\n')
    world.env.MCPVAULT_TOKEN = 'hunter2'
    expect(await explain()).toBe('malformed: that is no token\n')
    world.env.MCPVAULT_TOKEN = undefined
    expect(await explain()).toBe('malformed: that is no token\n')
  })

  it('needs the key, as every check does', async () => {
    const world = await nativeWorld()
    await create(world)
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await fail(world, 'token', 'check', '--tool', 'other', '--explain')).toMatchObject({ status: 5 })
  })
})

describe('--calls', () => {
  let standIn: StandIn
  let accepted: string

  beforeEach(async () => {
    accepted = API_KEY
    standIn = await startStandIn({ accepts: (apiKey) => apiKey === accepted })
  })
  afterEach(() => standIn.close())

  async function searchWorld(make = nativeWorld): Promise<TestWorld> {
    const world = await make()
    await store(world, 'scavio_api_key', API_KEY)
    world.env.SCAVIO_BASE_URL = standIn.baseUrl
    return world
  }

  /** What `token list` and `token show` say is left. */
  async function left(world: TestWorld): Promise<readonly unknown[]> {
    const [listed] = await json<{ calls_left: unknown }[]>(world, 'token', 'list')
    return [listed?.calls_left, (await json(world, 'token', 'show')).calls_left]
  }

  it.for([
    ['native', nativeWorld],
    ['tutorial', emptyTutorialWorld],
  ] as const)('are spent by search, one by one, and then refused (%s)', async ([, make]) => {
    const world = await searchWorld(make)
    await create(world, '--calls', '3')
    expect(world.stderr).toMatch(/ until 2026-11-22T13:00:00Z, at most 3 calls\n$/)
    for (const count of [3, 2, 1]) {
      expect(await left(world)).toEqual([count, count])
      expect(await check(world)).toBe(0)
      expect(await succeed(world, 'search', 'x')).toContain('Results: 5')
    }
    expect(await left(world)).toEqual([0, 0])
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, code: 'UNAUTHORIZED', message: REFUSED })
    expect(await check(world)).toBe(1)
    expect(await check(world, undefined, '--explain', '--json')).toBe(1)
    expect(JSON.parse(world.stdout)).toMatchObject({ reason: 'calls', caveat: { calls: [3, expect.any(String)] } })
    expect(standIn.calls()).toBe(3)
  })

  it('are shared with what is narrowed, which may have fewer of its own', async () => {
    const world = await searchWorld()
    const whole = await create(world, '--calls', '4')
    await narrow(world, '--calls', '1')
    expect(world.stderr).toMatch(/, at most 1 call; revoking [0-9a-f]{32} ends both\n$/)
    expect(await left(world)).toEqual([4, 1])
    await succeed(world, 'search', 'x')
    expect(await left(world)).toEqual([3, 0])
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    world.env.MCPVAULT_TOKEN = whole
    for (let count = 0; count < 3; count++) await succeed(world, 'search', 'x')
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    expect(standIn.calls()).toBe(4)
  })

  it('are not spent by what never reaches the API, and are by what it refuses', async () => {
    const world = await searchWorld()
    await create(world, '--calls', '2', '--arg', 'web_search:num_results<=2')
    const records = (): string => readFileSync(join(world.directory, 'mcp_tokens.jsonl'), 'utf8')
    const before = records()
    expect(await fail(world, 'search', 'x', '-n', '3')).toMatchObject({ status: 4, message: REFUSED })
    // Five results unless told, which counts as if it was said.
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    expect(await fail(world, 'search', ' ', '-n', '1')).toMatchObject({ status: 2 })
    world.env.SCAVIO_BASE_URL = 'http://example.com'
    expect(await fail(world, 'search', 'x', '-n', '1')).toMatchObject({ status: 2 })
    world.env.SCAVIO_BASE_URL = standIn.baseUrl
    await succeed(world, 'remove', 'scavio_api_key', '--yes')
    expect(await fail(world, 'search', 'x', '-n', '1')).toMatchObject({ status: 3 })
    await store(world, 'scavio_api_key', 'not\na header')
    expect(await fail(world, 'search', 'x', '-n', '1')).toMatchObject({ status: 2 })
    expect(await check(world, { num_results: 1 })).toBe(0)
    expect(records()).toBe(before)
    await rotate(world, 'scavio_api_key', 'sk_wrong')
    expect(await fail(world, 'search', 'x', '-n', '1')).toMatchObject({ status: 8 })
    expect(await left(world)).toEqual([1, 1])
  })

  it('show as a last column where a token has a budget, and say nothing without the key', async () => {
    const world = await nativeWorld()
    await create(world)
    expect(await succeed(world, 'token', 'list')).toMatch(/\tlive\n$/)
    await create(world, '--calls', '7')
    expect(await succeed(world, 'token', 'list')).toMatch(/\tlive\t-\n.*\tlive\t7\n$/)
    expect(await succeed(world, 'token', 'show')).toContain('calls\t7 left of at most 7\n')
    world.env.MCP_ENCRYPTION_KEY = undefined
    expect(await succeed(world, 'token', 'show')).toContain('calls\tat most 7\n')
    expect(await json(world, 'token', 'show')).not.toHaveProperty('calls_left')
  })

  it('are refused like a bad token while the records are damaged', async () => {
    const world = await searchWorld()
    await create(world, '--calls', '2')
    write(world, 'mcp_tokens.jsonl', randomBytes(100))
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    expect(standIn.calls()).toBe(0)
  })
})
