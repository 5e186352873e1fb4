import { beforeEach, describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { colorLevel, createPrinter, printWarnings, type Table } from '../../src/cli/printer.js'
import { TestWorld } from '../support/context.js'

const FLAGS = { json: false, quiet: false, color: true }
const TABLE: Table = {
  headers: ['name', 'age'],
  rows: [
    ['a', { plain: '2026-11-19T12:00:00.000Z', shown: '3d', tone: 'bad' }],
    ['a longer\tname\u001b[31m', { plain: '2026-11-22T12:00:00.000Z', shown: '0s' }],
  ],
  empty: 'there is nothing',
}

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})

describe('a printer', () => {
  it('prints tab-separated rows in a pipe: no header, no colour, machine-readable times', async () => {
    await createPrinter(world.context(), FLAGS).table(TABLE)
    expect(world.stdout).toBe('a\t2026-11-19T12:00:00.000Z\na longer\\tname\\x1b[31m\t2026-11-22T12:00:00.000Z\n')
    expect(world.stderr).toBe('')
  })

  it('draws a table on a terminal: upper-case headers, aligned, relative times', async () => {
    world.setTerminal(true)
    world.env.NO_COLOR = '1'
    await createPrinter(world.context(), FLAGS).table(TABLE)
    expect(world.stdout).toBe('NAME                    AGE\na                       3d\na longer\\tname\\x1b[31m  0s\n')
  })

  it('colours cells on a terminal, and nothing that was not meant', async () => {
    world.setTerminal(true)
    await createPrinter(world.context(), FLAGS).table(TABLE)
    expect(world.stdout).toContain('\u001b[31m3d\u001b[39m')
    expect(world.stdout).toContain('a longer\\tname\\x1b[31m')
    expect(world.stdout.match(/\u001b\[/g)).toHaveLength(6)
  })

  it('says on a terminal that there is nothing, and prints nothing in a pipe', async () => {
    const printer = createPrinter(world.context(), FLAGS)
    await printer.table({ ...TABLE, rows: [] })
    expect([world.stdout, world.stderr]).toEqual(['', ''])
    world.setTerminal(true)
    await printer.table({ ...TABLE, rows: [] })
    expect([world.stdout, world.stderr]).toEqual(['', 'there is nothing\n'])
  })

  it('prints one success line on stderr, none with --quiet, and the value with --json', () => {
    createPrinter(world.context(), FLAGS).done('stored "\u202e"', { name: 'x' })
    expect([world.stdout, world.stderr]).toEqual(['', 'stored "\\u202e"\n'])
    world.clear()
    createPrinter(world.context(), { ...FLAGS, quiet: true }).done('stored', { name: 'x' })
    expect([world.stdout, world.stderr]).toEqual(['', ''])
    createPrinter(world.context(), { ...FLAGS, json: true }).done('stored', { name: 'x' })
    expect([world.stdout, world.stderr]).toEqual(['{"name":"x"}\n', ''])
  })

  it('warns also with --quiet, and in JSON with --json', () => {
    const context = world.context()
    createPrinter(context, { ...FLAGS, quiet: true }).warn('be careful')
    createPrinter(context, { ...FLAGS, json: true }).warn('be careful')
    expect(world.stderr).toBe('mcpvault: warning: be careful\n')
    printWarnings(context)
    expect(world.stderr).toBe('mcpvault: warning: be careful\n{"warning":{"message":"be careful"}}\n')
  })

  it('says that a change stands when its result cannot be printed, and loses a success line without harm', () => {
    const full = (): never => {
      throw new VaultError('IO', 'cannot write to stdout: the disk is full')
    }
    const broken = {
      ...world.context(),
      stdout: { write: full, isTerminal: false, columns: 80 },
      stderr: { write: full, isTerminal: false, columns: 80 },
    }
    expect(() => createPrinter(broken, FLAGS).done('rotated', {})).not.toThrow()
    expect(() => createPrinter(broken, { ...FLAGS, json: true }).done('rotated', {})).toThrow(
      expect.objectContaining({ code: 'DURABILITY' }),
    )
    expect(() => createPrinter(broken, FLAGS).result('token')).toThrow(expect.objectContaining({ code: 'DURABILITY' }))
  })
})

describe('the colours of a stream', () => {
  const level = (env: Record<string, string>, isTerminal = true, isWanted = true): number => {
    world.setTerminal(isTerminal)
    return colorLevel(world.context().stdout, env, isWanted)
  }

  it('are there on a terminal and missing in a pipe', () => {
    expect([level({}), level({}, false)]).toEqual([1, 0])
  })

  it('are decided per stream', () => {
    world.terminals = { stdin: true, stdout: false, stderr: true }
    const { stdout, stderr } = world.context()
    expect([colorLevel(stdout, {}, true), colorLevel(stderr, {}, true)]).toEqual([0, 1])
  })

  it('obey NO_COLOR, TERM=dumb, --no-color and FORCE_COLOR', () => {
    expect(level({ NO_COLOR: '1' })).toBe(0)
    expect(level({ NO_COLOR: '' })).toBe(1)
    expect(level({ TERM: 'dumb' })).toBe(0)
    expect(level({}, true, false)).toBe(0)
    expect(level({ FORCE_COLOR: '1' }, false)).toBe(1)
    expect(level({ FORCE_COLOR: '3', TERM: 'dumb' }, false)).toBe(3)
    expect(level({ FORCE_COLOR: '0' })).toBe(0)
    expect(level({ FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(0)
    expect(level({ FORCE_COLOR: '1' }, true, false)).toBe(0)
  })
})
