import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { prepareConfig, type PreparedConfig, writeConfig } from '../../src/clients/adopt.js'
import { readAdopted } from '../../src/clients/adopted-entries.js'
import { type ConfigText, type ConfigValue, isRecord } from '../../src/clients/config-text.js'
import { type ClientName, CLIENTS } from '../../src/clients/locations.js'
import { openConfig } from '../../src/clients/open-config.js'
import { nameSecrets, planConfigs, refuseServers } from '../../src/clients/plan-adoption.js'
import type { Launcher } from '../../src/clients/rewrite.js'
import { readServers } from '../../src/clients/server-entry.js'
import { surveyConfigs } from '../../src/clients/survey.js'
import { formatToml, formatTomlKey } from '../../src/clients/toml-value.js'
import { undoFile } from '../../src/clients/undo.js'
import { fillArguments, parseArguments } from '../../src/exec/arguments.js'
import { parseAssignment } from '../../src/exec/environment.js'
import { Secret } from '../../src/secret.js'
import { HOST } from '../storage/storage-support.js'
import { temporaryDirectory } from '../support/directory.js'

const LAUNCHER: Launcher = { command: 'mcpvault', args: [], flags: ['--vault', "/home/o'brien/vault file.enc"] }
const FILES: Readonly<Record<ClientName, string>> = {
  'claude-code': '.mcp.json',
  'claude-desktop': 'claude_desktop_config.json',
  cursor: '.cursor/mcp.json',
  vscode: '.vscode/mcp.json',
  codex: '.codex/config.toml',
}

