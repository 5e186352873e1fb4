import { describe, expect, it } from 'vitest'
import { MAX_VALUE_BYTES } from '../../../src/vault/vault.js'
import type { TestWorld } from '../../support/context.js'
import {
  emptyTutorialWorld,
  fail,
  json,
  nativeWorld,
  read,
  store,
  succeed,
  VAULT,
  withStdin,
  write,
} from './support.js'

const SECRET = 'hunter2-typed-in-the-wrong-place'

/** Keeps a value the way that `store` and `rotate` both take one, and gives what `load` prints. */
async function roundTrip(world: TestWorld, input: string | Buffer, ...flags: readonly string[]): Promise<Buffer> {
  const name = `n${input.length}_${flags.length}_${world.nowMs++}`
  await withStdin(world, input, 'store', name, '--stdin', ...flags)
  await succeed(world, 'load', '-n', name)
  return world.stdoutBytes
}

describe('store', () => {
  it('keeps a value from stdin and says so in one line on stderr', async () => {
    const world = await nativeWorld()
    expect(await withStdin(world, 'value\n', 'store', 'name', '--stdin')).toBe('')
    expect(world.stderr).toBe('stored "name"\n')
    expect(await succeed(world, 'load', 'name')).toBe('value\n')
    expect(await withStdin(world, 'value\n', 'store', 'quiet', '--stdin', '--quiet')).toBe('')
    expect(world.stderr).toBe('')
    world.stdin = 'value'
    expect(await json(world, 'store', 'other', '--stdin', '--note', 'for tests')).toEqual({ name: 'other', version: 1 })
    expect(await json(world, 'list', 'other')).toMatchObject([{ name: 'other', note: 'for tests' }])
  })

  it('adds nothing to another JSON file that was named by mistake', async () => {
    const world = await emptyTutorialWorld()
    const text = '{\n  "name": "not a vault",\n  "private": true\n}\n'
    write(world, 'package.json', text)
    write(world, '.env', 'NEW=value\n')
    for (const argv of [
      ['store', 'new', '--generate'],
      ['import', '.env'],
    ])
      expect(await fail(world, ...argv, '--vault', 'package.json')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(read(world, 'package.json')).toBe(text)
  })

  it('refuses a name that is taken, before it asks for a value', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'value')
    world.setTerminal(true)
    const failure = await fail(world, 'store', 'name')
    expect(failure).toMatchObject({ status: 4, code: 'EXISTS', hints: ['mcpvault rotate name'] })
    expect(world.questions).toEqual([])
  })

  it.for(['', ' x', '-x', 'a b', 'a\nb', 'naïve', '../x\\y', 'x'.repeat(257), '\u202ex'])(
    'refuses the new name %j before it asks for a value',
    async (name) => {
      const world = await nativeWorld()
      world.setTerminal(true)
      expect((await fail(world, 'store', '--generate', '--', name)).status).toBe(2)
      expect((await fail(world, 'rotate', '--create', '--', name)).status).toBe(2)
      expect(world.questions).toEqual([])
    },
  )

  it.for(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0', '00', 'a/b:c@d.e-f_g'])(
    'keeps and gives back the name %s like any other, in both formats',
    async (name) => {
      for (const world of [await nativeWorld(), await emptyTutorialWorld()]) {
        expect(await fail(world, 'load', name)).toMatchObject({ status: 3, code: 'NOT_FOUND' })
        expect(await fail(world, 'rotate', name, '--generate')).toMatchObject({ status: 3 })
        await store(world, name, 'first')
        await store(world, 'z', 'another')
        expect(await succeed(world, 'load', name)).toBe('first\n')
        await withStdin(world, 'second', 'rotate', name, '--stdin')
        expect(await json(world, 'load', name)).toEqual({ name, value: 'second' })
        expect((await json<{ name: string }[]>(world, 'list')).map((row) => row.name)).toContain(name)
        expect((await json<unknown[]>(world, 'history', name)).length).toBe(2)
        expect(await json(world, 'export')).toEqual(JSON.parse(`{"${name}":"second","z":"another"}`))
        await succeed(world, 'remove', name, '--yes')
        expect(await fail(world, 'load', name)).toMatchObject({ status: 3 })
      }
    },
  )

  it('strips exactly one line end', async () => {
    const world = await nativeWorld()
    expect(String(await roundTrip(world, 'value\n'))).toBe('value')
    expect(String(await roundTrip(world, 'value\r\n'))).toBe('value')
    expect(String(await roundTrip(world, 'two\nlines\n'))).toBe('two\nlines')
    expect(String(await roundTrip(world, 'value\n\n', '--raw'))).toBe('value\n\n')
    expect(String(await roundTrip(world, 'value\r', '--raw'))).toBe('value\r')
    expect(String(await roundTrip(world, '  value  ', '--raw'))).toBe('  value  ')
    expect(String(await roundTrip(world, '', '--allow-empty'))).toBe('')
    expect(String(await roundTrip(world, '\n', '--allow-empty'))).toBe('')
  })

  it.for([
    ['white space before', ' value'],
    ['white space behind', 'value\t'],
    ['two line ends', 'value\n\n'],
    ['a NUL', 'val\0ue'],
    ['nothing', ''],
    ['a line end alone', '\n'],
    ['too much', Buffer.alloc(MAX_VALUE_BYTES + 1, 'x')],
  ] as const)('refuses a value with %s, and says nothing of the value', async ([, input]) => {
    const world = await nativeWorld()
    await store(world, 'name', 'value')
    // A rotation announces itself in the journal before it asks for a value, and takes that back.
    const before = read(world, VAULT).split('\n').at(-3)
    world.stdin = input
    for (const argv of [
      ['store', 'new'],
      ['rotate', 'name'],
    ] as const) {
      expect(await fail(world, ...argv, '--stdin')).toMatchObject({ status: 2, code: 'INPUT' })
      if (String(input).trim() !== '') expect(world.stderr).not.toContain(String(input).trim().slice(0, 5).concat('"'))
    }
    expect(read(world, VAULT).split('\n').at(-3)).toBe(before)
    expect(read(world, VAULT)).toContain('"journal":[]')
  })

  it('refuses a NUL also with --raw', async () => {
    const world = await nativeWorld()
    world.stdin = 'val\0ue'
    expect(await fail(world, 'store', 'name', '--stdin', '--raw')).toMatchObject({ status: 2 })
  })

  it('keeps 1 MiB of any bytes but NUL in the native format, and text alone in the tutorial one', async () => {
    const world = await nativeWorld()
    const bytes = Buffer.alloc(MAX_VALUE_BYTES, Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1)))
    expect((await roundTrip(world, bytes, '--raw')).equals(bytes)).toBe(true)
    await store(world, 'binary', Buffer.from([0xff, 0xfe, 0x80]))
    expect(await json(world, 'load', 'binary')).toEqual({ name: 'binary', value_base64: '//6A' })
    const tutorial = await emptyTutorialWorld()
    tutorial.stdin = Buffer.from([0xff, 0xfe, 0x80])
    const failure = await fail(tutorial, 'store', 'binary', '--stdin')
    expect(failure).toMatchObject({ status: 2, code: 'INPUT', hints: ['mcpvault upgrade'] })
  })

  it('takes a value from a file, byte for byte as from stdin', async () => {
    const world = await nativeWorld()
    write(world, 'value.txt', 'from a file\n')
    await succeed(world, 'store', 'file', '--from-file', 'value.txt')
    expect(await succeed(world, 'load', 'file')).toBe('from a file\n')
    await withStdin(world, 'from stdin\n', 'store', 'dash', '--from-file', '-')
    expect(await succeed(world, 'load', 'dash')).toBe('from stdin\n')
    for (const path of ['missing.txt', '.', '/dev/zero']) {
      expect(await fail(world, 'store', 'other', '--from-file', path)).toMatchObject({ status: 2, code: 'INPUT' })
    }
  })

  it('makes up a value of 48 letters and digits, or of --length', async () => {
    const world = await nativeWorld()
    await succeed(world, 'store', 'a', '--generate')
    await succeed(world, 'store', 'b', '--generate', '--length', '100')
    expect(await succeed(world, 'load', 'a')).toMatch(/^[A-Za-z0-9]{48}\n$/)
    expect(await succeed(world, 'load', 'b')).toMatch(/^[A-Za-z0-9]{100}\n$/)
    expect((await fail(world, 'store', 'c', '--generate', '--length', '15')).status).toBe(2)
    expect((await fail(world, 'store', 'c', '--stdin', '--length', '20')).status).toBe(2)
  })

  it('asks twice without echo on a terminal, and takes nothing when the answers differ', async () => {
    const world = await nativeWorld()
    world.terminals = { stdin: true, stdout: false, stderr: true }
    world.answers.push('typed', 'typed')
    await succeed(world, 'store', 'name')
    expect(world.questions).toEqual(['value of "name":', 'value of "name", once more:'])
    expect(await succeed(world, 'load', 'name')).toBe('typed\n')
    world.answers.push('typed', 'tiped')
    expect(await fail(world, 'store', 'other')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(await fail(world, 'store', 'other')).toMatchObject({ status: 130, code: 'CANCELLED' })
  })

  it.for([
    ['no terminal', { stdin: false, stdout: false, stderr: false }],
    ['stdin alone a terminal', { stdin: true, stdout: true, stderr: false }],
    ['stderr alone a terminal', { stdin: false, stdout: true, stderr: true }],
  ] as const)('never reads stdin unasked: with %s it exits 2 and names the sources', async ([, terminals]) => {
    const world = await nativeWorld()
    await store(world, 'name', 'value')
    world.terminals = { ...terminals }
    world.stdin = 'name\nother\n'
    for (const argv of [
      ['store', 'new'],
      ['rotate', 'name'],
    ] as const) {
      const failure = await fail(world, ...argv)
      expect(failure).toMatchObject({ status: 2, code: 'USAGE' })
      for (const source of ['--stdin', '--from-file', '--generate']) expect(failure.hints.join(' ')).toContain(source)
    }
  })

  it('takes one source alone, and a closed stdin is an error', async () => {
    const world = await nativeWorld()
    expect((await fail(world, 'store', 'a', '--stdin', '--generate')).status).toBe(2)
    expect((await fail(world, 'store', 'a', '--from-file', 'x', '--generate')).status).toBe(2)
    expect(await fail(world, 'store', 'a', '--stdin')).toMatchObject({ status: 2, code: 'INPUT' })
    expect(await fail(world, 'store', 'a', '--no-input')).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it.for([
    ['store', 'name', SECRET],
    ['store', 'name', '--generate', SECRET],
    ['store', 'name', '--value', SECRET],
    ['store', 'name', `--value=${SECRET}`],
    ['store', 'name', `--valu=${SECRET}`],
    ['store', 'name', '--password', SECRET],
    ['store', 'name', `--password=${SECRET}`],
    ['store', 'name', `-p${SECRET}`],
    ['store', 'name', `--stdin=${SECRET}`],
    ['rotate', 'name', SECRET],
    ['rotate', 'name', '--value', SECRET],
    ['rotate', 'name', `--value=${SECRET}`],
    ['strore', 'name', SECRET],
    [SECRET],
    ['load', 'name', SECRET],
    ['search', 'query', '--token', SECRET],
    ['search', 'query', `--token=${SECRET}`],
    ['search', 'query', SECRET],
    ['token', 'check', '--token', SECRET],
    ['token', 'check', SECRET],
    ['token', 'show', `mcpv_${SECRET}`],
    ['token', 'narrow', `mcpv_${SECRET}`],
    ['token', 'revoke', `mcpv_${SECRET}`],
    ['token', 'revoke', '--token', SECRET],
    ['token', 'revoke', `--token=${SECRET}`],
    ['token', SECRET],
    ['init', '--passphrase', SECRET],
    ['init', `--passphrase=${SECRET}`],
    ['--key', SECRET, 'list'],
    [`--key=${SECRET}`, 'list'],
  ])('refuses a value in the arguments and does not repeat it: %s %s', async (argv) => {
    const world = await nativeWorld()
    world.env.MCPVAULT_TOKEN = 'mcpv_x'
    for (const flags of [[], ['--json'], ['--debug']]) {
      const status = await world.run(...argv, ...flags)
      expect([status, world.stdout]).toEqual([2, ''])
      expect(world.stderr).not.toContain(SECRET)
      expect(world.stderr).not.toContain(SECRET.slice(0, 12))
    }
  })

  it('says why a value cannot be an argument', async () => {
    const world = await nativeWorld()
    for (const argv of [
      ['store', 'name', SECRET],
      ['store', 'name', '--value', SECRET],
      ['rotate', 'name', SECRET],
    ]) {
      expect((await fail(world, ...argv)).message).toContain('other users can read the command line')
    }
    expect((await fail(world, 'search', 'q', '--token', SECRET)).message).toContain('command line')
  })
})
