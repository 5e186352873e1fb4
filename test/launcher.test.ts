import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { launcher } from './support/built.js'
import { temporaryDirectory } from './support/directory.js'

const COMPILED = `.${process.version}.${process.arch}`

/** A copy of the built program in which files may be spoilt. */
class Copy {
  readonly #directory = temporaryDirectory()
  readonly source = join(this.#directory, 'dist/cli/entry.js')
  readonly compiled = `${this.source}${COMPILED}`

  constructor() {
    const root = dirname(dirname(launcher()))
    for (const name of ['bin', 'dist']) cpSync(join(root, name), join(this.#directory, name), { recursive: true })
  }

  help(): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    const path = join(this.#directory, 'bin/mcpvault.js')
    const { status, stdout, stderr } = spawnSync(process.execPath, [path, 'help', 'exit-codes'], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    return { status, stdout, stderr }
  }
}

describe('a clone that was not built', () => {
  it('says so, and how to build it', () => {
    const directory = temporaryDirectory()
    cpSync(dirname(launcher()), join(directory, 'bin'), { recursive: true })
    const run = (...argv: readonly string[]) =>
      spawnSync(process.execPath, [join(directory, 'bin/mcpvault.js'), ...argv], { encoding: 'utf8' })
    const hint = `cd '${directory}' && npm run build`
    expect(run('list')).toMatchObject({
      status: 70,
      stdout: '',
      stderr: `mcpvault: error: mcpvault is not built\nmcpvault: hint: ${hint}\n`,
    })
    const error = { code: 'INTERNAL', message: 'mcpvault is not built', hints: [hint] }
    expect(JSON.parse(run('list', '--json').stderr)).toEqual({ error })
  })
})

describe('compiled code beside the commands', () => {
  it('is there for every command that needs no network', () => {
    // A new command is run by warm.js too.
    const files = readdirSync(join(dirname(dirname(launcher())), 'dist/cli'))
    const without = files.filter((name) => /^(entry|run-[a-z-]+)\.js$/.test(name) && !files.includes(name + COMPILED))
    expect(files.length).toBeGreaterThan(40)
    expect(without).toEqual(['run-connect.js', 'run-search.js', 'run-serve.js'])
  })

  it('is not needed', () => {
    const copy = new Copy()
    const before = copy.help()
    expect(before).toMatchObject({ status: 0, stderr: '' })
    rmSync(copy.compiled)
    expect(copy.help()).toEqual(before)
  })

  it('is not run when a part of it is missing', () => {
    const copy = new Copy()
    const before = copy.help()
    const whole = readFileSync(copy.compiled)
    for (const length of [0, 5, 8, 1000, whole.length - 1]) {
      writeFileSync(copy.compiled, whole.subarray(0, length))
      expect(copy.help(), `${length} bytes`).toEqual(before)
    }
  })

  it('is run when it is there', () => {
    const copy = new Copy()
    const before = copy.help()
    writeFileSync(copy.source, 'throw new Error()')
    expect(copy.help()).toEqual(before)
  })

  it('holds the source that it was made of', () => {
    const directory = dirname(new Copy().source)
    for (const name of readdirSync(directory).filter((file) => file.endsWith(COMPILED))) {
      const source = readFileSync(join(directory, name.slice(0, -COMPILED.length)), 'latin1')
      expect(
        readFileSync(join(directory, name), 'latin1').endsWith(`(function (exports, require, module) {${source}\n})`),
      ).toBe(true)
    }
  })
})