/** What a server gets: a program its environment and arguments, a server at a URL its address and headers. */
interface Served {
  readonly command?: string
  readonly args?: readonly string[] | undefined
  readonly env?: Readonly<Record<string, string>>
  readonly url?: string
  readonly headers?: Readonly<Record<string, string>>
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: fc.constantFrom(...'"\'\\$`{}%\n\r\t /=:#é🔑ab1'), maxLength: 16 }),
)
/** Long enough to be looked for in what is kept, and a few that stand in several places. */
const value = fc.oneof(
  fc.constantFrom('hunter2-hunter2', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'),
  text.map((rest) => `s3cr3t-${rest}`.replaceAll('\0', '')),
)
const word = fc.oneof(
  fc.constantFrom('-y', 'some-mcp', '--verbose', '@scope/pkg@1.2.3', ''),
  text.map((one) => one.replaceAll('\0', '')),
)
const argument = fc.oneof(
  word.map((one) => [one]),
  value.map((one) => ['--api-key', one]),
  value.map((one) => [`--token=${one}`]),
  value.map((one) => ['-e', `GITHUB_TOKEN=${one}`]),
  value.map((one) => ['--header', `Authorization: Bearer ${one}`]),
  fc.constant(['mcp-remote', 'https://x.example/mcp?v=1&api_key=hunter2-hunter2#top']),
)
const stdio = fc.record({
  command: fc.constantFrom('npx', '/opt/a server'),
  args: fc.option(
    fc.array(argument, { maxLength: 4 }).map((all) => all.flat()),
    { nil: undefined },
  ),
  env: fc.dictionary(fc.constantFrom('API_KEY', 'GITHUB_TOKEN', 'LOG_LEVEL', 'DB', 'X'), fc.oneof(value, word), {
    maxKeys: 4,
  }),
})
const header = value.map((one) => one.replace(/[\r\n]/g, ' '))
const http = fc.record({
  url: fc.constantFrom('https://x.example/mcp', 'https://x.example/mcp?api_key=hunter2-hunter2'),
  headers: fc.dictionary(
    fc.constantFrom('Authorization', 'X-Api-Key', 'Accept-Language', "X-It's"),
    fc.oneof(
      header,
      header.map((one) => `Bearer ${one}`),
      fc.constant('en'),
    ),
    { maxKeys: 3 },
  ),
})
const servers = fc.dictionary(fc.constantFrom('github', 'my notes', 'a.b', 'é'), fc.oneof(stdio, http), {
  minKeys: 1,
  maxKeys: 3,
})
const layout = fc.record({
  indent: fc.constantFrom(0, 2, '\t'),
  mark: fc.boolean(),
  windows: fc.boolean(),
  comment: fc.boolean(),
})

function write(
  client: ClientName,
  all: Readonly<Record<string, Served>>,
  style: { indent: number | string; mark: boolean; windows: boolean; comment: boolean },
): string {
  const body =
    client === 'codex'
      ? toml(all)
      : JSON.stringify({ [client === 'vscode' ? 'servers' : 'mcpServers']: all }, undefined, style.indent)
  const commented = style.comment
    ? client === 'codex'
      ? `# top\n${body}`
      : body.replace(/,\n/g, ', // why, "indeed"\n')
    : body
  const lined = style.windows ? commented.replaceAll('\n', '\r\n') : commented
  return `${style.mark ? '\uFEFF' : ''}${lined}`
}

function toml(all: Readonly<Record<string, Served>>): string {
  return Object.entries(all)
    .map(([name, { env, headers, ...rest }]) => {
      const path = ['mcp_servers', name]
      const rows = Object.entries(rest).flatMap(([key, one]) =>
        one === undefined ? [] : [`${key} = ${formatToml(one)} # row`],
      )
      const inline = headers === undefined ? [] : [`http_headers = ${formatToml(headers)}`]
      const variables = Object.entries(env ?? {}).map(([key, one]) => `${formatTomlKey([key])} = ${formatToml(one)}`)
      const table = env === undefined ? [] : ['', `[${formatTomlKey([...path, 'env'])}]`, ...variables]
      return [`[${formatTomlKey(path)}]`, ...rows, ...inline, ...table, ''].join('\n')
    })
    .join('\n')
}

/** Reads what a config says, before it is adopted. */
function served(config: ConfigText): Readonly<Record<string, Served>> {
  return Object.fromEntries(
    readServers(config).map(({ name, path }) => {
      const entry = config.get(path)
      const { command, args, env, url, headers, http_headers } = isRecord(entry) ? entry : {}
      return [name, clean({ command, args: args ?? [], env: env ?? {}, url, headers: headers ?? http_headers ?? {} })]
    }),
  )
}

function clean(entry: Record<string, ConfigValue | undefined>): Served {
  return Object.fromEntries(Object.entries(entry).filter(([, one]) => one !== undefined)) as Served
}

/** Does what client and mcpvault do with an adopted config. */
function resolve(
  config: ConfigText,
  prepared: PreparedConfig,
  vault: ReadonlyMap<string, string>,
): Readonly<Record<string, Served>> {
  const variables = new Map(prepared.servers.flatMap((server) => [...server.variables]))
  const expand = (one: string): string =>
    one.replace(/\$\{(?:env:)?(\w+)\}/g, (whole, name: string) => {
      const credential = variables.get(name)
      return credential === undefined ? whole : (vault.get(credential) ?? '')
    })
  const reveal = (name: string): string => vault.get(name) ?? `no ${name}`
  return Object.fromEntries(
    Object.entries(served(config)).map(([name, entry]) => {
      const path = readServers(config).find((server) => server.name === name)?.path ?? []
      if (entry.command === 'mcpvault') return [name, runExec(entry, reveal)]
      if (entry.url === undefined) return [name, entry]
      const headers = Object.fromEntries(Object.entries(entry.headers ?? {}).map(([key, one]) => [key, expand(one)]))
      const bearer = config.get([...path, 'bearer_token_env_var'])
      if (typeof bearer === 'string') headers.Authorization = `Bearer ${reveal(variables.get(bearer) ?? '')}`
      const referred = config.get([...path, 'env_http_headers'])
      for (const [key, one] of Object.entries(isRecord(referred) ? referred : {}))
        headers[key] = reveal(variables.get(String(one)) ?? '')
      const helper = config.get([...path, 'headersHelper'])
      if (typeof helper === 'string') Object.assign(headers, runHelper(helper, reveal))
      return [name, { ...entry, url: expand(entry.url), headers }]
    }),
  )
}

/** Reads the words of `exec` with its own parsers. */
function runExec({ args = [], env }: Served, reveal: (name: string) => string): Served {
  const at = args.indexOf('--')
  const own = args.slice(0, at)
  expect(own.slice(0, 3)).toEqual(['exec', ...LAUNCHER.flags])
  const given = own.flatMap((flag, index) => (flag === '-e' ? [parseAssignment(own[index + 1] ?? '', '-e')] : []))
  const program = args.slice(at + 1)
  const secret = (name: string): Secret => Secret.fromText(reveal(name))
  const filled = own.includes('--fill-args') ? fillArguments(parseArguments(program), secret) : program
  const variables = Object.fromEntries(given.map(({ variable, name }) => [variable, reveal(name)]))
  return { command: filled[0] ?? '', args: filled.slice(1), env: { ...env, ...variables }, headers: {} }
}

/** Lets a real shell cut the command into words, as Claude Code does. */
function runHelper(command: string, reveal: (name: string) => string): Record<string, string> {
  const words = execFileSync('sh', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1)
  expect(words.slice(0, 4)).toEqual(['mcpvault', 'headers', ...LAUNCHER.flags])
  const headers = words.flatMap((one, index) => (words[index - 1] === '--header' ? [one] : []))
  return Object.fromEntries(
    headers.map((one) => {
      const [, name = '', template = ''] = /^([^:]+): ([\s\S]*)$/.exec(one) ?? []
      return [
        name,
        fillArguments(parseArguments(['', template]), (credential) => Secret.fromText(reveal(credential)))[1] ?? '',
      ]
    }),
  )
}

describe('an adopted config', () => {
  it('gives every server what the old one gave, keeps no secret, and comes back byte for byte', async () => {
    const directory = temporaryDirectory()
    let [number, adoptedSecrets] = [0, 0]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...CLIENTS), servers, layout, async (client, all, style) => {
        const path = join(directory, String(number++), FILES[client])
        mkdirSync(dirname(path), { recursive: true })
        const before = write(client, all, style)
        writeFileSync(path, before, { mode: 0o600 })
        const old = served(await openConfig({ path, text: before }))

        const access = {
          host: HOST,
          randomBytes,
          now: Date.now,
          adopted: join(path, '..', 'adopted.jsonl'),
          exclusively: async (step: () => void) => step(),
        }
        const found = nameSecrets(await surveyConfigs([{ path }], access), { has: () => false, find: () => undefined })
        const { secrets } = refuseServers(found)
        const vault = new Map(secrets.map(({ credential, value: one }) => [credential, one]))
        expect(vault.size).toBe(new Set(secrets.map(({ value: one }) => one)).size)
        for (const plan of planConfigs(secrets)) {
          const prepared = await prepareConfig(plan, LAUNCHER)
          await writeConfig(prepared, LAUNCHER, { ...access, versionOf: () => 1 })
          const after = await openConfig({ path, text: readFileSync(path, 'utf8') })
          expect(resolve(after, prepared, vault)).toEqual(old)
          adoptedSecrets += prepared.servers.flatMap(({ moves }) => moves.moves).length
        }
        const kept = vault.size === 0 ? '' : readFileSync(access.adopted, 'utf8')
        for (const one of vault.values())
          if (one.length >= 8) expect(kept).not.toContain(JSON.stringify(JSON.stringify(one)).slice(3, -3))
        const entries = readAdopted(access.adopted, access)
        const steps = await undoFile(path, entries, { ...access, reveal: (name) => vault.get(name) ?? '' })
        expect(steps.filter(({ refusal }) => refusal !== undefined)).toEqual([])
        expect(readFileSync(path, 'utf8')).toBe(before)
      }),
      { numRuns: 30 },
    )
    expect(adoptedSecrets).toBeGreaterThan(20)
  })
})
