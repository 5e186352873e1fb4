import { spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TokenRecords } from '../../src/tokens/records.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { temporaryDirectory } from '../support/directory.js'
import { NOW, openAccess, readLines, SEARCH } from './tokens-support.js'

let child: Bundle

beforeAll(async () => {
  child = await bundleScript(new URL('./create-child.ts', import.meta.url))
})

afterAll(() => child.remove())

/** Runs the child; with `killAfter` it is killed as soon as it has acknowledged that many changes. */
function run(directory: string, rounds: number, killAfter?: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const running = spawn(process.execPath, [child.path, directory, `${rounds}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    running.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (killAfter !== undefined && said.split('\n').length > killAfter) running.kill('SIGKILL')
    })
    running.on('error', reject).on('close', (code, signal) => {
      if (code === 0 || (killAfter !== undefined && signal === 'SIGKILL')) resolve(said.split('\n').slice(0, -1))
      else reject(new Error(`the child ended with ${code ?? signal}`))
    })
  })
}

/** Holds every acknowledged change against the records; gives what a token is judged to be by now. */
function judgeAll(directory: string, said: readonly string[]): Map<string, string> {
  const { store, keys } = openAccess(directory)
  const records = TokenRecords.open(store, keys)
  const expected = new Map(said.map((line) => line.split(' ').reverse() as [string, string]))
  const outcomes = [...expected].map(([token]): [string, string] => {
    const verdict = verifyToken(token, SEARCH, { records, nowMs: NOW })
    return [token, verdict.allowed ? 'created' : verdict.reason]
  })
  return new Map(outcomes)
}

describe('several processes', () => {
  it('lose no acknowledged creation and no acknowledged revocation', async () => {
    const directory = temporaryDirectory()
    const said = (await Promise.all([1, 2, 3, 4].map(() => run(directory, 8)))).flat()
    expect(said).toHaveLength(4 * 12)
    const expected = new Map(said.map((line) => line.split(' ').reverse() as [string, string]))
    expect(judgeAll(directory, said)).toEqual(expected)
    expect(readLines(openAccess(directory).recordsPath)).toHaveLength(1 + said.length)
  })

  it('lose none when some of them are killed, and the next one needs no hand', async () => {
    const directory = temporaryDirectory()
    const said = (await Promise.all([3, 7, undefined, 5].map((killAfter) => run(directory, 10, killAfter)))).flat()
    const expected = new Map(said.map((line) => line.split(' ').reverse() as [string, string]))
    const outcomes = judgeAll(directory, said)
    for (const [token, state] of expected) {
      // A revocation may have been written and its process killed before it could say so.
      expect(state === 'created' ? ['created', 'revoked'] : ['revoked']).toContain(outcomes.get(token))
    }
    expect(await run(directory, 2)).toHaveLength(3)
  })
})
