import { describe, expect, it } from 'vitest'
import { suggestName } from '../../src/clients/credential-names.js'
import { findSecrets } from '../../src/clients/find-secrets.js'
import { parseJsonc } from '../../src/clients/jsonc.js'
import { readServers } from '../../src/clients/server-entry.js'

/** A value that only its looks give away. */
const RANDOM = 'q9J3kfkdlsA8373hdkfj23'

/** Finds the secrets of one server: what is found, why, and the name of its credential. */
function find(server: object): readonly (readonly [value: string, why: string, name: string])[] {
  const config = parseJsonc(JSON.stringify({ mcpServers: { notes: { command: 'x', ...server } } }), 'mcp.json')
  return readServers(config).flatMap((one) =>
    findSecrets(one).map((finding) => [finding.value, finding.why, suggestName(one.name, finding)] as const),
  )
}

function values(server: object): readonly string[] {
  return find(server).map(([value]) => value)
}

const NAMED = 'its name says so'

describe('a secret is found', () => {
  it('by the name of its variable', () => {
    const env = { GITHUB_TOKEN: 'hunter22', API_KEY: 'hunter23', DB_PASSWORD: 'pass word', apiKey: 'hunter24' }
    expect(find({ env })).toEqual([
      ['hunter22', NAMED, 'github_token'],
      ['hunter23', NAMED, 'notes_api_key'],
      ['pass word', NAMED, 'db_password'],
      ['hunter24', NAMED, 'notes_api_key'],
    ])
  })

  it('by the shape of a known key, whatever it is called', () => {
    const env = {
      A: `ghp_${'a1'.repeat(18)}`,
      B: `sk-ant-${'b2'.repeat(20)}`,
      C: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln',
    }
    expect(find({ env }).map(([, why]) => why)).toEqual([
      'it has the shape of a key of GitHub',
      'it has the shape of a key of Anthropic',
      'it is a JSON web token',
    ])
  })

  it('by its looks, and by the password of an address', () => {
    expect(find({ env: { X: RANDOM, DB: 'postgres://user:hunter2@db/x' } })).toEqual([
      [RANDOM, 'it looks random', 'x'],
      ['postgres://user:hunter2@db/x', 'it is an address with a password', 'db'],
    ])
    expect(values({ env: { X: 'd41d8cd98f00b204e9800998ecf8427e' } })).toHaveLength(1)
  })

  it('in headers, behind the scheme', () => {
    const headers = { Authorization: 'Bearer abc-def', 'X-Api-Key': 'hunter2', Cookie: 'sid=1234' }
    expect(find({ url: 'https://x.example/mcp', headers })).toEqual([
      ['abc-def', NAMED, 'notes_token'],
      ['hunter2', NAMED, 'notes_api_key'],
      ['sid=1234', NAMED, 'notes_cookie'],
    ])
  })

  it('in arguments: with a flag, behind one, in an assignment, a header or an address', () => {
    const args = ['--api-key=hunter2', '--token', 'hunter3', '-e', 'GITHUB_TOKEN=hunter4', '--header', 'X-Key: hunter5']
    expect(find({ args })).toEqual([
      ['hunter2', NAMED, 'notes_api_key'],
      ['hunter3', NAMED, 'notes_token'],
      ['hunter4', NAMED, 'github_token'],
      ['hunter5', NAMED, 'notes_key'],
    ])
    expect(values({ args: ['mcp-remote', `https://x.example/sse?v=1&key=hunter6`, RANDOM] })).toEqual([
      'hunter6',
      RANDOM,
    ])
    expect(values({ args: ['--header', 'Authorization: Bearer hunter7', 'postgres://u:hunter8@h/db'] })).toEqual([
      'hunter7',
      'hunter8',
    ])
  })

  it('in an address: a password, a parameter, a part of the path', () => {
    expect(values({ url: 'https://user:hunter2@x.example/mcp' })).toEqual(['hunter2'])
    expect(find({ url: 'https://x.example/mcp?profile=me&api_key=hunter2#frag' })).toEqual([
      ['hunter2', NAMED, 'notes_api_key'],
    ])
    expect(values({ url: `https://mcp.example/s/${RANDOM}/mcp` })).toEqual([RANDOM])
  })
})

describe('no secret is', () => {
  it('a reference to one', () => {
    const texts = [
      `\${TOKEN}`,
      `\${env:TOKEN}`,
      `\${input:token}`,
      '$TOKEN',
      `\${vault:x}`,
      '{{ vault "x" }}',
      'op://a/b/c',
    ]
    for (const text of texts) {
      expect(values({ env: { API_KEY: text } }), text).toEqual([])
      expect(values({ url: 'https://x', headers: { Authorization: `Bearer ${text}` } }), text).toEqual([])
      expect(values({ args: ['--api-key', text, `--token=${text}`] }), text).toEqual([])
    }
  })

  it('a placeholder, a switch, a number of tokens, a public key, or the path of a file', () => {
    const env = {
      API_KEY: '<your key>',
      A_TOKEN: 'YOUR_TOKEN_HERE',
      B_TOKEN: 'xxxxxxxx',
      C_TOKEN: 'changeme',
      USE_AUTH: 'true',
      MAX_TOKENS: '4096',
      PUBLIC_KEY: 'hunter2',
      TOKEN_FILE: '/run/secrets/token',
      PRIVATE_KEY: '~/.ssh/id_ed25519',
      EMPTY_SECRET: '',
    }
    expect(find({ env })).toEqual([])
  })

  it('a word, a package, a version, a UUID, a path or an address', () => {
    const args = [
      '-y',
      '@modelcontextprotocol/server-everything@2025.11.25',
      '/home/me/some-project/server/dist/index.js',
      '--log-level=debug',
      'https://api.example.com/v1/some-long-path-of-words/mcp?profile=default-profile-2',
      '--workspace=123e4567-e89b-12d3-a456-426614174000',
      'mcr.microsoft.com/some-vendor/some-mcp-server:1.20.3',
      'type=bind,src=/home/me/a-long-directory,dst=/data',
    ]
    const env = { NODE_ENV: 'production', REGION: 'eu-central-1', HOSTNAME: 'ip-10-0-12-45.eu-central-1.compute' }
    expect(find({ args, env })).toEqual([])
  })

  it('what stands in front of `mcpvault exec … --`', () => {
    const args = ['exec', '--vault', '/v', '-e', 'API_KEY=notes_api_key', '--', 'npx', '--token', 'hunter2']
    expect(find({ command: 'mcpvault', args })).toEqual([['hunter2', NAMED, 'notes_token']])
    expect(find({ command: '/node', args: ['/opt/bin/mcpvault.js', ...args] })).toHaveLength(1)
  })
})
