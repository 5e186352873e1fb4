import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type StandIn, startStandIn } from '../../../src/search/stand-in.js'
import { startBytes } from '../../support/loopback.js'
import type { TestWorld } from '../../support/context.js'
import { fail, nativeWorld, rotate, store, succeed, tutorialWorld, write } from './support.js'

const API_KEY = 'sk_live_4f9c1e7a'
const REFUSED = 'Unauthorized or expired token'

let standIn: StandIn
let accepted: string

beforeEach(async () => {
  accepted = API_KEY
  standIn = await startStandIn({ accepts: (apiKey) => apiKey === accepted })
})
afterEach(() => standIn.close())

/** A vault with the credential, and a token for web_search in the environment. */
async function searchWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'scavio_api_key', API_KEY)
  world.env.SCAVIO_BASE_URL = standIn.baseUrl
  world.env.MCPVAULT_TOKEN = (await succeed(world, 'token', 'create', '--tools', 'web_search')).trim()
  return world
}

describe('search', () => {
  it('prints how many results there are on the first line, then each with title, address and snippet', async () => {
    const world = await searchWorld()
    const lines = (await succeed(world, 'search', 'model context protocol')).split('\n')
    expect(lines[0]).toBe('Results: 5')
    expect(lines.slice(1, 5)).toEqual([
      '',
      'model context protocol: an introduction',
      'https://example.com/model-context-protocol/introduction',
      expect.stringContaining('.'),
    ])
    expect(world.stderr).toBe('')
    expect((await succeed(world, 'search', 'x', '-n', '2')).split('\n')[0]).toBe('Results: 2')
    expect(standIn.calls()).toBe(2)
  })

  it('prints the answer of the API with --json, unchanged', async () => {
    const world = await searchWorld()
    const answer = JSON.parse(await succeed(world, 'search', 'x', '-n', '1', '--json'))
    expect(answer).toEqual({
      results: [{ title: expect.any(String), url: expect.any(String), snippet: expect.any(String) }],
    })
    const body = '{ "results": [ {"title":"T"} ], "more": 1.0 }'
    const server = await startBytes(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    try {
      world.env.SCAVIO_BASE_URL = server.url
      expect(await succeed(world, 'search', 'x', '--json')).toBe(`${body}\n`)
      expect(await succeed(world, 'search', 'x')).toBe('Results: 1\n\nT\n\n\n')
    } finally {
      await server.close()
    }
  })

  it('makes what the API says harmless for a terminal, and takes the credential out', async () => {
    const world = await searchWorld()
    const body = JSON.stringify({
      results: [{ title: `\u001b]52;c;x\u0007 ${API_KEY}`, url: 'https://x/\u202e', snippet: 'a\nb' }],
    })
    const server = await startBytes(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    try {
      world.env.SCAVIO_BASE_URL = server.url
      const text = await succeed(world, 'search', 'x')
      expect(text).toContain('\\x1b]52;c;x\\x07 ')
      expect(text).toContain('\\u202e')
      expect(text).toContain('a\\nb')
      expect(text).not.toContain(API_KEY)
      expect(await succeed(world, 'search', 'x', '--json')).not.toContain(API_KEY)
    } finally {
      await server.close()
    }
  })

  it('takes the token from a file or stdin as well', async () => {
    const world = await searchWorld()
    const token = world.env.MCPVAULT_TOKEN ?? ''
    world.env.MCPVAULT_TOKEN = undefined
    write(world, 'token.txt', `${token}\n`)
    expect(await succeed(world, 'search', 'x', '--token-file', 'token.txt')).toContain('Results: 5')
    world.stdin = `${token}\n`
    expect(await succeed(world, 'search', 'x', '--token-file', '-')).toContain('Results: 5')
    expect(await fail(world, 'search', 'x', '--token-file', 'missing.txt')).toMatchObject({ status: 3 })
  })

  it.for([
    ['none', undefined],
    ['an empty one', ''],
    ['a malformed one', 'mcpv_nonsense'],
    ['something else', 'hunter2'],
  ] as const)('refuses %s in the words of the tutorial, without a call', async ([, token]) => {
    const world = await searchWorld()
    world.env.MCPVAULT_TOKEN = token
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, code: 'UNAUTHORIZED', message: REFUSED })
    expect(world.stderr).not.toContain('hunter2')
    expect(standIn.calls()).toBe(0)
  })

  it('refuses a token for another tool or method, an expired, a revoked one, and one narrowed from a revoked one', async () => {
    const world = await searchWorld()
    const good = world.env.MCPVAULT_TOKEN ?? ''
    for (const flags of [
      ['--tools', 'other'],
      ['--tools', 'web_search', '--methods', 'resources'],
    ]) {
      world.env.MCPVAULT_TOKEN = (await succeed(world, 'token', 'create', ...flags)).trim()
      expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    }
    world.env.MCPVAULT_TOKEN = good
    const narrowed = (await succeed(world, 'token', 'narrow', '--ttl', '10m')).trim()
    world.env.MCPVAULT_TOKEN = narrowed
    await succeed(world, 'search', 'x')
    world.nowMs += 600_000
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    world.env.MCPVAULT_TOKEN = good
    await succeed(world, 'search', 'x')
    world.stdin = narrowed
    await succeed(world, 'token', 'revoke', '-')
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    expect(standIn.calls()).toBe(2)
  })

  it('checks in order: the token, then the credential, then the address', async () => {
    const world = await searchWorld()
    const token = world.env.MCPVAULT_TOKEN
    await succeed(world, 'remove', 'scavio_api_key', '--yes')
    world.env.SCAVIO_BASE_URL = 'http://user:hunter2@example.com'
    world.env.MCPVAULT_TOKEN = 'bad'
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 4, message: REFUSED })
    world.env.MCPVAULT_TOKEN = token
    expect(await fail(world, 'search', 'x')).toMatchObject({
      status: 3,
      code: 'NOT_FOUND',
      message: 'Credential not configured',
      hints: ['mcpvault store scavio_api_key'],
    })
    await store(world, 'scavio_api_key', API_KEY)
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(world.stderr).not.toContain('hunter2')
    for (const url of ['http://example.com', 'ftp://127.0.0.1', 'nonsense', `${standIn.baseUrl}?x=1`]) {
      world.env.SCAVIO_BASE_URL = url
      expect((await fail(world, 'search', 'x')).status).toBe(2)
    }
    expect(standIn.calls()).toBe(0)
  })

  it('is exit 2 without a query, with two, with an empty one, and with too many results', async () => {
    const world = await searchWorld()
    for (const argv of [[], ['two', 'words'], [''], ['x', '-n', '0'], ['x', '-n', '21'], ['x', '-n', 'five']]) {
      expect((await fail(world, 'search', ...argv)).status).toBe(2)
    }
    expect(standIn.calls()).toBe(0)
  })

  it('is exit 8 when the API refuses the credential or cannot be reached, and a rotation mends it', async () => {
    const world = await searchWorld()
    accepted = 'sk_live_next'
    const failure = await fail(world, 'search', 'x')
    expect(failure).toMatchObject({ status: 8, code: 'UPSTREAM', hints: ['mcpvault rotate scavio_api_key'] })
    expect(world.stderr).not.toContain(API_KEY)
    await rotate(world, 'scavio_api_key', accepted)
    expect(await succeed(world, 'search', 'x')).toContain('Results: 5')
    const { baseUrl } = standIn
    await standIn.close()
    world.env.SCAVIO_BASE_URL = baseUrl
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 8, code: 'UPSTREAM' })
    standIn = await startStandIn({ accepts: () => true })
  })

  it('says that a credential cannot be a header, without it', async () => {
    const world = await searchWorld()
    await rotate(world, 'scavio_api_key', 'hunter2\nx-other: 1')
    expect(await fail(world, 'search', 'x')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(world.stderr).not.toContain('hunter2')
  })

  it('works with a tutorial vault', async () => {
    const world = tutorialWorld('python')
    accepted = world.values.scavio_api_key ?? ''
    world.env.SCAVIO_BASE_URL = standIn.baseUrl
    world.env.MCPVAULT_TOKEN = (await succeed(world, 'token', 'create', '--tools', 'web_search')).trim()
    expect(await succeed(world, 'search', 'x')).toContain('Results: 5')
  })
})
