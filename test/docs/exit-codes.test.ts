import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EXIT_CODES } from '../../src/errors.js'

const page = readFileSync(join(import.meta.dirname, '../../docs/exit-codes.md'), 'utf8')

test('docs/exit-codes.md gives every error code the status that it has, and no others', () => {
  const documented = [...page.matchAll(/^\| (\d+) \|.*\| ([^|]*) \|$/gm)].flatMap(([, status, codes = '']) =>
    [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code = '']) => [code, Number(status)] as const),
  )
  expect(Object.fromEntries(documented)).toEqual(EXIT_CODES)
  expect(documented).toHaveLength(Object.keys(EXIT_CODES).length)
})
