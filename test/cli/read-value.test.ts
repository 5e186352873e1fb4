import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { readValue, type ValueOptions } from '../../src/cli/read-value.js'
import { VaultError } from '../../src/errors.js'
import { TestWorld } from '../support/context.js'

const NONE = { generate: false, stdin: false, raw: false, allowEmpty: false, input: true }

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})

async function read(options: Partial<ValueOptions> & { readonly input?: boolean }): Promise<Buffer> {
  return (await readValue('value of "x"', { ...NONE, ...options }, world.context())).reveal()
}

async function refusal(options: Partial<ValueOptions> & { readonly input?: boolean }): Promise<VaultError> {
  const error: unknown = await read(options).catch((reason: unknown) => reason)
  if (!(error instanceof VaultError)) throw new Error(`expected a refusal, got ${String(error)}`)
  return error
}

async function fromStdin(text: string | Buffer, options: Partial<ValueOptions> = {}): Promise<Buffer> {
  world.stdin = text
  return read({ stdin: true, ...options })
}

describe('a value', () => {
  it('is never read from a stdin that was not asked for, and the sources are named', async () => {
    world.stdin = 'a list of names'
    const error = await refusal({})
    expect(error.code).toBe('USAGE')
    expect(error.hints.join()).toMatch(/--stdin.*--from-file.*--generate/)
  })

  it('comes from one source only', async () => {
    expect(await refusal({ stdin: true, generate: true })).toMatchObject({ code: 'USAGE' })
    expect(await refusal({ stdin: true, fromFile: '-' })).toMatchObject({ code: 'USAGE' })
    expect(await refusal({ stdin: true, length: 20 })).toMatchObject({ code: 'USAGE' })
  })

  it('loses exactly one newline at its end', async () => {
    expect(String(await fromStdin('a\n'))).toBe('a')
    expect(String(await fromStdin('a\r\n'))).toBe('a')
    expect(String(await fromStdin('a\nb\n'))).toBe('a\nb')
    expect(String(await fromStdin('a'))).toBe('a')
  })

  it('is refused with white space around it, unless it is taken raw', async () => {
    for (const text of [' a', 'a ', '\ta', 'a\n\n', 'a\r\n\r\n', 'a \n', '\na']) {
      world.stdin = text
      expect(await refusal({ stdin: true }), JSON.stringify(text)).toMatchObject({ code: 'INPUT' })
      expect(String(await fromStdin(text, { raw: true }))).toBe(text)
    }
  })

  it('is refused when it is empty, unless that is allowed', async () => {
    for (const text of ['', '\n', '\r\n']) {
      world.stdin = text
      expect(await refusal({ stdin: true })).toMatchObject({ code: 'INPUT', hints: ['--allow-empty takes it'] })
      expect((await fromStdin(text, { allowEmpty: true })).length).toBe(0)
    }
  })

  it('is refused with a NUL in it', async () => {
    for (const raw of [true, false]) {
      world.stdin = 'a\0b'
      expect(await refusal({ stdin: true, raw })).toMatchObject({ code: 'INPUT' })
    }
  })

  it('is taken byte for byte, whatever its encoding', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 100, min: 1 }), async (bytes) => {
        expect(await fromStdin(Buffer.from(bytes), { raw: true })).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('has at most 1 MiB', async () => {
    const mebibyte = 'x'.repeat(1024 * 1024)
    expect((await fromStdin(`${mebibyte}\r\n`)).length).toBe(1024 * 1024)
    for (const text of [`${mebibyte}x`, `${mebibyte}x\n`, `${mebibyte}xxxxx`]) {
      world.stdin = text
      expect(await refusal({ stdin: true })).toMatchObject({ code: 'INPUT' })
    }
  })

  it('comes from a file, a pipe that stands for one, or "-"', async () => {
    writeFileSync(join(world.directory, 'value'), 'from the file\n')
    expect(String(await read({ fromFile: 'value' }))).toBe('from the file')
    execFileSync('mkfifo', [join(world.directory, 'fifo')])
    const writer = execFileSync('sh', ['-c', `(printf 'a%.0s' $(seq 100000) > fifo) > /dev/null 2>&1 & echo $!`], {
      cwd: world.directory,
    })
    expect(writer.length).toBeGreaterThan(0)
    expect((await read({ fromFile: 'fifo' })).length).toBe(100_000)
    world.stdin = 'from stdin'
    expect(String(await read({ fromFile: '-' }))).toBe('from stdin')
  })

  it('is refused from what is no file, with the reason', async () => {
    mkdirSync(join(world.directory, 'folder'))
    expect(await refusal({ fromFile: 'folder' })).toMatchObject({
      code: 'INPUT',
      message: expect.stringMatching(/a directory$/),
    })
    expect(await refusal({ fromFile: 'nowhere' })).toMatchObject({
      code: 'INPUT',
      message: expect.stringMatching(/no such file$/),
    })
    writeFileSync(join(world.directory, 'long'), Buffer.alloc(2_000_000, 1))
    expect(await refusal({ fromFile: 'long' })).toMatchObject({
      code: 'INPUT',
      message: expect.stringMatching(/1 MiB$/),
    })
  })
})

describe('a value on a terminal', () => {
  beforeEach(() => world.setTerminal(true))

  it('is asked for twice', async () => {
    world.answers.push('typed', 'typed')
    expect(String(await read({}))).toBe('typed')
    expect(world.questions).toEqual(['value of "x":', 'value of "x", once more:'])
  })

  it('is refused when the answers differ', async () => {
    world.answers.push('typed', 'tpyed')
    expect(await refusal({})).toMatchObject({ code: 'INPUT' })
  })

  it('is not asked for with --no-input, nor where nobody sees the question or answers it', async () => {
    expect(await refusal({ input: false })).toMatchObject({ code: 'USAGE' })
    world.terminals.stderr = false
    expect(await refusal({})).toMatchObject({ code: 'USAGE' })
    world.terminals = { stdin: false, stdout: true, stderr: true }
    expect(await refusal({})).toMatchObject({ code: 'USAGE' })
    expect(world.questions).toEqual([])
  })

  it('is asked for although stdout is a pipe', async () => {
    world.terminals.stdout = false
    world.answers.push('typed', 'typed')
    expect(String(await read({}))).toBe('typed')
  })

  it('is cancelled by Ctrl-C', async () => {
    expect(await refusal({})).toMatchObject({ code: 'CANCELLED', exitCode: 130 })
  })
})

describe('a generated value', () => {
  it('has letters and digits, 48 or as many as asked for, and is another one each time', async () => {
    const values = new Set<string>()
    for (let count = 0; count < 50; count += 1) values.add(String(await read({ generate: true })))
    expect(values.size).toBe(50)
    for (const value of values) expect(value).toMatch(/^[A-Za-z0-9]{48}$/)
    expect(String(await read({ generate: true, length: 4096 }))).toMatch(/^[A-Za-z0-9]{4096}$/)
  })

  it('favours no character', async () => {
    const counts = new Map<number, number>()
    for (let round = 0; round < 40; round += 1) {
      for (const byte of await read({ generate: true, length: 4096 })) counts.set(byte, (counts.get(byte) ?? 0) + 1)
    }
    // 2642 of each are expected with a standard deviation of 51; `byte % 62` alone would give some 3200.
    expect(counts.size).toBe(62)
    for (const count of counts.values()) expect(Math.abs(count - 2642)).toBeLessThan(400)
  })
})
