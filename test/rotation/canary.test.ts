import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { nativeWorld, succeed } from '../cli/commands/support.js'
import type { TestWorld } from '../support/context.js'
import { findForms } from '../support/forms.js'

const OLD = 'sk-canary-old-5f6d7a8b9c0d1e2f'
const NEW = 'sk-canary-new/0a1b2c3d+4e5f"6071'

/** Shows all that a program can see of itself, and all that it was told, where mcpvault takes it up. */
const TELL = 'told=$(cat); echo "$told" >&2; { env; tr "\\0" " " < /proc/$$/cmdline; } > "seen-by-$(basename "$0")"'

/** Where the new value may lie: at the provider, and in the target. */
const HOLDERS = ['upstream', '.mcp.json']

async function rotationWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  const put = (name: string, text: string, mode = 0o600): void => {
    writeFileSync(join(world.directory, name), text)
    chmodSync(join(world.directory, name), mode)
  }
  put('upstream', JSON.stringify({ value: NEW, handle: 'key/2', idempotent: true }))
  put(
    'provider',
    `#!/bin/sh\n${TELL}\ncat upstream >&2\ncase $told in *create*) cat upstream ;; *) echo "{}" ;; esac\n`,
    0o755,
  )
  put('probe', `#!/bin/sh\n${TELL}\ncat upstream\ntest ! -e refuse\n`, 0o755)
  put('hook', `#!/bin/sh\n${TELL}\n`, 0o755)
  put('.mcp.json', '{"env":{"KEY":"placeholder"}}')
  world.stdin = OLD
  await succeed(world, 'store', 'api_key', '--stdin')
  const flags = ['--provider', 'command:./provider', '--verify', 'command:./probe', '--on-rotate', './hook']
  await succeed(world, 'policy', 'set', 'api_key', ...flags, '--target', 'json:.mcp.json#/env/KEY')
  return world
}

function filesOf(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(directory, name)).isFile(),
  )
}

/** Names every place where a value is seen that is no place for it. */
function sightings(world: TestWorld, said: string): readonly string[] {
  const texts = filesOf(world.directory)
    .filter((name) => !HOLDERS.includes(name))
    .map((name) => [name, readFileSync(join(world.directory, name))] as const)
  return [['streams', Buffer.from(said)] as const, ...texts].flatMap(([place, bytes]) =>
    [OLD, NEW].flatMap((value) => findForms(bytes, value).map((form) => `${place}: ${form}`)),
  )
}

describe('a value that goes through provider, probe, target and hook', () => {
  it('is in the target and nowhere else', async () => {
    const world = await rotationWorld()
    expect(await world.run('rotate', 'api_key'), world.stderr).toBe(0)
    expect(readFileSync(join(world.directory, '.mcp.json'), 'utf8')).toBe(JSON.stringify({ env: { KEY: NEW } }))
    expect(filesOf(world.directory)).toEqual(
      expect.arrayContaining(['seen-by-provider', 'seen-by-probe', 'seen-by-hook', 'mcp_credentials.enc']),
    )
    expect(world.stderr).toContain('provider: {"value":"[redacted]"')
    expect(world.stderr).toContain('"current":"[redacted]"')
    expect(world.stderr).toContain('probe: ')
    expect(sightings(world, world.stdout + world.stderr)).toEqual([])
  })

  it('is nowhere when the probe refuses it, and the old one stays live', async () => {
    const world = await rotationWorld()
    writeFileSync(join(world.directory, 'refuse'), '')
    expect(await world.run('rotate', 'api_key', '--json')).toBe(8)
    const said = world.stdout + world.stderr
    expect(said).toContain('exited with status 1')
    expect(readFileSync(join(world.directory, '.mcp.json'), 'utf8')).toContain('placeholder')
    expect(sightings(world, said)).toEqual([])
    expect(await succeed(world, 'load', 'api_key')).toBe(`${OLD}\n`)
  })

  it('(control) would be seen in a file and in a stream', async () => {
    const world = await rotationWorld()
    writeFileSync(join(world.directory, 'planted'), Buffer.from(`x${NEW}`).toString('base64'))
    expect(sightings(world, encodeURIComponent(OLD)).map((sighting) => sighting.split(':')[0])).toEqual(
      expect.arrayContaining(['planted', 'streams']),
    )
  })
})
