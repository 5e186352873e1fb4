import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseArguments } from '../../../src/index.js'
import { launcher } from '../../support/built.js'
import type { TestWorld } from '../../support/context.js'
import { emptyTutorialWorld, fail, json, KEY, nativeWorld, store, succeed, VAULT, write } from './support.js'

/** A world at a terminal, with two credentials. */
async function atTerminal(...answers: readonly string[]): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'scavio_api_key', 'one')
  await store(world, 'github_token', 'two')
  world.setTerminal(true)
  world.answers.push(...answers)
  return world
}

describe('what a command line lacks', () => {
  it('is asked for at a terminal: names, a value, tools and an age', async () => {
    const world = await atTerminal('new_key', 'sk_new', 'sk_new', 'github_token', 'sk_two', 'sk_two')
    await succeed(world, 'store')
    await succeed(world, 'rotate')
    expect(await succeed(world, 'load', 'new_key')).toBe('sk_new\n')
    expect(await succeed(world, 'load', 'github_token')).toBe('sk_two\n')
    world.answers.push('scavio_api_key', '7')
    await succeed(world, 'policy', 'set')
    world.answers.push('web_search,github/get_issue')
    await succeed(world, 'token', 'create')
    // A tool of an earlier token is offered for the next.
    world.answers.push('github/get_issue')
    await succeed(world, 'token', 'create')
    expect(world.stderr).toContain('for github/get_issue until')
    expect(world.answers).toEqual([])
    world.setTerminal(false)
    expect(await json(world, 'policy', 'show', 'scavio_api_key')).toMatchObject({ max_age_seconds: 7 * 86_400 })
  })

  it('is an error that names it, with --no-input and in pipes, and nothing is asked', async () => {
    const world = await atTerminal()
    for (const isTerminal of [true, false]) {
      world.setTerminal(isTerminal)
      for (const [argv, message] of [
        [['store', '--generate'], 'the argument NAME is missing'],
        [['rotate', '--generate'], 'the name of a credential is missing'],
        [['policy', 'set', '--max-age', '7d'], 'the argument NAME is missing'],
        [['policy', 'set', 'github_token'], 'nothing was given to set'],
        [['token', 'create'], 'without saying what it may call'],
      ] as const) {
        const failure = await fail(world, ...argv, '--no-input')
        expect(failure).toMatchObject({ status: 2, code: 'USAGE', message: expect.stringContaining(message) })
        if (!isTerminal) expect(await fail(world, ...argv)).toEqual(failure)
      }
    }
    expect(world.questions).toEqual([])
  })

  it('is asked for on a real terminal, and Tab completes the name', async () => {
    const world = await atTerminal()
    const env = { HOME: world.directory, PATH: process.env.PATH ?? '', MCP_ENCRYPTION_KEY: KEY, TERM: 'xterm' }
    const pty = spawn(process.execPath, [launcher(), 'rotate', '--generate'], {
      cols: 100,
      rows: 30,
      env,
      cwd: world.directory,
    })
    onTestFinished(() => pty.kill())
    // Each key waits for what the one before has drawn: the question, the list for what was typed, the completed name.
    const keys: [RegExp, string][] = [
      [/Which credential\?.*github_token/s, 'gith'],
      [/gith.*github_token/s, '\t'],
      [/github_token/, '\r'],
    ]
    const shown = await new Promise<string>((resolve) => {
      let [text, seen] = ['', 0]
      pty.onData((data) => {
        text += data
        const [next] = keys
        if (next === undefined || !next[0].test(text.slice(seen))) return
        seen = text.length
        keys.shift()
        pty.write(next[1])
      })
      pty.onExit(({ exitCode }) => resolve(`${text}exit ${exitCode}`))
    })
    expect(shown).toContain('rotated "github_token" to version 2')
    expect(shown).toMatch(/exit 0$/)
  })
})

describe('mcpvault alone', () => {
  it('with global flags shows the status at a terminal where there is a vault, and else what it did', async () => {
    const world = await atTerminal()
    const status = await succeed(world, 'status', '--vault', VAULT)
    expect(await succeed(world, '--vault', VAULT)).toBe(status)
    expect(await json(world, '--vault', VAULT)).toMatchObject({ credentials: expect.anything() })
    expect(await world.run('--vault', 'nowhere')).toBe(await pipedStatus(world, '--vault', 'nowhere'))
    expect(await succeed(world, '-h')).toContain('Usage')
    expect(await world.run('--no-such-flag')).toBe(2)
  })
})

async function pipedStatus(world: TestWorld, ...argv: readonly string[]): Promise<number> {
  world.setTerminal(false)
  const status = await world.run(...argv)
  world.setTerminal(true)
  return status
}

describe('list', () => {
  it('cuts long names to the width of a terminal, and leaves them whole in a pipe', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'placeholder', 'value')
    const name = `begin_${'x'.repeat(290)}_end`
    for (const file of [VAULT, 'rotation_log.json']) {
      write(world, file, readFileSync(join(world.directory, file), 'utf8').replaceAll('placeholder', name))
    }
    expect(await succeed(world, 'list')).toContain(name)
    world.setTerminal(true)
    const lines = (await succeed(world, 'list', '--no-color')).split('\n')
    expect(lines.every((line) => line.length <= 80)).toBe(true)
    expect(lines[1]).toMatch(/^begin_x+(?:…|\.\.)x+_end {2}/)
  })
})

describe('arguments of a call', () => {
  it('that name a member twice at any depth are refused, and one name in two objects is not', async () => {
    const world = await nativeWorld()
    for (const text of ['{"a":1,"a":2}', '{"a":{"b":[{"c":1, "\\u0063" : 2}]}}']) {
      write(world, 'args.json', text)
      const failure = await fail(world, 'token', 'check', '--tool', 'web_search', '--args', 'args.json')
      expect(failure).toMatchObject({ code: 'INPUT', message: expect.stringContaining('twice') })
      expect(() => parseArguments(text)).toThrow('twice')
    }
    const fine = { a: { x: 1 }, b: { x: 'a":{"x' }, c: [{ x: 1 }, { x: 2 }, 'x', 'x'], x: 'x' }
    expect(parseArguments(JSON.stringify(fine, undefined, 1))).toEqual(fine)
    expect(() => parseArguments('[1]')).toThrow('expected a JSON object')
  })
})

describe('a FIFO', () => {
  it('is refused for a key, a token and arguments, since nobody may ever write it', async () => {
    const world = await nativeWorld()
    execFileSync('mkfifo', [join(world.directory, 'fifo')])
    const refused = { message: expect.stringContaining('not a regular file') }
    expect(await fail(world, 'list', '--key-file', 'fifo')).toMatchObject(refused)
    const check = ['token', 'check', '--tool', 'web_search']
    expect(await fail(world, ...check, '--token-file', 'fifo')).toMatchObject(refused)
    expect(await fail(world, ...check, '--args', 'fifo')).toMatchObject(refused)
  })
})

describe('a rotation without a grace', () => {
  it('does not say that the old value stays loadable', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'one')
    await succeed(world, 'rotate', 'name', '--generate', '--grace', '0')
    expect(world.stderr).toBe('rotated "name" to version 2; version 1 is not loadable any more; not verified\n')
  })
})
