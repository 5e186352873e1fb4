import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { type AuthInfo, OAuthError, OAuthErrorCode, verifyBearerToken } from '@modelcontextprotocol/server'
import { SEARCH_DEFINITION } from '../../src/search/definition.js'
import { openVaultFile, Secret, VaultError } from '../../src/index.js'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

const KEY = `${Buffer.alloc(32, 'library').toString('base64url')}=`
const root = fileURLToPath(new URL('../..', import.meta.url))

/** A directory with a vault that the built program made, and a way to run more commands there. */
function createPlace(format = 'native'): {
  vault: string
  state: string
  run: (argv: string[], stdin?: string) => string
} {
  const directory = temporaryDirectory()
  const env = { PATH: process.env.PATH, HOME: directory, MCP_ENCRYPTION_KEY: KEY }
  const run = (argv: string[], input = ''): string => {
    const result = spawnSync(process.execPath, ['--', launcher(), ...argv], {
      cwd: directory,
      env,
      input,
      encoding: 'utf8',
    })
    if (result.status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${result.status}: ${result.stderr}`)
    return result.stdout
  }
  run(['init', '--vault', 'mcp_credentials.enc', '--format', format])
  run(['store', 'scavio_api_key', '--stdin'], 'sk_first\n')
  return { vault: join(directory, 'mcp_credentials.enc'), state: join(directory, '.local/state/mcpvault'), run }
}

describe('the library', () => {
  it.each(['native', 'fernet'])('loads values of a %s vault, and a rotation counts at the next call', (format) => {
    const { vault: path, state, run } = createPlace(format)
    const vault = openVaultFile(path, { key: KEY, stateDirectory: state })
    expect(vault.names()).toEqual(['scavio_api_key'])
    expect(vault.load('scavio_api_key').revealText()).toBe('sk_first')
    run(['rotate', 'scavio_api_key', '--stdin'], 'sk_second\n')
    expect(vault.load('scavio_api_key').revealText()).toBe('sk_second')
    if (format === 'native') expect(vault.load('scavio_api_key', { version: 'previous' }).revealText()).toBe('sk_first')
  })

  it('finds what belongs to the vault beside the file itself, not beside a link to it', () => {
    const { vault: path, state, run } = createPlace()
    const token = run(['token', 'create', '--tools', 'web_search']).trim()
    const link = join(temporaryDirectory(), 'link.enc')
    symlinkSync(path, link)
    const vault = openVaultFile(link, { key: KEY, stateDirectory: state })
    expect(vault.verifyToken(token, { tool: 'web_search' })).toMatchObject({ allowed: true })
  })

  it('verifies tokens, and a revocation counts at the next call', () => {
    const { vault: path, state, run } = createPlace()
    const vault = openVaultFile(path, { key: KEY, stateDirectory: state })
    expect(vault.verifyToken('mcpv_x', { tool: 'web_search' })).toEqual({ allowed: false, reason: 'malformed' })
    const token = run(['token', 'create', '--tools', 'web_search', '--label', 'lib']).trim()
    expect(vault.verifyToken(token, { tool: 'web_search' })).toMatchObject({ allowed: true })
    expect(vault.verifyToken(token, { tool: 'other' })).toMatchObject({ allowed: false, reason: 'tool' })
    run(['token', 'revoke', 'lib'])
    expect(vault.verifyToken(token, { tool: 'web_search' })).toEqual({ allowed: false, reason: 'revoked' })
  })

  it('slows a token with a rate down, and goes by pinned definitions', async () => {
    const { vault: path, state, run } = createPlace()
    const vault = openVaultFile(path, { key: KEY, stateDirectory: state })
    const tool = 'web_search'
    const slow = run(['token', 'create', '--tools', tool, '--rate', '2/h']).trim()
    expect(vault.verifyToken(slow, { tool })).toEqual({ allowed: false, reason: 'rate' })
    const calls = [await vault.acceptCall(slow, { tool }), await vault.acceptCall(slow, { tool })]
    expect(calls).toEqual([expect.objectContaining({ allowed: true }), expect.objectContaining({ allowed: true })])
    expect(await vault.acceptCall(slow, { tool })).toEqual({ allowed: false, reason: 'rate' })
    const pinned = run(['token', 'create', '--tools', tool, '--pin']).trim()
    expect(vault.verifyToken(pinned, { tool })).toMatchObject({ allowed: false, reason: 'digest' })
    const changed = { ...SEARCH_DEFINITION, description: 'Deletes everything.' }
    expect(vault.verifyToken(pinned, { tool, definition: changed })).toMatchObject({ allowed: false, reason: 'digest' })
    expect(vault.verifyToken(pinned, { tool, definition: SEARCH_DEFINITION })).toMatchObject({ allowed: true })
  })

  it('makes the verifier that the MCP SDK takes', async () => {
    const { vault: path, state, run } = createPlace()
    const vault = openVaultFile(path, { key: KEY, stateDirectory: state })
    const invalidToken = (message: string): Error => new OAuthError(OAuthErrorCode.InvalidToken, message)
    const ask = (token: string, acceptsCalls: boolean): Promise<AuthInfo> =>
      verifyBearerToken(`Bearer ${token}`, { verifier: vault.createTokenVerifier({ invalidToken, acceptsCalls }) })
    const token = run(['token', 'create', '--tools', 'web_search,github/get_issue', '--label', 'sdk']).trim()
    const info = await ask(token, false)
    expect(info).toMatchObject({
      token,
      scopes: ['web_search', 'github/get_issue'],
      extra: { label: 'sdk', methods: ['tools'] },
    })
    expect(info.expiresAt).toBeGreaterThan(Date.now() / 1000)
    const limited = run(['token', 'create', '--tools', 'web_search', '--calls', '5']).trim()
    await expect(ask(limited, false)).rejects.toMatchObject({ code: 'invalid_token' })
    expect(await ask(limited, true)).toMatchObject({ scopes: ['web_search'] })
    run(['token', 'revoke', 'sdk'])
    await expect(ask(token, true)).rejects.toMatchObject({ code: 'invalid_token' })
    await expect(ask('mcpv_x', true)).rejects.toMatchObject({ code: 'invalid_token' })
  })

  it('spends the calls of a token that has a budget, and refuses it where nothing is spent', async () => {
    const { vault: path, state, run } = createPlace()
    const rule = ['--arg', 'web_search:num_results<=5']
    const token = run(['token', 'create', '--tools', 'web_search', '--calls', '2', ...rule]).trim()
    const open = () => openVaultFile(path, { key: KEY, stateDirectory: state })
    const vault = open()
    const check = { tool: 'web_search', args: { num_results: 5 } }
    expect(vault.verifyToken(token, check)).toEqual({ allowed: false, reason: 'calls' })
    expect(await vault.acceptCall(token, { tool: 'web_search' })).toMatchObject({ allowed: false, reason: 'args' })
    expect(await vault.acceptCall(token, check)).toMatchObject({ allowed: true })
    expect(await open().acceptCall(token, check)).toMatchObject({ allowed: true })
    expect(await vault.acceptCall(token, check)).toMatchObject({ allowed: false, reason: 'calls' })
    vault.close()
  })

  it('throws errors with stable codes, and never prints a secret', () => {
    const { vault: path, state } = createPlace()
    const codeOf = (open: () => unknown): string => {
      try {
        open()
      } catch (error) {
        return error instanceof VaultError ? error.code : String(error)
      }
      return 'none'
    }
    const other = `${Buffer.alloc(32, 'other').toString('base64url')}=`
    expect(codeOf(() => openVaultFile(path, { key: other, stateDirectory: state }))).toBe('WRONG_KEY')
    expect(codeOf(() => openVaultFile(path, { key: 'short', stateDirectory: state }))).toBe('NO_KEY')
    expect(codeOf(() => openVaultFile(path, { stateDirectory: state }))).toBe('NO_KEY')
    expect(codeOf(() => openVaultFile(`${path}.none`, { key: KEY, stateDirectory: state }))).toBe('NOT_FOUND')
    const vault = openVaultFile(path, { key: KEY, stateDirectory: state })
    expect(codeOf(() => vault.load('none'))).toBe('NOT_FOUND')
    const secret = vault.load('scavio_api_key')
    expect(secret).toBeInstanceOf(Secret)
    expect(`${secret} ${inspect({ secret })} ${JSON.stringify({ secret })}`).not.toContain('sk_first')
    vault.close()
    expect(codeOf(() => vault.load('scavio_api_key'))).toBe('WRONG_KEY')
  })
})

describe('the package', () => {
  it('gives its own name to the built library, with types beside it', async () => {
    const script = "import('mcpvault').then((m) => console.log(Object.keys(m).sort().join()))"
    const result = spawnSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' })
    expect(result.stdout.trim()).toBe('EXIT_CODES,Secret,VaultError,VaultFile,openVaultFile,parseArguments')
    expect(existsSync(join(root, 'dist/lib/index.js'))).toBe(true)
  })
})

describe('the example server', () => {
  /** Starts an example server on the vault and gives its address. */
  const startExample = async (name: string, vault: string): Promise<string> => {
    const env = { PATH: process.env.PATH, HOME: join(vault, '..'), MCP_ENCRYPTION_KEY: KEY }
    const server: ChildProcess = spawn(process.execPath, [join(root, 'examples', name), vault], { env, cwd: root })
    onTestFinished(() => void server.kill('SIGKILL'))
    const [line] = (await once(server.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    return /http:\S+/.exec(line.toString())?.[0] ?? ''
  }

  it('serves who has a token, and nobody after it was revoked', async () => {
    const { vault: path, run } = createPlace()
    const token = run(['token', 'create', '--tools', 'web_search', '--label', 'agent']).trim()
    const base = await startExample('guarded-server.mjs', path)
    const call = async (bearer: string): Promise<string> => {
      const response = await fetch(`${base}/tools/web_search`, { headers: { authorization: `Bearer ${bearer}` } })
      return `${response.status} ${(await response.text()).trim()}`
    }
    expect(await call(token)).toBe('200 web_search was called with a key of its own')
    expect(await call(`${token.slice(0, -1)}A`)).toBe('401 Unauthorized or expired token')
    run(['token', 'revoke', 'agent'])
    expect(await call(token)).toBe('401 Unauthorized or expired token')
  })
  it('guards a server of the MCP SDK, call by call', async () => {
    const { vault: path, run } = createPlace()
    const token = run(['token', 'create', '--tools', 'web_search', '--arg', 'web_search:query=mcp']).trim()
    const base = await startExample('mcp-server.mjs', path)
    const connect = async (bearer: string): Promise<Client> => {
      const client = new Client({ name: 'test', version: '1.0.0' })
      onTestFinished(() => client.close())
      const headers = { authorization: `Bearer ${bearer}` }
      await client.connect(new StreamableHTTPClientTransport(new URL(base), { requestInit: { headers } }))
      return client
    }
    const client = await connect(token)
    const search = { name: 'web_search', arguments: { query: 'mcp' } }
    expect((await client.callTool(search)).content).toEqual([
      { type: 'text', text: 'searched for mcp with a key of its own' },
    ])
    expect(await client.callTool({ ...search, arguments: { query: 'other' } })).toMatchObject({
      isError: true,
      content: [{ type: 'text', text: 'Unauthorized or expired token' }],
    })
    await expect(connect('mcpv_x')).rejects.toThrow()
  })
})
