import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import { parseRawKey, type RawKey } from '../../src/vault/key.js'
import { emptyTutorialWorld, fail, json, KEY, nativeWorld, store, succeed, write } from '../cli/commands/support.js'
import type { TestWorld } from '../support/context.js'
import { startHttp } from '../support/loopback.js'
import { VaultWorld } from '../vault/vault-support.js'
import { linesOf, placePrograms } from './staged-support.js'

let world: TestWorld
let url: string
let asked: string[]

const placeTemplate = (to: string): string => write(world, 'probe.json', JSON.stringify({ url: `${to}/{{value}}` }))
const policy = (...flags: readonly string[]): Promise<string> => succeed(world, 'policy', 'set', 'name', ...flags)
const ACCEPT = 'to accept it as it is now: mcpvault policy set name --verify http:@probe.json'

async function place(made: Promise<TestWorld>): Promise<void> {
  world = await made
  placePrograms(world.directory)
  await store(world, 'name', 'first')
  asked = []
  const server = await startHttp((request, response) => {
    asked.push(request.url ?? '')
    response.end()
  })
  onTestFinished(() => server.close())
  url = server.url
  placeTemplate(url)
}

beforeEach(() => place(nativeWorld({ env: { PATH: process.env.PATH } })))

describe('the request template of a policy', () => {
  test('is used as it was accepted', async () => {
    await policy('--verify', 'http:@probe.json')
    const { verify } = await json<{ readonly verify: string }>(world, 'policy', 'show', 'name')
    expect(verify).toMatch(/^http:sha256:[0-9a-f]{64}@probe\.json$/)
    await succeed(world, 'rotate', 'name', '--generate')
    expect(asked).toHaveLength(1)
    // What was printed is taken, too.
    await policy('--verify', verify)
    expect(await json(world, 'policy', 'show', 'name')).toMatchObject({ verify })
  })

  test('is refused once somebody has changed it, before anything is made, and the command that accepts it is named', async () => {
    await policy('--verify', 'http:@probe.json', '--provider', 'command:./provider', '--max-age', '0s')
    placeTemplate(`${url}/elsewhere`)
    const changed = { status: 4, code: 'UNSAFE', hints: expect.arrayContaining([ACCEPT]) }
    expect(await fail(world, 'rotate', 'name')).toMatchObject(changed)
    expect(await fail(world, 'rotate', 'name', '--dry-run')).toMatchObject(changed)
    expect(await world.run('rotate', '--due', '--json')).toBe(8)
    expect(JSON.parse(world.stdout)).toMatchObject({ failed: [{ name: 'name', code: 'UNSAFE' }] })
    expect(await json(world, 'rotate', '--due', '--dry-run')).toMatchObject([{ name: 'name', does: 'fail' }])
    expect([asked, linesOf(world.directory, 'calls')]).toEqual([[], []])
    await policy('--verify', 'http:@probe.json')
    await succeed(world, 'rotate', 'name')
    expect(asked).toEqual([expect.stringMatching(/^\/elsewhere\/sk_/)])
  })

  test('is refused where an older mcpvault has kept no digest of it', async () => {
    const vault = new VaultWorld({ directory: world.directory, key: parseRawKey(KEY) as RawKey })
    vault.stateDirectory = join(world.directory, '.local/state/mcpvault')
    const older = { verify: 'http:@probe.json' }
    await changeVault(vault.access(), 'policy set', (draft) => draft.setPolicy('name', older))
    const refused = await fail(world, 'rotate', 'name', '--generate')
    expect(refused).toMatchObject({ code: 'UNSAFE', hints: expect.arrayContaining([ACCEPT]) })
    expect(refused.message).toContain('nobody has accepted its content')
  })

  test('must be there and usable when the policy is set', async () => {
    rmSync(join(world.directory, 'probe.json'))
    expect(await fail(world, 'policy', 'set', 'name', '--verify', 'http:@probe.json')).toMatchObject({ code: 'INPUT' })
    write(world, 'probe.json', '{"url":"https://{{value}}/"}')
    expect(await fail(world, 'policy', 'set', 'name', '--verify', 'http:@probe.json')).toMatchObject({ code: 'INPUT' })
  })

  test('decides the rest of a rotation that was interrupted: another one does not resume it', async () => {
    write(world, 'answers', ',"idempotent":true')
    await policy('--verify', 'http:@probe.json', '--provider', 'command:./provider')
    await succeed(world, 'rotate', 'name')
    write(world, 'silent-create', '')
    expect(await world.run('rotate', 'name')).toBe(8)
    rmSync(join(world.directory, 'silent-create'))
    placeTemplate(`${url}/elsewhere`)
    const refused = await fail(world, 'rotate', 'name', '--resume')
    expect(refused).toMatchObject({ code: 'UNSAFE', hints: expect.arrayContaining(['mcpvault rotate name --abort']) })
    placeTemplate(url)
    await succeed(world, 'rotate', 'name', '--resume')
    expect(asked).toHaveLength(2)
  })
})

test('a request template that is named for one rotation is taken as it is, in the tutorial format too', async () => {
  await succeed(world, 'rotate', 'name', '--generate', '--verify', 'http:@probe.json')
  await place(emptyTutorialWorld({ env: { PATH: process.env.PATH } }))
  await succeed(world, 'rotate', 'name', '--generate', '--verify', 'http:@probe.json')
  expect(asked).toHaveLength(1)
})
