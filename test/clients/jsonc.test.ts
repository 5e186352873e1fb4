import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJsonc } from '../../src/clients/jsonc.js'
import { VaultError } from '../../src/errors.js'
import { isSubsequence } from './text-support.js'

const CONFIG = `\uFEFF{\r
  // the servers\r
  "mcpServers": {\r
    "github": {\r
      "command": "npx", /* latest */\r
      "args": ["-y", "some-mcp"],\r
      "env": {\r
        "A": "1", // first\r
        "B": "2", // second\r
      },\r
    },\r
    "empty": {}\r
  }\r
}\r
`

function failure(text: string): string {
  try {
    parseJsonc(text, 'mcp.json')
  } catch (error) {
    if (error instanceof VaultError && error.code === 'INPUT') return error.message
    throw error
  }
  throw new Error('it was read')
}

/** Shows an edit as the lines that differ. */
function changed(before: string, after: string): readonly string[] {
  const old = before.split('\n')
  return after.split('\n').filter((line) => !old.includes(line))
}

describe('JSON with comments', () => {
  it('is read past comments, trailing commas and a byte order mark', () => {
    const config = parseJsonc(CONFIG, 'mcp.json')
    expect(config.get(['mcpServers', 'github', 'env'])).toEqual({ A: '1', B: '2' })
    expect(config.get(['mcpServers', 'github', 'args', 1])).toBe('some-mcp')
    expect(config.get(['mcpServers', 'toString'])).toBeUndefined()
    const span = config.spanOf(['mcpServers', 'github', 'command'])
    expect(CONFIG.slice(span?.start, span?.end)).toBe('"npx"')
  })

  it('keeps a member named __proto__ a member', () => {
    const config = parseJsonc('{"a":{"__proto__":{"x":"1"}}}', 'f')
    expect(config.get(['a', '__proto__', 'x'])).toBe('1')
    expect(config.set(['a', '__proto__', 'x'], '2').text).toBe('{"a":{"__proto__":{"x":"2"}}}')
  })

  it('is refused with line and column, without a piece of it, when it is broken or ambiguous', () => {
    expect(failure('{\n  "a": "s3cret,\n}')).toBe('cannot read "mcp.json": it is broken JSON at 2:8')
    expect(failure('\uFEFF{"a" 1}')).toBe('cannot read "mcp.json": it is broken JSON at 1:6')
    expect(failure('')).toBe('cannot read "mcp.json": it is broken JSON at 1:1')
    expect(failure('{} {}')).toBe('cannot read "mcp.json": it is broken JSON at 1:4')
    expect(failure('{"a": 1,\n "b": {"c": 1, "c": 2}}')).toBe(
      'cannot read "mcp.json": a member stands twice in one object, again at 2:16',
    )
    expect(failure('['.repeat(100_000))).toBe('cannot read "mcp.json": it is nested deeper than 200 levels at 1:201')
  })

  it('is edited in place', () => {
    const config = parseJsonc(CONFIG, 'mcp.json')
    const env = ['mcpServers', 'github', 'env'] as const
    expect(config.set([...env, 'A'], 'x"\n').text).toBe(CONFIG.replace('"1"', String.raw`"x\"\n"`))
    expect(changed(CONFIG, config.set([...env, 'C'], '3').text)).toEqual(['        "C": "3",\r'])
    expect(config.set([...env, 'C'], '3').text).toContain('// second\r\n        "C": "3",\r\n')
    expect(config.remove([...env, 'A']).text).toBe(CONFIG.replace('"A": "1", // first', '// first'))
    expect(config.set(['mcpServers', 'empty', 'url'], 'u').text).toBe(CONFIG.replace('{}', '{"url": "u"}'))
    const added = config.set(['mcpServers', 'new'], { command: 'c', args: ['a', 'b'] }).text
    expect(added).toContain('"empty": {},\r\n    "new": { "command": "c", "args": ["a", "b"] }\r\n  }')
    expect(config.insert(['mcpServers', 'github', 'args', 0], '--').text).toBe(CONFIG.replace('["-y"', '["--", "-y"'))
    expect(config.insert(['mcpServers', 'github', 'args', 2], '--').text).toBe(
      CONFIG.replace('"some-mcp"]', '"some-mcp", "--"]'),
    )
  })

  it('loses a whole line with a member that was alone on it', () => {
    const text = '{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}\n'
    const config = parseJsonc(text, 'f')
    expect(config.remove(['a']).text).toBe('{\n  "b": 2,\n  "c": 3\n}\n')
    expect(config.remove(['b']).text).toBe('{\n  "a": 1,\n  "c": 3\n}\n')
    expect(config.remove(['c']).text).toBe('{\n  "a": 1,\n  "b": 2\n}\n')
  })

  it('has no place for a member of something that is no object', () => {
    const config = parseJsonc('{"a": [1], "b": "x"}', 'f')
    expect(() => config.set(['b', 'c'], '1')).toThrow('cannot edit "b.c": there is no object to put it into')
    expect(() => config.insert(['b', 0], '1')).toThrow('cannot edit "b[0]": there is no list to put it into')
    expect(() => config.remove(['z'])).toThrow('cannot edit "z": nothing stands there')
  })

  it('keeps every other byte, however it is written', () => {
    const space = fc.constantFrom('', ' ', '\n  ', '\r\n\t', ' /* c, */ ', ' // d, "x": [\n')
    const name = fc.constantFrom('a', 'b', 'c"', '__proto__', 'é')
    const document = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.string().map((text) => JSON.stringify(text)),
        tie('object'),
        tie('array'),
      ),
      object: fc
        .tuple(fc.uniqueArray(name), fc.array(tie('value'), { minLength: 5, maxLength: 5 }), space, space, fc.boolean())
        .map(([names, values, before, behind, comma]) => {
          const members = names.map(
            (one, at) => `${before}${JSON.stringify(one)}${behind}:${before}${values[at]}${behind}`,
          )
          return `{${members.join(',')}${comma && members.length > 0 ? ',' : ''}${before}}`
        }),
      array: fc
        .tuple(fc.array(tie('value'), { maxLength: 3 }), space, fc.boolean())
        .map(
          ([values, before, comma]) =>
            `[${values.map((one) => before + one).join(',')}${comma && values.length > 0 ? ',' : ''}${before}]`,
        ),
    })).object as fc.Arbitrary<string>
    fc.assert(
      fc.property(document, fc.constantFrom('', '\uFEFF'), name, fc.string(), (body, mark, member, value) => {
        const text = `${mark}${body}`
        const config = parseJsonc(text, 'f')
        const isThere = config.get([member]) !== undefined
        const span = config.spanOf([member])
        const set = config.set([member], value)
        if (span === undefined) expect(isSubsequence(text, set.text)).toBe(true)
        else expect(set.text).toBe(text.slice(0, span.start) + JSON.stringify(value) + text.slice(span.end))
        const removed = isThere ? config.remove([member]).text : text
        expect(isSubsequence(removed, text)).toBe(true)
        const list = config.set(['list'], ['x', value])
        const longer = list.insert(['list', 1], 'y')
        expect(longer.get(['list'])).toEqual(['x', 'y', value])
        expect(longer.remove(['list', 1]).text).toBe(list.text)
      }),
      { numRuns: 60 },
    )
  })
})
