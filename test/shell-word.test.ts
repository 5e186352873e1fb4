import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { shellWord } from '../src/shell-word.js'

it('writes any text without NUL as one word that a shell reads back', () => {
  const hostile = fc.constantFrom('$(id)', '`id`', "a'b", '"', ' ', '\\', '$HOME', ';', '&&', '\n', '~', '*', '#x', '!')
  const texts = fc.sample(fc.array(fc.oneof(hostile, fc.string()), { maxLength: 6 }), { numRuns: 200, seed: 1 })
  const words = texts.map((parts) => parts.join('').replaceAll('\0', ''))
  const script = `printf '%s\\0' ${words.map(shellWord).join(' ')}`
  expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)).toEqual(words)
})
