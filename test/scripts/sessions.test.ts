import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { runSession } from '../support/session.js'

const directory = new URL('.', import.meta.url)
const files = readdirSync(directory).filter((name) => name.endsWith('.session'))

/** `UPDATE_SCRIPTS=1 npx vitest run test/scripts` writes what was seen into the sessions. */
const isUpdate = process.env.UPDATE_SCRIPTS === '1'

describe('a golden session', () => {
  it('is there', () => {
    expect(files.length).toBeGreaterThan(0)
  })

  for (const name of files) {
    it(`shows what a user sees: ${name}`, async () => {
      const path = new URL(name, directory)
      const report = await runSession(readFileSync(path, 'utf8'))
      if (isUpdate) {
        writeFileSync(path, report.updated)
        return
      }
      for (const { command, expected, actual } of report.differences) expect.soft(actual, command).toBe(expected)
      expect(report.differences).toHaveLength(0)
      expect(report.commands).toBeGreaterThan(0)
    })
  }
})

describe('the session runner', () => {
  it('sees a wrong line, a missing line, a line too many and a wrong exit status', async () => {
    for (const wrong of ['0.1.1', '', '0.1.0\n0.1.0', '0.1.0\n? 1', '0.1.0\n! hint']) {
      const report = await runSession(`$ mcpvault --version\n${wrong}\n`)
      expect(report.differences, wrong).toHaveLength(1)
      expect(report.updated).toBe('$ mcpvault --version\n0.1.0\n')
    }
  })

  it('remembers names and keeps patterns that match', async () => {
    const session = '@ write a <<E\nx 7\ny 7\nz 8\nE\n$ cat a\nx <N>\ny <N>\nz <N>\n'
    const report = await runSession(session)
    expect(report.updated).toBe(session.replace('z <N>\n', 'z 8\n'))
    expect(report.differences).toHaveLength(1)
    expect((await runSession('$ mcpvault --version\n[..].1.<N>\n')).differences).toHaveLength(0)
  })
})
