import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  DAY_MS,
  emptyTutorialWorld,
  fail,
  json,
  KEY,
  nativeWorld,
  OTHER_KEY,
  read,
  store,
  succeed,
  tutorialWorld,
  VAULT,
  withStdin,
  write,
} from './support.js'

const ENV = 'A=one\nexport B="two\\nlines" # why\n'

describe('import', () => {
  it('takes in a .env file, leaves it as it is, and says that it should go', async () => {
    const world = await nativeWorld()
    write(world, '.env', ENV)
    await succeed(world, 'import', '.env')
    expect(world.stderr).toBe(
      'imported 2 credentials from ".env"; the file still holds the values in plain text: delete it, and its copies\n',
    )
    expect(JSON.parse(await succeed(world, 'export'))).toEqual({ A: 'one', B: 'two\nlines' })
    expect(read(world, '.env')).toBe(ENV)
    expect(await json(world, 'log', 'show')).toMatchObject([
      { action: 'imported', count: 2, reason: 'from a .env file' },
    ])
  })

  it('takes in a JSON object of strings, and a FIFO, and stdin', async () => {
    const world = await nativeWorld()
    write(world, 'x.json', '\uFEFF { "a": "1", "__proto__": "2" }\n')
    expect(await json(world, 'import', 'x.json')).toEqual({
      file: 'x.json',
      dry_run: false,
      stored: ['a', '__proto__'],
      rotated: [],
      skipped: [],
      unchanged: [],
      conflicts: [],
    })
    const pipe = join(world.directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    const writer = spawn('sh', ['-c', `printf 'P=1\\n' > "${pipe}"`])
    await succeed(world, 'import', 'pipe')
    await once(writer, 'close')
    await withStdin(world, '{"c":"3"}', 'import', '-')
    expect(world.stderr).toBe('imported 1 credential from "-"\n')
    expect(JSON.parse(await succeed(world, 'export'))).toMatchObject({ a: '1', P: '1', c: '3' })
  })

  it.for(['python', 'node'] as const)('takes in a tutorial vault (%s) with the dates of its log', async (program) => {
    const source = tutorialWorld(program)
    const world = await nativeWorld()
    const copy = (): void => {
      mkdirSync(join(world.directory, 'old'), { recursive: true })
      for (const file of readdirSync(source.directory).filter((name) => [VAULT, 'rotation_log.json'].includes(name))) {
        copyFileSync(join(source.directory, file), join(world.directory, 'old', file))
      }
    }
    copy()
    write(world, 'old.key', source.MCP_ENCRYPTION_KEY)
    expect(await fail(world, 'import', `old/${VAULT}`)).toMatchObject({
      status: 5,
      code: 'WRONG_KEY',
      hints: ['give its key with --from-key-file FILE'],
    })
    const odd = Object.keys(source.values).filter((name) => !/^[\w.:/@-]+$/.test(name))
    if (odd.length > 0) {
      const failure = await fail(world, 'import', `old/${VAULT}`, '--from-key-file', 'old.key')
      expect(failure).toMatchObject({ status: 2, code: 'INPUT' })
      for (const name of odd) expect(failure.message).toContain(`"${name}"`)
    }
    for (const [index, name] of odd.entries()) await succeed(source, 'rename', name, `odd_${index}`)
    copy()
    const before = read(world, `old/${VAULT}`)
    await succeed(world, 'import', `old/${VAULT}`, '--from-key-file', 'old.key', '--prefix', 'old/')
    expect(world.stderr).not.toContain('plain text')
    expect(read(world, `old/${VAULT}`)).toBe(before)
    for (const [name, value] of Object.entries(source.values)) {
      const imported = odd.includes(name) ? `odd_${odd.indexOf(name)}` : name
      expect(await succeed(world, 'load', `old/${imported}`, '-n')).toBe(value)
    }
    const sinceOf = async (from: typeof world): Promise<ReadonlyMap<string, string | null>> => {
      const rows = await json<{ name: string; since: string | null }[]>(from, 'list')
      return new Map(rows.map(({ name, since }) => [name.replace(/^old\//, ''), since]))
    }
    const there = await sinceOf(source)
    for (const [name, since] of await sinceOf(world)) {
      expect(since, name).toBe(there.get(name) ?? '2026-11-22T12:00:00.000Z')
    }
  })

  it('takes a tutorial vault of the same key without another word, also into one', async () => {
    const source = await emptyTutorialWorld()
    await store(source, 'a', '1')
    source.nowMs += DAY_MS
    for (const makeWorld of [nativeWorld, emptyTutorialWorld]) {
      const world = await makeWorld({ nowMs: source.nowMs })
      write(world, 'old.enc', read(source, VAULT))
      await succeed(world, 'import', 'old.enc')
      expect(await succeed(world, 'load', 'a')).toBe('1\n')
    }
  })

  it('with --dry-run says what would happen to which name, and changes nothing', async () => {
    const world = await nativeWorld()
    write(world, '.env', `${ENV}C=3\n`)
    await store(world, 'A', 'one')
    await store(world, 'B', 'other')
    const before = read(world, VAULT)
    expect(await succeed(world, 'import', '.env', '--dry-run')).toBe('A\tconflict\nB\tconflict\nC\tstored\n')
    expect(world.stderr).toBe(
      'mcpvault: warning: nothing would be imported, since 2 of them exist already: give --on-conflict skip or rotate\n',
    )
    expect(await succeed(world, 'import', '.env', '--dry-run', '--on-conflict', 'rotate')).toBe(
      'A\tunchanged\nB\trotated\nC\tstored\n',
    )
    expect(await json(world, 'import', '.env', '--dry-run', '--on-conflict', 'skip')).toMatchObject({
      dry_run: true,
      stored: ['C'],
      skipped: ['A', 'B'],
    })
    expect(read(world, VAULT)).toBe(before)
    world.setTerminal(true)
    await succeed(world, 'import', '.env', '--dry-run')
    expect(world.stdout).toContain('WOULD BE')
  })

  it('fails on conflicts unless told, naming all; then skips or rotates', async () => {
    const world = await nativeWorld()
    write(world, '.env', `${ENV}C=3\n`)
    await store(world, 'A', 'other')
    await store(world, 'B', 'other')
    expect(await fail(world, 'import', '.env')).toMatchObject({
      status: 4,
      code: 'EXISTS',
      message: 'cannot import: "A", "B" exist already',
    })
    expect(JSON.parse(await succeed(world, 'export'))).toEqual({ A: 'other', B: 'other' })
    await succeed(world, 'import', '.env', '--on-conflict', 'skip')
    expect(world.stderr).toContain('imported 1 credential from ".env" (2 skipped); ')
    await succeed(world, 'import', '.env', '--on-conflict', 'rotate')
    expect(world.stderr).toContain('imported 2 credentials from ".env" (2 rotated, 1 unchanged); ')
    expect(await succeed(world, 'load', 'A', '--version', 'previous')).toBe('other\n')
    expect(await fail(world, 'import', '.env', '--on-conflict', 'merge')).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it('refuses what it cannot read with the line or the path, and never a value', async () => {
    const world = await nativeWorld()
    const secret = 'hunter2'
    const cases: readonly (readonly [name: string, content: string | Buffer, why: string])[] = [
      ['a.env', `A=1\n${secret}\n`, 'line 2: expected NAME=VALUE or a comment'],
      [
        'b.env',
        `A=${secret}#${secret}`,
        'line 1: programs disagree about a # inside of a value: put the value in single quotes',
      ],
      ['c.env', `A=\n`, 'the value in line 1 is empty'],
      ['d.env', Buffer.from([0x41, 0x3d, 0xff]), 'it is not UTF-8 text'],
      ['e.env', `A='${secret}\0'`, 'the value in line 1 holds a NUL'],
      ['f.env', `A=${'x'.repeat(1024 * 1024 + 1)}`, 'the value in line 1 is over 1 MiB'],
      ['a.json', `{"a":"${secret}","b":{"c":{"d":1}}}`, '"b.c.d" is not a string'],
      ['b.json', '{"a":7}', '"a" is not a string'],
      ['c.json', `{"a":"1","\\u0061":"${secret}"}`, '"a" stands in it twice'],
      ['d.json', '{"a":"\\ud800"}', 'the value of "a" holds half of a surrogate pair, which no bytes stand for'],
      ['e.json', '["a"]', 'it is no JSON object'],
      ['f.json', '{"a":""}', 'the value of "a" is empty'],
    ]
    for (const [name, content, why] of cases) {
      write(world, name, content)
      await world.run('import', name, '--debug')
      expect(world.stderr, name).not.toContain(secret)
      const failure = await fail(world, 'import', name)
      expect(failure, name).toMatchObject({ status: 2, code: 'INPUT' })
      expect(failure.message, name).toBe(`cannot import "${name}": ${why}`)
      expect(world.stderr, name).not.toContain(secret)
    }
    write(world, 'cut.json', `{"a": "${secret}`)
    expect((await fail(world, 'import', 'cut.json')).message).toMatch(/^cannot import "cut.json": it is no JSON object/)
    expect((await fail(world, 'import', 'nothing')).message).toMatch(/there is no such file$/)
    expect((await fail(world, 'import', '.')).message).toMatch(/it is a directory$/)
    expect(await fail(world, 'import', '-')).toMatchObject({ status: 2 })
    expect(await json(world, 'list')).toEqual([])
  })

  it('refuses names that no credential may have, and says which', async () => {
    const world = await nativeWorld()
    write(world, 'x.json', '{"a b":"1","ok":"2"}')
    expect((await fail(world, 'import', 'x.json')).message).toBe(`cannot import: "a b" cannot be a credential's name`)
    write(world, '.env', 'A=1\n')
    expect(await fail(world, 'import', '.env', '--prefix', 'my own ')).toMatchObject({ status: 2 })
    await succeed(world, 'import', '.env', '--prefix', 'team/')
    expect(await succeed(world, 'load', 'team/A')).toBe('1\n')
  })

  it('recognises by content, and can be told what a file is', async () => {
    const world = await nativeWorld()
    const source = await emptyTutorialWorld()
    await store(source, 'a', '1')
    const sealed = (JSON.parse(read(source, VAULT)) as { a: string }).a
    write(world, 'mixed.json', JSON.stringify({ a: sealed, b: 'plain' }))
    expect(await fail(world, 'import', 'mixed.json')).toMatchObject({ status: 6, code: 'DAMAGED' })
    await succeed(world, 'import', 'mixed.json', '--format', 'json')
    expect(await succeed(world, 'load', 'a')).toBe(`${sealed}\n`)
    expect(await fail(world, 'import', VAULT)).toMatchObject({
      status: 2,
      message: `cannot import "${VAULT}": it is a native vault`,
      hints: [`mcpvault export --vault "${VAULT}" | mcpvault import -`],
    })
    write(world, '.env', 'A=1\n')
    write(world, 'k', OTHER_KEY)
    expect(await fail(world, 'import', '.env', '--from-key-file', 'k')).toMatchObject({ status: 2, code: 'USAGE' })
    expect(await fail(world, 'import', 'mixed.json', '--format', 'vault', '--from-key-file', 'none')).toMatchObject({
      status: 5,
    })
  })

  it('takes empty values when it is told to, and nothing at all', async () => {
    const world = await nativeWorld()
    write(world, '.env', 'A=\n')
    await succeed(world, 'import', '.env', '--allow-empty')
    expect(await succeed(world, 'load', 'A')).toBe('\n')
    write(world, 'none.env', '# nothing\n')
    expect(await json(world, 'import', 'none.env')).toMatchObject({ stored: [] })
  })

  it('needs the vault’s key, for a dry run as well', async () => {
    const world = await nativeWorld()
    write(world, '.env', ENV)
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await fail(world, 'import', '.env', '--dry-run')).toMatchObject({ status: 5 })
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await fail(world, 'import', '.env')).toMatchObject({ status: 5 })
    world.env.MCP_ENCRYPTION_KEY = KEY
    await succeed(world, 'import', '.env')
  })

  it('reads what export wrote, from vault to vault without a file', async () => {
    const from = await nativeWorld()
    await store(from, 'a', "it's\n'quoted' \"twice\" \\ $HOME #1")
    await store(from, 'b', 'ünï\u{1F511}')
    for (const format of ['env', 'json']) {
      const to = await nativeWorld()
      const text = await succeed(from, 'export', '--format', format)
      await withStdin(to, text, 'import', '-')
      const values = Object.values(JSON.parse(await succeed(to, 'export')) as Record<string, string>)
      expect(values).toEqual(["it's\n'quoted' \"twice\" \\ $HOME #1", 'ünï\u{1F511}'])
    }
  })
})
