import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { GatewayWorld, NOTES_KEY } from './gateway-support.js'
import { ProgramHome } from './program-support.js'

const PROGRAM = fileURLToPath(new URL('child-program.mjs', import.meta.url))
// biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
const ENV = { NOTES_KEY: '${vault:notes_key}' }

function homeWith(era: string): ProgramHome {
  const notes = { command: process.execPath, args: [PROGRAM, era], env: ENV }
  return ProgramHome.create({ notes_key: NOTES_KEY }, { notes })
}

async function textOf(answer: Promise<{ content: unknown }>): Promise<string> {
  const [first] = (await answer).content as { text: string }[]
  return first?.text ?? ''
}

describe('serve NAME --stdio', () => {
  it.each([
    ['legacy', 'legacy'],
    ['modern', 'both'],
  ] as const)('relays the %s protocol to a program, with the token of its environment', async (mode, era) => {
    const home = homeWith(era)
    const token = home.run(['token', 'create', '--tools', 'notes/echo,notes/who,notes/ask']).trim()
    const client = await home.connect(['serve', 'notes', '--stdio'], {
      mode: mode === 'modern' ? { pin: '2026-07-28' } : 'legacy',
      env: { MCPVAULT_TOKEN: token },
      capabilities: { sampling: {} },
    })
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo', 'who', 'ask'])
    expect(await textOf(client.callTool({ name: 'who', arguments: {} }))).toContain('[redacted]')
    expect(await textOf(client.callTool({ name: 'env', arguments: {} }))).toBe('Unauthorized or expired token')
    if (mode === 'legacy') {
      const content = { type: 'text', text: 'so' } as const
      client.setRequestHandler('sampling/createMessage', () => ({ model: 'm', role: 'assistant', content }))
      expect(await textOf(client.callTool({ name: 'ask', arguments: {} }))).toBe(JSON.stringify(content))
    }
    home.run(['token', 'revoke', '-'], { input: token })
    await expect(client.callTool({ name: 'echo', arguments: { value: 1 } })).rejects.toThrow(/Unauthorized or expired/)
  })
})

describe('connect', () => {
  it('makes itself one token for an hour, for the tools that are named', async () => {
    const home = homeWith('legacy')
    for (let time = 0; time < 2; time += 1) {
      const client = await home.connect(['connect', 'notes', '--tools', 'echo'])
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo'])
      expect(await textOf(client.callTool({ name: 'echo', arguments: { value: time } }))).toBe(String(time))
      await client.close()
    }
    expect(new Set(home.audit().flatMap(({ token }) => (token === undefined ? [] : [token]))).size).toBe(1)
    expect(JSON.parse(home.run(['token', 'list', '--json']))).toMatchObject([{ tools: ['notes/echo'] }])
  })

  it('reaches a gateway elsewhere with a token and without a vault', async () => {
    const world = await GatewayWorld.create()
    await world.start({ mcpServers: { notes: { command: process.execPath, args: [PROGRAM, 'both'], env: ENV } } })
    const token = await world.token({ tools: ['notes/echo'] })
    for (const mode of [{ pin: '2026-07-28' }] as const) {
      const client = await new ProgramHome().connect(['connect', `${world.origin}/mcp/notes`], {
        mode,
        env: { MCPVAULT_TOKEN: token },
      })
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo'])
      expect(await textOf(client.callTool({ name: 'echo', arguments: { value: 'far' } }))).toBe('far')
      await client.close()
    }
  })
})

describe('token create --pin', () => {
  it('asks the server for the definitions, and voids the token for a tool that is another by now', async () => {
    const home = homeWith('legacy')
    const token = home.run(['token', 'create', '--tools', 'notes/echo', '--pin']).trim()
    const client = await home.connect(['serve', 'notes', '--stdio'], { env: { MCPVAULT_TOKEN: token } })
    expect(await textOf(client.callTool({ name: 'echo', arguments: { value: 1 } }))).toBe('1')
    expect(() => home.run(['token', 'create', '--tools', 'notes/none', '--pin'])).toThrow(/has no such tool/)
    const other = await home.connect(['serve', 'notes', '--stdio'], {
      env: { MCPVAULT_TOKEN: token, CHILD_DESCRIPTION: 'does more' },
    })
    expect(await textOf(other.callTool({ name: 'echo', arguments: { value: 1 } }))).toBe(
      'Unauthorized or expired token',
    )
  })
})

describe('headers', () => {
  it('prints one header with the same token each time, for tools of that server alone', () => {
    const home = homeWith('legacy')
    const printed = home.run(['headers', 'notes', '--tools', 'echo,who'])
    expect(JSON.parse(printed)).toEqual({ Authorization: expect.stringMatching(/^Bearer mcpv_/) })
    expect(home.run(['headers', 'notes', '--tools', 'echo,who'])).toBe(printed)
    expect(home.run(['headers', 'notes', '--tools', 'echo'])).not.toBe(printed)
    expect(() => home.run(['headers', 'notes', '--tools', 'other/echo'])).toThrow(/another server/)
  })
})
