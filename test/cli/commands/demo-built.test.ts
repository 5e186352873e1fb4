import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, it } from 'vitest'
import { launcher } from '../../support/built.js'

it('the built program plays the whole demo and leaves nothing behind', () => {
  const leftovers = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('mcpvault-demo-'))
  const before = leftovers()
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--', launcher(), 'demo'], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^Results: 5$/m)
  expect(stdout).toMatch(/^200 calls, 0 failed: [1-9]\d* with version 1, [1-9]\d* with version 2$/m)
  expect(status).toBe(0)
  const folder = /"(\/[^"]*mcpvault-demo-\w+)/.exec(stdout)?.[1] ?? ''
  expect(folder).not.toBe('')
  expect(existsSync(folder)).toBe(false)
  expect(leftovers().filter((name) => !before.includes(name) && folder.endsWith(name))).toEqual([])
})
