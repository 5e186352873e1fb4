import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Finding } from '../../../src/doctor/finding.js'
import type { TestWorld } from '../../support/context.js'
import { KEY, nativeWorld, OTHER_KEY, succeed } from './support.js'

/** A world whose key lies in a file, with one credential. */
async function cronWorld(key = KEY): Promise<TestWorld> {
  const world = await nativeWorld()
  world.stdin = 'a value of this trial'
  await succeed(world, 'store', 'api_key', '--stdin')
  writeFileSync(join(world.directory, 'key'), `${key}\n`, { mode: 0o600 })
  delete world.env.MCP_ENCRYPTION_KEY
  world.env.MCP_ENCRYPTION_KEY_FILE = 'key'
  return world
}

async function rehearse(world: TestWorld): Promise<{ status: number; findings: readonly Finding[] }> {
  const status = await world.run('doctor', '--as-cron', '--json')
  return { status, findings: JSON.parse(world.stdout) }
}

describe('doctor --as-cron', () => {
  it('runs what is scheduled without effect, in an empty environment, and finds nothing', async () => {
    const world = await cronWorld()
    const { status, findings } = await rehearse(world)
    expect(findings.map(({ id, severity }) => `${severity} ${id}`)).toEqual([
      'note cron-rotation-due',
      'note cron-rotate',
    ])
    expect(status).toBe(0)
  })

  it('says that a key in the environment alone is not there at night', async () => {
    const world = await cronWorld()
    world.env.MCP_ENCRYPTION_KEY = KEY
    const { status, findings } = await rehearse(world)
    expect(status).toBe(4)
    expect(findings[0]).toMatchObject({ id: 'cron-rotate', severity: 'error' })
    expect(findings[0]?.what).toContain('a timer would find no key')
    expect(world.stdout + world.stderr).not.toContain(KEY)
  })

  it('says that the key file does not fit', async () => {
    const { findings } = await rehearse(await cronWorld(OTHER_KEY))
    expect(findings[0]).toMatchObject({ id: 'cron-rotate', severity: 'error' })
    expect(findings[0]?.what).toMatch(/^"rotate" would fail from cron: .*key/)
  })

  it('says that a key command needs what is not there', async () => {
    const world = await cronWorld()
    delete world.env.MCP_ENCRYPTION_KEY_FILE
    const script = join(world.directory, 'needs-bus')
    writeFileSync(
      script,
      `#!/bin/sh
test -n "$DBUS_SESSION_BUS_ADDRESS" && echo ${KEY}
`,
    )
    chmodSync(script, 0o755)
    world.env.MCP_ENCRYPTION_KEY_COMMAND = script
    const { findings } = await rehearse(world)
    expect(findings[0]?.what).toMatch(/^"rotate" would fail from cron: .*MCP_ENCRYPTION_KEY_COMMAND/)
  })

  it('says which files of a policy would let a rotation fail: a template that was changed, a target that is gone', async () => {
    const world = await cronWorld()
    const place = (name: string, text: string): void =>
      writeFileSync(join(world.directory, name), text, { mode: 0o600 })
    place('my probe.json', '{"url":"https://api.example/{{value}}"}')
    place('.env', 'KEY=x\n')
    const flags = ['--verify', 'http:@my probe.json', '--target', 'env:.env#KEY', '--target', 'file:made-when-needed']
    await succeed(world, 'policy', 'set', 'api_key', ...flags)
    expect((await rehearse(world)).status).toBe(0)
    place('my probe.json', '{"url":"https://elsewhere.example/{{value}}"}')
    rmSync(join(world.directory, '.env'))
    const { status, findings } = await rehearse(world)
    expect(status).toBe(4)
    const [template, target] = findings
    expect(template?.what).toContain('the request template "my probe.json": it is not the one that was accepted')
    expect(template?.mend).toBe("mcpvault policy set api_key --verify 'http:@my probe.json'")
    expect(target?.what).toBe('the target "env:.env#KEY" of "api_key" is a file that is not there')
  })

  it('says which program of a policy cron would not find, and where it is', async () => {
    const world = await cronWorld()
    const bin = join(world.directory, 'my bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'new-key'), '#!/bin/sh\n')
    chmodSync(join(bin, 'new-key'), 0o755)
    world.env.PATH = `${bin}:/usr/bin:/bin`
    await succeed(world, 'policy', 'set', 'api_key', '--provider', 'command:["new-key","a"]', '--on-rotate', 'true')
    const { status, findings } = await rehearse(world)
    expect(status).toBe(4)
    const [found] = findings
    expect(found).toMatchObject({ id: 'cron-program', severity: 'error' })
    expect(found?.what).toBe(
      `the provider of "api_key" is "new-key", which is not found in cron's PATH (/usr/bin:/bin)`,
    )
    expect(found?.mend).toBe(`mcpvault policy set api_key --provider 'command:["${join(bin, 'new-key')}","a"]'`)
    expect(findings.filter(({ id }) => id === 'cron-program')).toHaveLength(1)
  })
})
