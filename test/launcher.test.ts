import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { launcher } from './support/built.js'
import { temporaryDirectory } from './support/directory.js'

const COMPILED = `.${process.version}.${process.arch}`

/** A copy of the built program in which files may be spoilt. */
class Copy {
  readonly #directory = temporaryDirectory()
  readonly source = join(this.#directory, 'dist/cli/run-help.js')
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

describe('compiled code beside the commands', () => {
  it('is there for the commands that were built', () => {
    const files = readdirSync(join(dirname(dirname(launcher())), 'dist/cli'))
    const commands = files.filter((name) => /^run-[a-z-]+\.js$/.test(name))
    const compiled = commands.filter((name) => files.includes(`${name}${COMPILED}`))
    expect(commands.length).toBeGreaterThan(15)
    expect(compiled).toEqual(expect.arrayContaining(['run-load.js', 'run-rotation-due.js', 'run-token-check.js']))
  })

  it('is not needed', () => {
    const copy = new Copy()
    const before = copy.help()
    expect(before).toMatchObject({ status: 0, stderr: '' })
    rmSync(copy.compiled)
    expect(copy.help()).toEqual(before)
  })

  it('is not run when it is cut, altered, or of another source', () => {
    const copy = new Copy()
    const before = copy.help()
    const whole = readFileSync(copy.compiled)
    const altered = Buffer.from(whole)
    for (let at = 200; at < altered.length; at += 100) altered[at] = (altered[at] ?? 0) ^ 1
    for (const spoilt of [Buffer.alloc(0), whole.subarray(0, 20), whole.subarray(0, -1), altered]) {
      writeFileSync(copy.compiled, spoilt)
      expect(copy.help()).toEqual(before)
    }
    writeFileSync(copy.compiled, whole)
    // V8 itself compares nothing but the source's length.
    writeFileSync(copy.source, readFileSync(copy.source, 'utf8').replace('Exit codes', 'Exit c0des'))
    expect(copy.help().stdout).toContain('Exit c0des')
    expect(existsSync(copy.compiled)).toBe(true)
  })
})
