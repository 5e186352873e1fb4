import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../../support/context.js'
import { nativeWorld, succeed, VAULT } from './support.js'

async function makeWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  world.stdin = 'first'
  await succeed(world, 'store', 'key', '--stdin')
  world.stdin = 'second'
  await succeed(world, 'rotate', 'key', '--stdin')
  return world
}

const at = (world: TestWorld, name: string): string => join(world.directory, name)

describe('inject', () => {
  it('writes a private file over whatever file was there, by whichever link', async () => {
    const world = await makeWorld()
    writeFileSync(at(world, 'in'), 'now {{ vault "key" }}, before {{ vault "key" "previous" }}\n')
    writeFileSync(at(world, 'real'), 'old', { mode: 0o644 })
    symlinkSync('real', at(world, 'out'))
    await succeed(world, 'inject', '-i', 'in', '-o', 'out')
    expect(world.stderr).toBe('wrote "out" with 1 credential filled in\n')
    expect(readFileSync(at(world, 'real'), 'utf8')).toBe('now second, before first\n')
    expect(statSync(at(world, 'real')).mode & 0o777).toBe(0o600)
    expect(await succeed(world, 'inject', '-i', 'in', '-o', 'other', '--json')).toBe(
      `{"path":"${at(world, 'other')}","credentials":["key"]}\n`,
    )
  })

  it('reads stdin and writes stdout with -, and nothing else there', async () => {
    const world = await makeWorld()
    world.stdin = Buffer.from([0xff, 0, ...Buffer.from('{{vault "key"}}')])
    await succeed(world, 'inject', '-i', '-', '-o', '-')
    expect(world.stdoutBytes).toEqual(Buffer.from([0xff, 0, ...Buffer.from('second')]))
    expect(world.stderr).toBe('')
  })

  it('writes nothing when anything is missing or not understood', async () => {
    const world = await makeWorld()
    writeFileSync(at(world, 'kept'), 'old')
    const before = readdirSync(world.directory).sort()
    for (const [template, status] of [
      ['{{ vault "key" }} {{ vault "nope" }}', 3],
      ['{{ vault "key" "7" }}', 3],
      ['{{ vault "key" }} {{ oops }}', 2],
    ] as const) {
      world.stdin = template
      expect(await world.run('inject', '-i', '-', '-o', 'kept')).toBe(status)
      expect(await world.run('inject', '-i', '-', '-o', '-')).toBe(status)
      expect(world.stdout).toBe('')
      expect(world.stderr).toMatch(/line 1, column (1|19):/)
    }
    expect(readFileSync(at(world, 'kept'), 'utf8')).toBe('old')
    expect(readdirSync(world.directory).sort()).toEqual(before)
  })

  it('does not write over the vault, its other files, the template, or what is no file', async () => {
    const world = await makeWorld()
    const vault = readFileSync(at(world, VAULT))
    writeFileSync(at(world, 'in'), '{{ vault "key" }}')
    mkdirSync(at(world, 'folder'))
    symlinkSync(VAULT, at(world, 'link'))
    for (const name of [VAULT, 'link', 'rotation_log.json', 'mcp_tokens.jsonl', 'mcp_holders.jsonl', 'in', 'folder']) {
      expect(await world.run('inject', '-i', 'in', '-o', name), name).toBe(2)
    }
    expect(await world.run('inject', '-i', 'in', '-o', '/dev/null')).toBe(2)
    expect(world.stderr).toContain('it is not a regular file')
    expect(readFileSync(at(world, VAULT))).toEqual(vault)
    expect(existsSync(at(world, 'mcp_holders.jsonl'))).toBe(false)
  })

  it('asks for both files, and says which is not there', async () => {
    const world = await makeWorld()
    expect(await world.run('inject', '-o', 'x')).toBe(2)
    expect(world.stderr).toContain('it needs -i FILE')
    expect(await world.run('inject', '-i', 'x')).toBe(2)
    expect(world.stderr).toContain('it needs -o FILE')
    expect(await world.run('inject', '-i', 'nowhere', '-o', 'x')).toBe(2)
    expect(world.stderr).toContain('cannot read the template "nowhere": there is no such file')
    expect(await world.run('inject', '-i', VAULT, '-o', 'no/such/folder/x')).toBe(9)
  })
})
