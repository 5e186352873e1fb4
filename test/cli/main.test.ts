import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { main } from '../../src/cli/main.js'
import { allRows, type CommandRow } from '../../src/cli/tree.js'
import { VERSION } from '../../src/cli/version.js'
import { VaultError } from '../../src/errors.js'
import { TestWorld } from '../support/context.js'

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})

/** Runs a command line in a world whose stdout fails in a given way. */
async function runFailing(error: unknown, ...argv: readonly string[]): Promise<number> {
  const context = world.context()
  const write = (): never => {
    throw error
  }
  return main(argv, { ...context, stdout: { write, isTerminal: false, columns: 80 } })
}

describe('the command line', () => {
  it('knows the version of the package', async () => {
    const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(manifest).toMatchObject({ version: VERSION })
    expect(await world.run('--version')).toBe(0)
    expect(world.stdout).toBe(`${VERSION}\n`)
  })

  it('prints the overview in every way of asking for it', async () => {
    await world.run()
    const overview = world.stdout
    for (const argv of [['help'], ['-h'], ['--help'], ['--no-color', '--help'], ['help', '--quiet']]) {
      expect(await world.run(...argv)).toBe(0)
      expect(world.stdout, argv.join(' ')).toBe(overview)
    }
    for (const { name, summary } of allRows()) {
      expect(overview).toContain(`  ${name}`)
      expect(overview).toContain(summary)
    }
    for (const { name, rows = [] } of allRows()) for (const row of rows) expect(overview, name).toContain(row.name)
  })

  it('explains every command in the same way by help, -h and --help', async () => {
    let count = 0
    const look = async (row: CommandRow, path: readonly string[]): Promise<void> => {
      count += 1
      expect(await world.run('help', ...path)).toBe(0)
      const help = world.stdout
      expect(help).toMatch(new RegExp(`^mcpvault ${path.join(' ')} ${row.summary.slice(0, 10)}`))
      for (const flag of ['-h', '--help']) {
        expect(await world.run(...path, flag)).toBe(0)
        expect(world.stdout).toBe(help)
      }
      if (row.load) expect(help).toMatch(/\nUsage: mcpvault .*\n[\s\S]*\n# .+\n\$ /)
      for (const inner of row.rows ?? []) await look(inner, [...path, inner.name])
    }
    for (const row of allRows()) await look(row, [row.name])
    expect(count).toBeGreaterThan(10)
  })

  it('prints the help of a group that was given no command', async () => {
    expect(await world.run('token')).toBe(0)
    expect(world.stdout).toContain('create')
  })

  it('prints every help as one value with --json', async () => {
    const cases: readonly (readonly [argv: readonly string[], topic: string])[] = [
      [['--json'], ''],
      [['token', '--json'], 'token'],
      [['--json', 'token', 'check', '--help'], 'token check'],
      [['help', 'load', '--json'], 'load'],
    ]
    for (const [argv, topic] of cases) {
      expect(await world.run(...argv)).toBe(0)
      expect(JSON.parse(world.stdout)).toEqual({ topic, text: expect.stringContaining(`mcpvault ${topic}`.trim()) })
    }
  })

  it('names the nearest help where there is none on what was asked for', async () => {
    for (const [argv, hint] of [
      [['help', 'lod'], 'mcpvault help load'],
      [['help', 'token', 'chek'], 'mcpvault help token check'],
      [['help', 'token', 'hunter2'], 'mcpvault help token'],
      [['help', 'exit-code'], 'mcpvault help exit-codes'],
    ] as const) {
      expect(await world.run(...argv)).toBe(2)
      expect(world.stderr).toBe(`mcpvault: error: there is no help on that\nmcpvault: hint: ${hint}\n`)
    }
  })

  it('refuses unknown commands and flags with 2, one suggestion and an empty stdout', async () => {
    const cases: readonly (readonly [argv: readonly string[], error: string, hint: string])[] = [
      [['strore'], 'there is no command "strore"', 'did you mean "store"?'],
      [['token', 'chek'], 'there is no command "chek"', 'did you mean "check"?'],
      [['strore', '--help'], 'there is no command "strore"', 'did you mean "store"?'],
      [['-h', 'token', 'chek'], 'there is no command "chek"', 'did you mean "check"?'],
      [['load', 'x', '--vautl', 'f'], 'there is no flag "--vautl"', 'did you mean "--vault"?'],
      [['load', '--verion'], 'there is no flag "--verion"', 'did you mean "--version"?'],
      [['load'], 'the argument NAME is missing', 'mcpvault help load'],
      [['load', 'x', '--version'], 'the flag "--version" needs a value', 'mcpvault help load'],
    ]
    for (const [argv, error, hint] of cases) {
      expect(await world.run(...argv)).toBe(2)
      expect(world.stdout).toBe('')
      expect(world.stderr).toBe(`mcpvault: error: cannot read the command line: ${error}\nmcpvault: hint: ${hint}\n`)
    }
  })

  it('repeats nothing of a command line that may be a secret', async () => {
    const secret = 'hunter2'
    const lines = [
      [secret],
      ['store', 'x', secret],
      ['store', 'x', '--value', secret],
      ['store', 'x', `--value=${secret}`],
      ['rotate', 'x', secret],
      ['load', 'x', secret],
      ['search', 'query', '--token', secret],
      ['token', secret],
      ['token', 'show', secret],
      ['load', 'x', `--unknown=${secret}`],
      ['load', 'x', `--json=${secret}`],
      ['load', 'x', `-z${secret}`],
      ['load', 'x', `-n${secret}`],
      ['load', 'x', `--${secret}\n${secret}`],
      ['help', secret],
      [`--vault=${secret}`],
    ]
    for (const argv of lines) {
      const status = await world.run(...argv, '--debug')
      const plain = world.stderr
      await world.run(...argv)
      if (argv[0] === `--vault=${secret}`) continue
      expect(status, argv.join(' ')).toBe(2)
      expect(world.stdout).toBe('')
      expect(world.stderr, argv.join(' ')).not.toMatch(/hunter2(?!\n)/)
      expect(plain.split('\n')[0]).toBe(world.stderr.split('\n')[0])
    }
  })

  it('says why values and tokens are not taken from arguments', async () => {
    for (const argv of [
      ['store', 'x', 'hunter2'],
      ['search', 'query', '--token', 'hunter2'],
    ]) {
      expect(await world.run(...argv)).toBe(2)
      expect(world.stderr).toMatch(/from an argument: other users can read the command line/)
    }
  })
})

describe('a failure', () => {
  const failure = new VaultError('LOCKED', 'cannot write "\u001b[31m": busy', { hints: ['wait\na moment'] })

  it('is one line and its hints on stderr, with the status of its code', async () => {
    expect(await runFailing(failure, '--version')).toBe(7)
    expect(world.stderr).toBe('mcpvault: error: cannot write "\\x1b[31m": busy\nmcpvault: hint: wait\\na moment\n')
  })

  it('is one JSON object with --json', async () => {
    expect(await runFailing(failure, '--json', 'help')).toBe(7)
    expect(JSON.parse(world.stderr)).toEqual({
      error: { code: 'LOCKED', message: failure.message, hints: failure.hints },
    })
  })

  it('is coloured on a terminal only', async () => {
    world.terminals.stderr = true
    await runFailing(failure, '--version')
    expect(world.stderr).toMatch(/^mcpvault: \u001b\[31merror:\u001b\[39m /)
    world.clear()
    await runFailing(failure, 'help', '--no-color')
    expect(world.stderr).toMatch(/^mcpvault: error: /)
  })

  it('that nobody expected is 70, and its message is left to --debug', async () => {
    const bug = new TypeError('cannot parse hunter2')
    expect(await runFailing(bug, '--version')).toBe(70)
    expect(world.stderr).toMatch(/^mcpvault: error: a bug in mcpvault: unexpected TypeError\n/)
    expect(world.stderr).not.toContain('hunter2')
    world.clear()
    expect(await runFailing(bug, 'help', '--debug')).toBe(70)
    expect(world.stderr).toContain('hunter2')
    expect(await runFailing('a string', '--version')).toBe(70)
  })

  it('keeps its status when not even stderr can be written', async () => {
    const context = world.context()
    const write = (): never => {
      throw failure
    }
    const closed = { write, isTerminal: false, columns: 80 }
    expect(await main(['--version'], { ...context, stdout: closed, stderr: closed })).toBe(7)
  })
})
