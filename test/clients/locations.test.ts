import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { clientOfPath, configPlaces, findConfigs, type Surroundings } from '../../src/clients/locations.js'
import { temporaryDirectory } from '../support/directory.js'

const LINUX: Surroundings = { home: '/home/me', platform: 'linux', cwd: '/src/app', env: {} }
const MAC: Surroundings = { home: '/Users/me', platform: 'darwin', cwd: '/src/app', env: {} }

function paths(surroundings: Surroundings, client?: Parameters<typeof configPlaces>[1]): readonly string[] {
  return configPlaces(surroundings, client).map(({ path }) => path)
}

describe('the configs of clients', () => {
  it('lie in the project and in the home directory', () => {
    expect(paths(LINUX)).toEqual([
      '/src/app/.mcp.json',
      '/src/app/.cursor/mcp.json',
      '/src/app/.vscode/mcp.json',
      '/src/app/.codex/config.toml',
      '/home/me/.claude.json',
      '/home/me/.config/Claude/claude_desktop_config.json',
      '/home/me/.cursor/mcp.json',
      '/home/me/.config/Code/User/mcp.json',
      '/home/me/.config/Code - Insiders/User/mcp.json',
      '/home/me/.codex/config.toml',
    ])
    expect(paths(MAC, 'vscode')).toEqual([
      '/src/app/.vscode/mcp.json',
      '/Users/me/Library/Application Support/Code/User/mcp.json',
      '/Users/me/Library/Application Support/Code - Insiders/User/mcp.json',
    ])
    expect(paths(MAC, 'claude-desktop')).toEqual([
      '/Users/me/Library/Application Support/Claude/claude_desktop_config.json',
    ])
  })

  it('lie where the environment says', () => {
    const env = { XDG_CONFIG_HOME: '/cfg', CLAUDE_CONFIG_DIR: '/claude', CODEX_HOME: '/codex' }
    expect(paths({ ...LINUX, env })).toEqual(
      expect.arrayContaining(['/claude/.claude.json', '/cfg/Code/User/mcp.json', '/codex/config.toml']),
    )
  })

  it('are named once where the home directory is the project', () => {
    const home = { ...LINUX, cwd: '/home/me' }
    expect(paths(home, 'cursor')).toEqual(['/home/me/.cursor/mcp.json'])
  })

  it('are found where they are there, and told by their paths', () => {
    const home = temporaryDirectory()
    const place = { ...LINUX, home, cwd: home }
    expect(findConfigs(place)).toEqual([])
    for (const { path } of configPlaces(place)) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, '')
    }
    const found = findConfigs(place)
    expect(found).toEqual(configPlaces(place))
    for (const { client, path } of found) expect(clientOfPath(path), path).toBe(client)
    expect(clientOfPath(join(home, 'other.json'))).toBeUndefined()
  })
})
