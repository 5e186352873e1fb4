import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { addCommand, addGlobalFlags } from '../../src/cli/command.js'
import { type CommandShape, GLOBAL_FLAGS } from '../../src/cli/flags.js'
import { parseHot } from '../../src/cli/hot.js'
import { LOAD, ROTATION_DUE, TOKEN_CHECK } from '../../src/cli/hot-commands.js'
import { createProgram } from '../../src/cli/program.js'
import { TestWorld } from '../support/context.js'

const SHAPES: readonly CommandShape[] = [LOAD, ROTATION_DUE, TOKEN_CHECK]

interface Call {
  readonly command: string
  readonly options: unknown
}

/** What commander makes of a command line: the call that a recorder saw, or undefined where it is refused. */
async function parseSlow(argv: readonly string[]): Promise<Call | undefined> {
  let call: Call | undefined
  const program = createProgram(new TestWorld({ directory: '/nowhere' }).context())
  const group = program.command('token')
  addGlobalFlags(group)
  for (const shape of SHAPES) {
    const record = async (options: unknown): Promise<void> => {
      call = { command: shape.name, options }
    }
    addCommand(shape.name.startsWith('token ') ? group : program, shape, record)
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch {
    return undefined
  }
  return call
}

function parseFast(argv: readonly string[]): Call | undefined {
  const call = parseHot(
    argv,
    SHAPES.map((shape) => ({ shape })),
  )
  return call && { command: call.hot.shape.name, options: call.options }
}

const FLAG_WORDS = [...GLOBAL_FLAGS, ...SHAPES.flatMap(({ flags = [] }) => flags)].flatMap(({ long, short }) =>
  short ? [long, short] : [long],
)
const VALUES = [
  'x',
  '3',
  'previous',
  '0',
  '30d',
  '7',
  'UTC',
  'names',
  'Mars/Base',
  'load',
  'token',
  'check',
  '-',
  '-5',
  '',
]
const ODDITIES = [
  '--',
  '-h',
  '--help',
  '-nq',
  '--json=1',
  '--max-age=3',
  '--token',
  '-x',
  '--nope',
  '--js',
  '--no-json',
]
const word = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...FLAG_WORDS) },
  { weight: 6, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 1, arbitrary: fc.constantFrom(...ODDITIES) },
  { weight: 1, arbitrary: fc.string({ maxLength: 6 }) },
)
/** A flag and a value that fits most of the time, so that many command lines are valid. */
const fitting = fc.oneof(
  ...[...GLOBAL_FLAGS, ...SHAPES.flatMap(({ flags = [] }) => flags)].map(({ long, short, value }) =>
    fc
      .tuple(fc.constantFrom(long, short ?? long), fc.constantFrom('3', '30d', 'UTC', 'names', 'previous'))
      .map(([name, text]) => (value ? [name, text] : [name])),
  ),
)
const commandLine = fc
  .tuple(
    fc.array(
      fc.oneof(
        fitting,
        word.map((one) => [one]),
      ),
      { maxLength: 2 },
    ),
    fc.constantFrom(['load'], ['rotation-due'], ['token', 'check'], ['token'], ['help'], []),
    fc.array(fc.oneof({ weight: 3, arbitrary: fitting }, { weight: 2, arbitrary: word.map((one) => [one]) }), {
      maxLength: 5,
    }),
  )
  .map(([before, command, after]) => [...before.flat(), ...command, ...after.flat()])

describe('the way past commander', () => {
  it('understands every command line that it takes exactly as commander does', async () => {
    let taken = 0
    await fc.assert(
      fc.asyncProperty(commandLine, async (argv) => {
        const fast = parseFast(argv)
        if (!fast) return
        taken += 1
        expect(await parseSlow(argv)).toEqual(fast)
      }),
      { numRuns: 6000 },
    )
    // A parser that declined everything would pass the property.
    expect(taken).toBeGreaterThan(200)
  })

  it('understands each flag and each oddity alone, in every place, as commander does', async () => {
    for (const odd of [...ODDITIES, ...FLAG_WORDS, ...VALUES]) {
      for (const argv of [
        [odd, 'load', 'x'],
        ['load', odd],
        ['load', 'x', odd],
        ['load', '--version', odd, 'x'],
      ]) {
        const fast = parseFast(argv)
        if (fast) expect(await parseSlow(argv), argv.join(' ')).toEqual(fast)
      }
    }
  })

  it('takes the plain spellings of the three commands', () => {
    expect(parseFast(['load', 'x', '-n', '--version', 'previous'])).toMatchObject({
      command: 'load',
      options: { name: 'x', newline: false, version: 'previous', json: false, input: true },
    })
    expect(parseFast(['--vault', 'v', 'rotation-due', 'a', 'b', '--max-age', '30'])).toMatchObject({
      command: 'rotation-due',
      options: { vault: 'v', names: ['a', 'b'], maxAgeSeconds: 2_592_000, exitZero: false },
    })
    expect(parseFast(['token', 'check', '--tool', 'web_search', '--json'])).toMatchObject({
      command: 'token check',
      options: { tool: 'web_search', json: true },
    })
  })

  it('leaves everything else to commander', () => {
    const others = [
      ['load'],
      ['load', 'x', 'y'],
      ['load', '--version=3', 'x'],
      ['load', 'x', '--version'],
      ['load', 'x', '--version', '0'],
      ['load', '--', 'x'],
      ['load', 'x', '-h'],
      ['load', 'x', '--json', '--json'],
      ['load', 'x', '--tool', 'y'],
      ['-n', 'load', 'x'],
      ['token'],
      ['store', 'x'],
      [],
    ]
    for (const argv of others) expect(parseFast(argv), argv.join(' ')).toBeUndefined()
  })

  it('lets the last of a repeated flag win, before and after the command', async () => {
    expect(await parseSlow(['--vault', 'a', 'load', 'x', '--vault', 'b'])).toMatchObject({ options: { vault: 'b' } })
    expect(await parseSlow(['--vault', 'a', 'token', '--vault', 'b', 'check'])).toMatchObject({
      options: { vault: 'b' },
    })
  })

  it('refuses a token in an argument in all spellings, and does not repeat it', async () => {
    for (const argv of [['--token', 'hunter2'], ['--token=hunter2'], ['hunter2']]) {
      const group = createProgram(new TestWorld({ directory: '/nowhere' }).context())
      addCommand(group, TOKEN_CHECK, async () => {})
      const error: unknown = await group.parseAsync(['check', ...argv], { from: 'user' }).catch((reason) => reason)
      expect(error).toBeInstanceOf(VaultError)
      expect(error).toMatchObject({ code: 'USAGE', message: expect.stringContaining('argument') })
      expect(String(error)).not.toContain('hunter2')
    }
  })
})
