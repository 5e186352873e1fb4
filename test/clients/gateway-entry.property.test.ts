import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connectEntry, toGateway } from '../../src/clients/gateway-entry.js'
import { parseJsonc } from '../../src/clients/jsonc.js'
import { nameSecrets, planConfigs } from '../../src/clients/plan-adoption.js'
import type { SurveyedConfig } from '../../src/clients/survey.js'
import { findSecrets } from '../../src/clients/find-secrets.js'
import { readServers } from '../../src/clients/server-entry.js'
import { parseConfig } from '../../src/gateway/config.js'
import { fillTemplate, type Template } from '../../src/gateway/template.js'
import { VaultError } from '../../src/errors.js'

const text = fc.string({ unit: fc.constantFrom(...'"\'\\$%{}\n /=:#é🔑ab1'), maxLength: 12 })
const value = fc.oneof(
  text.map((rest) => `s3cr3t-${rest}`),
  text,
  fc.constant('hunter2-hunter2'),
)
const names = fc.constantFrom('API_KEY', 'GITHUB_TOKEN', 'LOG_LEVEL', 'X', '__proto__')
const stdio = fc.record({
  command: fc.constantFrom('npx', '/opt/a server'),
  args: fc.array(fc.oneof(text, fc.constant('-y')), { maxLength: 3 }),
  env: fc.dictionary(names, value, { maxKeys: 4 }),
})
const http = fc.record({
  url: fc.constant('https://x.example/mcp'),
  headers: fc.dictionary(
    fc.constantFrom('Authorization', 'X-Api-Key', 'X-Team'),
    value.map((one) => `Bearer ${one}`),
    { maxKeys: 3 },
  ),
})

describe('a server that moves to the gateway', () => {
  it('gets there exactly the command, arguments, environment, address and headers that it had', () => {
    let moved = 0
    fc.assert(
      fc.property(fc.oneof(stdio, http), (entry) => {
        const config = parseJsonc(JSON.stringify({ mcpServers: { one: entry } }), 'mcp.json')
        const servers = readServers(config).map((server) => ({ server, findings: findSecrets(server), isWhole: true }))
        const surveyed = { config, client: 'cursor', servers } as unknown as SurveyedConfig
        const secrets = nameSecrets([surveyed], { has: () => false, find: () => undefined })
        const [plan] = planConfigs(secrets)
        const [moves] = plan?.servers ?? []
        if (moves === undefined) return
        const form = toGateway(moves.surveyed, config.get(['mcpServers', 'one']), moves.moves)
        if ('reason' in form) return
        const written = JSON.stringify({ mcpServers: { [form.name]: form.definition } })
        const values = new Map(secrets.map((secret) => [secret.credential, secret.value]))
        let upstream: ReturnType<typeof parseConfig>['upstreams'][number] | undefined
        try {
          upstream = parseConfig(written, 'mcpvault.json', (name) => values.has(name)).upstreams[0]
        } catch (error) {
          if (error instanceof VaultError && error.code === 'INPUT') return
          throw error
        }
        moved += 1
        const fill = (all: readonly (readonly [string, Template])[]) =>
          all.map(([name, template]) => [name, fillTemplate(template, { value: (one) => values.get(one) ?? '' })])
        if (upstream?.type === 'stdio') {
          const { command, args, env } = upstream
          expect({ command, args, env: fill(env) }).toEqual({
            ...entry,
            env: Object.entries('env' in entry ? entry.env : {}),
          })
        } else if (upstream?.type === 'http') {
          const headers = Object.entries('headers' in entry ? entry.headers : {})
          expect(upstream.url.href).toBe('https://x.example/mcp')
          expect(fill(upstream.headers)).toEqual(headers.map(([name, one]) => [name.toLowerCase(), one]))
        } else throw new Error('it is no server')
        const rewritten = connectEntry({ text: config, path: ['mcpServers', 'one'] }, form.name, {
          command: 'mcpvault',
          args: [],
          flags: [],
        })
        expect(rewritten.value).toEqual({ mcpServers: { one: { command: 'mcpvault', args: ['connect', 'one'] } } })
      }),
      { numRuns: 300 },
    )
    expect(moved).toBeGreaterThan(30)
  })
})
