import { existsSync } from 'node:fs'
import { isAbsolute, join, sep } from 'node:path'

/** The MCP clients whose configs are known. */
export const CLIENTS = ['claude-code', 'claude-desktop', 'cursor', 'vscode', 'codex'] as const

/** An MCP client. */
export type ClientName = (typeof CLIENTS)[number]

/** How a client is called in a sentence. */
export const CLIENT_TITLES: Readonly<Record<ClientName, string>> = {
  'claude-code': 'Claude Code',
  'claude-desktop': 'Claude Desktop',
  cursor: 'Cursor',
  vscode: 'VS Code',
  codex: 'Codex',
}

/** Where to look: a user on a machine, in a project. */
export interface Surroundings {
  readonly home: string
  /** `linux` or `darwin`. */
  readonly platform: string
  /** The project. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A config file of a client. */
export interface ConfigLocation {
  readonly client: ClientName
  readonly path: string
}

interface Row {
  readonly client: ClientName
  /** Project files, below the working directory. */
  readonly project: readonly string[]
  /** The user's own files. */
  readonly user: (surroundings: Surroundings) => readonly string[]
}

/**
 * Where each client keeps its servers, from its documentation (docs/adopt.md has the sources). Linux has the places of
 * macOS's `~/Library/Application Support` in `$XDG_CONFIG_HOME`.
 */
const TABLE: readonly Row[] = [
  {
    client: 'claude-code',
    project: ['.mcp.json'],
    user: ({ home, env }) => [join(absoluteOr(env.CLAUDE_CONFIG_DIR, home), '.claude.json')],
  },
  {
    client: 'claude-desktop',
    project: [],
    user: (place) => [join(applicationSupport(place), 'Claude', 'claude_desktop_config.json')],
  },
  { client: 'cursor', project: ['.cursor/mcp.json'], user: ({ home }) => [join(home, '.cursor', 'mcp.json')] },
  {
    client: 'vscode',
    project: ['.vscode/mcp.json'],
    user: (place) =>
      ['Code', 'Code - Insiders'].map((name) => join(applicationSupport(place), name, 'User', 'mcp.json')),
  },
  {
    client: 'codex',
    project: ['.codex/config.toml'],
    user: ({ home, env }) => [join(absoluteOr(env.CODEX_HOME, join(home, '.codex')), 'config.toml')],
  },
]

function absoluteOr(named: string | undefined, otherwise: string): string {
  return named && isAbsolute(named) ? named : otherwise
}

function applicationSupport({ home, platform, env }: Surroundings): string {
  if (platform === 'darwin') return join(home, 'Library', 'Application Support')
  return absoluteOr(env.XDG_CONFIG_HOME, join(home, '.config'))
}

/** Names every place where a client would look, whether or not a file is there; project files come first. */
export function configPlaces(surroundings: Surroundings, client?: ClientName): readonly ConfigLocation[] {
  const rows = TABLE.filter((row) => client === undefined || row.client === client)
  const places = [
    ...rows.flatMap((row) => row.project.map((path) => ({ client: row.client, path: join(surroundings.cwd, path) }))),
    ...rows.flatMap((row) => row.user(surroundings).map((path) => ({ client: row.client, path }))),
  ]
  // In the home directory a project's file can be the user's own.
  return places.filter(({ path }, index) => places.findIndex((place) => place.path === path) === index)
}

/** Finds the config files that are there. */
export function findConfigs(surroundings: Surroundings, client?: ClientName): readonly ConfigLocation[] {
  return configPlaces(surroundings, client).filter(({ path }) => existsSync(path))
}

/** Tells by its path whose config a file is; undefined for a path that no client has. */
export function clientOfPath(path: string): ClientName | undefined {
  const parts = path.split(sep)
  const name = parts.at(-1) ?? ''
  const folder = parts.at(-2) ?? ''
  if (name === '.mcp.json' || name === '.claude.json') return 'claude-code'
  if (name === 'claude_desktop_config.json') return 'claude-desktop'
  if (folder === '.cursor' && name === 'mcp.json') return 'cursor'
  if ((folder === '.vscode' || folder === 'User') && name === 'mcp.json') return 'vscode'
  return folder === '.codex' && name === 'config.toml' ? 'codex' : undefined
}
