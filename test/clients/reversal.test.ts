import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyReversal, describeReversal } from '../../src/clients/reversal.js'

describe('the way back', () => {
  it('leads to the text before, and holds references in the place of secrets', () => {
    const original = '{"command": "npx", "env": {"TOKEN": "a-b-c-1"}}'
    const adopted = '{"command": "mcpvault", "args": ["exec", "a"], "env": {}}'
    const steps = describeReversal(
      { adopted, original, format: 'json' },
      [{ credential: 'token', value: 'a-b-c-1' }],
      [],
    )
    expect(applyReversal(adopted, steps, () => 'a-b-c-1')).toBe(original)
    expect(applyReversal(adopted, steps, () => 'new"value')).toBe(original.replace('a-b-c-1', 'new\\"value'))
    expect(JSON.stringify(steps)).toContain('{"credential":"token","as":"json"}')
  })

  it('knows the spellings of other programs', () => {
    for (const spelled of ['a\\/b-é<x>\\n', 'a/b-é\\u003cx\\u003e\\n', 'a/b-\\u00e9<x>\\n', 'a/b-é<x>\\n']) {
      const original = `{"k": "${spelled}"}`
      const value = 'a/b-é<x>\n'
      const steps = describeReversal({ adopted: '{}', original, format: 'json' }, [{ credential: 'k', value }], [])
      expect(applyReversal('{}', steps, () => value)).toBe(original)
    }
  })

  it('keeps the single quotes of TOML free of escapes', () => {
    const original = `a = 'v-1' # it's\nb = "v-1"`
    const steps = describeReversal({ adopted: '#', original, format: 'toml' }, [{ credential: 'c', value: 'v-1' }], [])
    expect(applyReversal('#', steps, () => '\\"')).toBe(`a = '\\"' # it's\nb = "\\\\\\""`)
  })

  it('is refused where a secret is spelled in a way of its own', () => {
    const original = String.raw`{"k": "secret\u002dvalue"}`
    const secrets = [{ credential: 'k', value: 'secret-value' }]
    expect(
      applyReversal('{}', describeReversal({ adopted: '{}', original, format: 'json' }, secrets, []), () => ''),
    ).toBe(original)
    expect(() =>
      describeReversal({ adopted: '{}', original: '"c2VjcmV0LXZhbHVl"', format: 'json' }, secrets, []),
    ).toThrow('escapes')
  })

  it('never copies a secret, whole or in words, not even one that stays where it is', () => {
    const word = fc.constantFrom('npx', 'a', 'key', '-', ' ', '"', '\n', '{', '}', 'x1')
    const text = fc.array(word, { maxLength: 12 }).map((words) => words.join(''))
    const secret = fc.array(fc.constantFrom('s3cret', 'v4lue', '-', 'x1', 'key'), { minLength: 2, maxLength: 5 })
    fc.assert(
      fc.property(text, text, text, text, secret, (a, b, c, d, words) => {
        const value = `Q7-${words.join('')}-Q8`
        const kept = `K7-${words.join('')}-K8`
        const original = `${a}${value}${b}${kept}${c}`
        const adopted = `${d}${kept}${a}`
        const steps = describeReversal({ adopted, original, format: 'json' }, [{ credential: 'c', value }], [kept])
        expect(applyReversal(adopted, steps, () => value)).toBe(original)
        const texts = JSON.stringify(steps)
        for (const mark of ['Q7', 'Q8', 'K7', 'K8', 's3cret', 'v4lue']) expect(texts).not.toContain(mark)
      }),
      { numRuns: 100 },
    )
  })
})
