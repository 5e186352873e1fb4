import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { holdersPath, readHolders, registerHolder } from '../../src/exec/holders.js'
import { describeSelf, type Owner } from '../../src/storage/owner.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { HOST } from '../storage/storage-support.js'
import { DAY_MS, VaultWorld } from '../vault/vault-support.js'

let child: Bundle

beforeAll(async () => {
  child = await bundleScript(new URL('./holder-child.ts', import.meta.url))
})
afterAll(() => child.remove())

const registry = (world: VaultWorld): string => holdersPath(world.access())
const lines = (world: VaultWorld): readonly string[] => readFileSync(registry(world), 'utf8').split('\n').slice(0, -1)
const names = (world: VaultWorld): readonly string[] =>
  readHolders(world.access(), HOST).flatMap(({ credentials }) => credentials.map(({ name }) => name))

function register(world: VaultWorld, name = 'scavio_api_key') {
  return registerHolder(
    world.access(),
    { command: 'exec', program: '/opt/x/npx', credentials: [{ name, version: 3 }] },
    HOST,
  )
}

async function start(world: VaultWorld, name: string): Promise<ChildProcess> {
  const process_ = spawn(process.execPath, [child.path, world.directory, name], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(process_.stdout, 'data')
  return process_
}

/** A line as another process would have written it. */
function lineOf(changes: Partial<Owner> & { since?: number; credentials?: unknown }, world: VaultWorld): string {
  const owner = describeSelf(HOST, 'f'.repeat(32), 'serve')
  return `${JSON.stringify({ ...owner, since: world.nowMs, credentials: [{ name: 'other', version: 1 }], ...changes })}\n`
}

describe('the registry of holders', () => {
  it('tells which process holds which version, until it is released', async () => {
    const world = new VaultWorld()
    const entry = await register(world)
    expect(readHolders(world.access(), HOST)).toEqual([
      {
        pid: process.pid,
        command: 'exec',
        program: 'npx',
        sinceMs: world.nowMs,
        credentials: [{ name: 'scavio_api_key', version: 3 }],
        isElsewhere: false,
      },
    ])
    expect(statSync(registry(world)).mode & 0o777).toBe(0o600)
    await entry.update([{ name: 'scavio_api_key', version: undefined }])
    expect(readHolders(world.access(), HOST)[0]?.credentials).toEqual([{ name: 'scavio_api_key', version: undefined }])
    await entry.release()
    expect(readHolders(world.access(), HOST)).toEqual([])
    expect(world.warnings).toEqual([])
  })

  it('is empty where nobody has registered, and asking makes no file', () => {
    const world = new VaultWorld()
    expect(readHolders(world.access(), HOST)).toEqual([])
    expect(existsSync(registry(world))).toBe(false)
  })

  it('lies beside the vault itself, by whichever link the vault was named', async () => {
    const world = await VaultWorld.create()
    const elsewhere = join(world.directory, 'links')
    mkdirSync(elsewhere)
    symlinkSync(world.path('vault'), join(elsewhere, 'vault'))
    const store = { ...world.store(), locate: () => join(elsewhere, 'vault') }
    expect(dirname(holdersPath(world.access({ store })))).toBe(world.directory)
  })

  it('keeps every entry when many processes come and go at once', async () => {
    const world = new VaultWorld()
    const all = Array.from({ length: 4 }, (_, index) => `key_${index}`)
    const running = await Promise.all(all.map((name) => start(world, name)))
    expect([...names(world)].sort()).toEqual(all)
    for (const [index, one] of running.entries()) if (index % 2 === 0) one.stdin?.end()
    await Promise.all(running.filter((_, index) => index % 2 === 0).map((one) => once(one, 'exit')))
    expect([...names(world)].sort()).toEqual(['key_1', 'key_3'])
    for (const one of running) one.stdin?.end()
    await Promise.all(running.map((one) => one.exitCode ?? once(one, 'exit')))
    expect(lines(world)).toEqual([])
  })

  it('leaves killed processes out at once, and cleans them away with the next change', async () => {
    const world = new VaultWorld()
    const killed = await start(world, 'dead_key')
    expect(names(world)).toEqual(['dead_key'])
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    expect(names(world)).toEqual([])
    expect(lines(world)).toHaveLength(1)
    await register(world, 'mine')
    expect(lines(world)).toHaveLength(1)
    expect(names(world)).toEqual(['mine'])
  })

  it('leaves out a process id that belongs to another process by now, and another boot', () => {
    const world = new VaultWorld()
    const stale = [lineOf({ start: '1' }, world), lineOf({ boot: '00000000-0000-0000-0000-000000000000' }, world)]
    const isSameMachine = describeSelf(HOST, 'a', 'exec').machine !== ''
    writeFileSync(registry(world), stale.join(''), { mode: 0o600 })
    expect(names(world)).toEqual(isSameMachine ? [] : ['other'])
  })

  it('keeps who runs in another container for a month, and says that it is elsewhere', async () => {
    const world = new VaultWorld()
    writeFileSync(registry(world), lineOf({ namespace: 'pid:[1] time:[1]' }, world), { mode: 0o600 })
    expect(readHolders(world.access(), HOST)).toMatchObject([{ isElsewhere: true, command: 'serve' }])
    world.nowMs += 29 * DAY_MS
    await (await register(world)).release()
    expect(names(world)).toEqual(['other'])
    world.nowMs += 2 * DAY_MS
    expect(names(world)).toEqual([])
  })

  it('passes over lines that are not its own', async () => {
    const world = new VaultWorld()
    const odd = ['', 'null', '[]', '{}', '{"pid":1}', 'garbage \u0000', lineOf({ credentials: [1] }, world).trim()]
    writeFileSync(registry(world), `${odd.join('\n')}\n${lineOf({}, world)}{"torn`, { mode: 0o600 })
    expect(names(world)).toEqual(['other'])
    await register(world, 'mine')
    expect(names(world)).toEqual(['other', 'mine'])
    expect(lines(world)).toHaveLength(2)
  })

  it('warns and goes on where it cannot be written', async () => {
    const world = new VaultWorld()
    mkdirSync(registry(world))
    const entry = await register(world)
    await entry.release()
    expect(world.warnings[0]).toMatch(/^cannot note in ".*mcp_holders.jsonl" which credentials this process holds: /)
  })

  it('does not grow without bounds, and loses nobody who is registered', async () => {
    const world = new VaultWorld()
    const many = Array.from({ length: 40_000 }, (_, index) => ({ name: `key_${index}`, version: 1 }))
    const entry = await register(world, 'mine')
    await entry.update(many)
    expect(world.warnings).toMatchObject([expect.stringContaining('it is full')])
    expect(names(world)).toEqual(['mine'])
  })

  it('is not believed when others can write it', () => {
    const world = new VaultWorld()
    writeFileSync(registry(world), lineOf({}, world))
    chmodSync(registry(world), 0o666)
    expect(() => readHolders(world.access(), HOST)).toThrow(/other users can write it/)
  })
})
