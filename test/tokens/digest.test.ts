import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEARCH_DEFINITION, SEARCH_DIGEST } from '../../src/search/definition.js'
import { canonicalJson, digestTool } from '../../src/tokens/digest.js'

describe('canonicalJson', () => {
  it('prints the example of RFC 8785, section 3.2.4', () => {
    const input = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    )
    expect(canonicalJson(input)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
  })

  it('sorts the names of RFC 8785, section 3.2.3, by UTF-16 code units', () => {
    const input = JSON.parse(
      String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
    )
    expect(Object.values(JSON.parse(canonicalJson(input) ?? '') as object)).toHaveLength(7)
    expect([...(canonicalJson(input) ?? '').matchAll(/:"([^"]+)"/g)].map(([, text]) => text)).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ])
  })

  it('gives the same text for every order of members, and a text that means the same', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = canonicalJson(value)
        if (text === undefined) return
        expect(canonicalJson(JSON.parse(text))).toBe(text)
        expect(canonicalJson(reversed(value))).toBe(text)
        // -0 is written as 0.
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify(sorted(value)))
      }),
    )
  })

  it('knows no form for lone surrogates and for what is nested too deeply', () => {
    expect(canonicalJson('\ud800')).toBeUndefined()
    expect(canonicalJson({ '\udc00': 1 })).toBeUndefined()
    expect(canonicalJson(nested(64))).toBeDefined()
    expect(canonicalJson(nested(66))).toBeUndefined()
    expect(digestTool({ name: 'a', description: '\ud800' })).toBeUndefined()
  })
})

describe('digestTool', () => {
  it('covers name, description and input schema, and nothing else', () => {
    const tool = { name: 'a', description: 'b', inputSchema: { type: 'object' } }
    const text = '{"description":"b","inputSchema":{"type":"object"},"name":"a"}'
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
    expect(digestTool(tool)).toBe(digest)
    expect(digestTool({ ...tool, title: 'c' } as typeof tool)).toBe(digest)
    expect(digestTool({ ...tool, name: 'x' })).not.toBe(digest)
    expect(digestTool({ ...tool, description: 'x' })).not.toBe(digest)
    expect(digestTool({ ...tool, inputSchema: { type: 'object', required: [] } } as never)).not.toBe(digest)
    expect(digestTool({ name: 'a', description: 'b' })).not.toBe(digest)
  })

  it('is known in advance for the built-in search', () => {
    expect(digestTool(SEARCH_DEFINITION)).toBe(SEARCH_DIGEST)
  })
})

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)]
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, content]) => [name, reversed(content)]),
  )
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, content]) => [name, sorted(content)]),
  )
}
