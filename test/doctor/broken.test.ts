import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../support/context.js'
import { nativeWorld, rotate, store, succeed, tutorialWorld, VAULT } from '../cli/commands/support.js'
import { expectAnyBytesSurvived } from './any-bytes.js'
import { idsIn, pictureOf } from './doctor-support.js'

const FILES = [VAULT, 'rotation_log.json', 'mcp_tokens.jsonl', `${VAULT}.lock`] as const

async function usedWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'scavio_api_key', 'sk_one')
  await rotate(world, 'scavio_api_key', 'sk_two')
  await succeed(world, 'token', 'create', '--tools', 'web_search')
  return world
}

const remove = (path: string): void => rmSync(path, { recursive: true, force: true })

/** What may lie in the place of a file. */
const ODD: readonly (readonly [string, (path: string) => void])[] = [
  ['a directory', (path) => mkdirSync(path)],
  ['a FIFO', (path) => execFileSync('mkfifo', [path])],
  ['a link into nothing', (path) => symlinkSync('nowhere', path)],
  ['a link to itself', (path) => symlinkSync(path, path)],
  ['a device', (path) => symlinkSync('/dev/zero', path)],
  ['nothing', () => {}],
  ['an empty file', (path) => writeFileSync(path, '', { mode: 0o600 })],
  ['NULs', (path) => writeFileSync(path, Buffer.alloc(5000), { mode: 0o600 })],
  ['deep JSON', (path) => writeFileSync(path, '['.repeat(100_000), { mode: 0o600 })],
  ['a number', (path) => writeFileSync(path, '7\n', { mode: 0o600 })],
  ['null', (path) => writeFileSync(path, 'null', { mode: 0o600 })],
]

describe('whatever lies there', () => {
  for (const [what, make] of ODD) {
    it(`is survived: ${what}`, async () => {
      const world = await usedWorld()
      const paths = FILES.map((name) => join(world.directory, name))
      const kept = paths.map((path, index) => (index < 3 ? readFileSync(path) : undefined))
      for (const [index, path] of paths.entries()) {
        remove(path)
        make(path)
        // Without a vault there is nothing to examine; a dangling link is none.
        const isGone = path.endsWith(VAULT) && (what === 'nothing' || what === 'a link into nothing')
        if (isGone) expect(await world.run('doctor')).toBe(3)
        else expect((await idsIn(world)).join()).not.toBe(index < 3 && what !== 'nothing' ? '' : 'x')
        remove(path)
        const bytes = kept[index]
        if (bytes !== undefined) writeFileSync(path, bytes, { mode: 0o600 })
      }
      expect(await idsIn(world)).toEqual([])
    })
  }

  it('is survived when all of it is broken at once, and nothing is written', async () => {
    const world = await usedWorld()
    for (const name of FILES) writeFileSync(join(world.directory, name), 'broken', { mode: 0o600 })
    const before = pictureOf(world.directory)
    expect(await idsIn(world)).toEqual([
      'error vault-damaged',
      'error log-damaged',
      'error tokens-damaged',
      'warning lock-unreadable',
    ])
    expect(pictureOf(world.directory)).toEqual(before)
  })
})

describe('any bytes (more of them: npm run test:slow)', () => {
  it.each([
    ['native', usedWorld],
    ['tutorial', async () => tutorialWorld('python')],
  ] as const)('in any file of a %s vault are survived, with and without the key', async (_, make) => {
    await expectAnyBytesSurvived(await make(), 20)
  })
})
