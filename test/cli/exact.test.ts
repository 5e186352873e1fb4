import type { Command } from 'commander'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addCommand, addGlobalFlags, CommandTaker, parseLine } from '../../src/cli/command.js'
import { runExact } from '../../src/cli/exact.js'
import { type CommandShape, GLOBAL_FLAGS } from '../../src/cli/flags.js'
import { parseHot } from '../../src/cli/hot.js'
import { createProgram } from '../../src/cli/program.js'
import { allRows, type CommandRow } from '../../src/cli/tree.js'
import { temporaryDirectory } from '../support/directory.js'
import { TestWorld } from '../support/context.js'

const SHAPES: readonly CommandShape[] = await collectShapes(allRows())
const WORDS = [
  'x',
  '3',
  '30d',
  'UTC',
  'previous',
  'json',
  'web_search',
  '-',
  '',
  '-5',
  '--',
  '--help',
  '--json=1',
  '-x',
]

async function collectShapes(rows: readonly CommandRow[]): Promise<readonly CommandShape[]> {
  const taker = new CommandTaker()
  const context = new TestWorld({ directory: '/nowhere' }).context()
  for (const { load } of rows.flatMap((row) => row.rows ?? [row])) {
    const add = await load?.()
    add?.(taker as unknown as Command, context)
  }
  return taker.commands.map(({ shape }) => shape)
}

/** The options that commander makes of a command line; undefined where it is refused. */
async function parseSlow(shape: CommandShape, argv: readonly string[]): Promise<unknown> {
  let options: unknown
  const program = createProgram(new TestWorld({ directory: '/nowhere' }).context())
  let parent: Command = program
  for (const word of shape.name.split(' ').slice(0, -1)) {
    parent = parent.command(word)
    addGlobalFlags(parent)
  }
  addCommand(parent, shape, async (given) => {
    options = given
  })
  await parseLine(program, argv).catch(() => {})
  return options
}

/** A shape and a command line of its words, flags and values in any order. */
const asked = fc.constantFrom(...SHAPES).chain((shape) => {
  const flags = [...GLOBAL_FLAGS, ...(shape.flags ?? [])]
  const fitting = fc
    .tuple(fc.constantFrom(...flags), fc.constantFrom('3', '30d', 'UTC', 'x', 'json'))
    .map(([{ long, value }, text]) => (value ? [long, text] : [long]))
  const odd = fc
    .constantFrom(...WORDS, ...flags.flatMap(({ long, short }) => (short ? [long, short] : [long])))
    .map((word) => [word])
  const piece = fc.oneof({ weight: 3, arbitrary: fitting }, { weight: 1, arbitrary: odd })
  const after = fc.array(fc.oneof({ weight: 2, arbitrary: piece }, { weight: 1, arbitrary: fc.constant(['x']) }), {
    maxLength: 4,
  })
  return fc.tuple(fc.array(piece, { maxLength: 1 }), after).map(([before, behind]) => ({
    shape,
    argv: [...before.flat(), ...shape.name.split(' '), ...behind.flat(), ...(shape.tail ? ['--', 'x', '--json'] : [])],
  }))
})

describe('running a command without commander', () => {
  it('knows every command', () => {
    const names = allRows().flatMap((row) => row.rows?.map(({ name }) => `${row.name} ${name}`) ?? [row.name])
    expect(SHAPES.map(({ name }) => name)).toEqual(names)
  })

  it('understands every command line that it takes exactly as commander does', async () => {
    const taken = new Set<string>()
    await fc.assert(
      fc.asyncProperty(asked, async ({ shape, argv }) => {
        const fast = parseHot(argv, [{ shape }])
        if (!fast) return
        taken.add(shape.name)
        expect(await parseSlow(shape, argv)).toEqual(fast.options)
      }),
      { numRuns: 4000 },
    )
    // A parser that declined everything would pass the property.
    expect(taken.size).toBe(SHAPES.length)
  })

  it('runs the command and gives its status', async () => {
    const world = new TestWorld({ directory: temporaryDirectory() })
    const seen: unknown[] = []
    const status = await runExact(['greet', 'you'], world.context(), (parent) => {
      const shape = { name: 'greet', positionals: [{ key: 'whom', arity: 'one' }] } as const
      addCommand(parent, shape, async (options) => {
        seen.push(options)
        return 3
      })
    })
    expect(status).toBe(3)
    expect(seen).toMatchObject([{ whom: 'you' }])
  })

  it('declines what is not spelled exactly', () => {
    const world = new TestWorld({ directory: '/nowhere' })
    const add = (parent: Command): void => addCommand(parent, { name: 'greet' }, async () => {})
    for (const argv of [[], ['great'], ['greet', 'you'], ['greet', '--nope'], ['greet', '--json=1']]) {
      expect(runExact(argv, world.context(), add), argv.join(' ')).toBeUndefined()
    }
  })
})
