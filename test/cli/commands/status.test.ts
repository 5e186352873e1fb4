import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { json, nativeWorld, OTHER_KEY, rotate, store, succeed, tutorialWorld, VAULT } from './support.js'

interface Status {
  readonly summary: string
  readonly credentials: readonly { readonly name: string; readonly due: boolean; readonly reason: string | null }[]
  readonly live_tokens_shown: boolean
  readonly live_tokens: readonly { readonly id: string; readonly label: string | null }[]
  readonly last_changes_shown: boolean
  readonly last_changes: readonly { readonly action: string; readonly at: string | null }[]
}

describe('status', () => {
  it('in colour says the same as without', async () => {
    const world = await nativeWorld({ env: { LANG: 'C.UTF-8' } })
    await store(world, 'old_key', 'one')
    world.nowMs += 31 * 86_400_000
    await store(world, 'new_key', 'two')
    world.setTerminal(true)
    const coloured = await succeed(world, 'status')
    expect(coloured).toContain(`\u001b[31m${'█'.repeat(30)}\u001b[39m`)
    expect(coloured).toContain(`\u001b[2m${'░'.repeat(30)}\u001b[22m`)
    world.env.NO_COLOR = '1'
    expect(await succeed(world, 'status')).toBe(coloured.replace(/\u001b\[\d+m/g, ''))
  })

  it('shows the last five changes, newest first, also one that only the vault has yet', async () => {
    const world = await nativeWorld()
    await store(world, 'a_key', 'one')
    for (const value of ['two', 'three', 'four']) await rotate(world, 'a_key', value)
    const whole = await json<Status>(world, 'status')
    expect(whole.last_changes).toHaveLength(5)
    expect(whole.last_changes[0]?.action).toBe('rotated')
    rmSync(join(world.directory, 'rotation_log.json'))
    const { last_changes: kept } = await json<Status>(world, 'status')
    expect(kept.length).toBeGreaterThan(0)
    expect(kept).toEqual(whole.last_changes.slice(0, kept.length))
  })

  it('reads the ages of a tutorial vault from its log, and says that there are no tokens', async () => {
    const world = tutorialWorld('python')
    const status = await json<Status>(world, 'status')
    expect(status.credentials.length).toBeGreaterThan(1)
    expect(status).toMatchObject({ live_tokens_shown: true, live_tokens: [] })
    for (const { at } of status.last_changes) expect(at).toMatch(/Z$/)
  })

  it('shows the rest where tokens or the log are broken, and points at the doctor', async () => {
    const world = await nativeWorld()
    await store(world, 'a_key', 'one')
    await succeed(world, 'token', 'create', '--tools', 'web_search', '--label', 'ci')
    expect((await json<Status>(world, 'status')).live_tokens).toMatchObject([{ label: 'ci' }])
    for (const name of ['rotation_log.json', 'mcp_tokens.jsonl']) writeFileSync(join(world.directory, name), 'odd\n')
    const status = await json<Status>(world, 'status')
    expect(status).toMatchObject({
      live_tokens_shown: false,
      last_changes_shown: false,
      live_tokens: [],
      last_changes: [],
    })
    expect(status.credentials).toHaveLength(1)
    await succeed(world, 'status')
    expect(world.stderr.match(/mcpvault doctor/g)).toHaveLength(2)
  })

  it('refuses a key that does not fit, as every command does', async () => {
    const world = await nativeWorld()
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await world.run('status')).toBe(5)
  })
})

describe('mcpvault alone', () => {
  it('is the status on a terminal with a vault, and the help elsewhere', async () => {
    const world = new TestWorld()
    world.setTerminal(true)
    expect(await succeed(world)).toContain('Usage: mcpvault')
    world.setTerminal(false)
    await succeed(world, 'init', '--vault', VAULT)
    expect(await succeed(world)).toContain('Usage: mcpvault')
    world.setTerminal(true)
    expect(await succeed(world)).toContain('no credentials yet')
    chmodSync(join(world.directory, VAULT), 0o666)
    expect(await world.run()).toBe(4)
  })
})
