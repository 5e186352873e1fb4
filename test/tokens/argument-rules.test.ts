import { describe, expect, it } from 'vitest'
import {
  type Arguments,
  type ArgumentRule,
  formatRule,
  isArgumentRule,
  keepsRule,
} from '../../src/tokens/argument-rules.js'
import { VaultError } from '../../src/errors.js'
import { parseRule } from '../../src/cli/token-flags.js'

const rule = (path: string, operator: string, operand: unknown): ArgumentRule => {
  const made: readonly unknown[] = ['t', path, operator, operand]
  if (!isArgumentRule(made)) throw new Error(`no rule: ${JSON.stringify(made)}`)
  return made
}

describe('keepsRule', () => {
  it.each<[string, unknown, readonly unknown[], readonly unknown[]]>([
    ['=', 5, [5, 5.0], [4, '5', true, null, [5], { v: 5 }]],
    ['=', 'a', ['a'], ['A', 'a ', '', 'ab', ['a'], 0]],
    ['=', true, [true], [false, 1, 'true']],
    ['=', 0, [0, -0], ['', false, null, []]],
    ['!=', 5, [4, -5, 5.1], [5, '4', true, null, undefined, [4], {}, Number.NaN]],
    ['!=', 'a', ['b', ''], ['a', 1, null, ['b'], undefined]],
    ['<', 5, [4, -1, 4.99], [5, 6, '4', null, undefined, Number.NaN, Number.NEGATIVE_INFINITY, [4], true]],
    ['<=', 5, [5, 4], [6, 5.000001, '5', null, false, -(2 ** 53)]],
    ['>', 5, [6, 5.1], [5, 4, '6', Number.POSITIVE_INFINITY, 2 ** 53]],
    ['>=', 5, [5, 2 ** 53 - 1], [4, '5', {}, 2 ** 53]],
    ['in', ['e', 1, true], ['e', 1, true], ['d', '1', 'true', 0, false, null, undefined, ['e'], ['e', 1, true]]],
    ['prefix', 'site:', ['site:', 'site:x'], ['Site:x', ' site:', 'sit', '', 5, null, undefined, ['site:x']]],
  ])('%s %j', (operator, operand, kept, broken) => {
    for (const value of kept) expect(keepsRule({ v: value }, rule('v', operator, operand)), `${value}`).toBe(true)
    for (const value of broken) expect(keepsRule({ v: value }, rule('v', operator, operand)), `${value}`).toBe(false)
    for (const args of [{}, { V: kept[0] }, { 'v.v': kept[0] }]) {
      expect(keepsRule(args as Arguments, rule('v', operator, operand))).toBe(false)
    }
  })

  it('follows members of objects, and nothing else', () => {
    const deep = rule('a.b.c', '=', 1)
    expect(keepsRule({ a: { b: { c: 1 } } }, deep)).toBe(true)
    for (const args of [
      { a: { b: 1 } },
      { a: [{ b: { c: 1 } }] },
      { 'a.b.c': 1 },
      { a: null },
      { a: { b: { d: 1 } } },
    ]) {
      expect(keepsRule(args, deep)).toBe(false)
    }
    expect(keepsRule({ a: ['x'] }, rule('a.0', '=', 'x'))).toBe(false)
    expect(keepsRule({ a: ['x'] }, rule('a.length', '=', 1))).toBe(false)
    expect(keepsRule({ a: 'x' }, rule('a.length', '=', 1))).toBe(false)
  })

  it('sees own members only', () => {
    expect(keepsRule({}, rule('constructor.name', '=', 'Object'))).toBe(false)
    expect(keepsRule(Object.create({ v: 1 }), rule('v', '=', 1))).toBe(false)
    expect(keepsRule({}, rule('__proto__.v', '=', 1))).toBe(false)
    // JSON makes an own member of that name, as any other.
    expect(keepsRule(JSON.parse('{"__proto__":{"v":1}}'), rule('__proto__.v', '=', 1))).toBe(true)
  })
})

describe('--arg', () => {
  it.each<[string, readonly unknown[]]>([
    ['web_search:num_results<=5', ['web_search', 'num_results', '<=', 5]],
    ['web_search:num_results <= 5', ['web_search', 'num_results', '<=', 5]],
    ['  a:b=c  ', ['a', 'b', '=', 'c']],
    ['a:b>=-1.5', ['a', 'b', '>=', -1.5]],
    ['a:b!=true', ['a', 'b', '!=', true]],
    ['a:b="true"', ['a', 'b', '=', 'true']],
    ['a:b=01', ['a', 'b', '=', '01']],
    ['a:b=x=y', ['a', 'b', '=', 'x=y']],
    ['a:b="<c"', ['a', 'b', '=', '<c']],
    ['github/get_issue:filter.state=open', ['github/get_issue', 'filter.state', '=', 'open']],
    ['a:b:c<1', ['a:b', 'c', '<', 1]],
    ['web_search:query prefix site:', ['web_search', 'query', 'prefix', 'site:']],
    ['web_search:query prefix 2026', ['web_search', 'query', 'prefix', '2026']],
    ['web_search:query prefix " a"', ['web_search', 'query', 'prefix', ' a']],
    ['a:lang in en, de,1', ['a', 'lang', 'in', ['en', 'de', 1]]],
    ['a:lang in ["en","d,e"]', ['a', 'lang', 'in', ['en', 'd,e']]],
    ['a:in in x', ['a', 'in', 'in', ['x']]],
    ['a:b =\nx\ny', ['a', 'b', '=', 'x\ny']],
  ])('reads %s', (text, expected) => {
    expect(parseRule(text)).toEqual(expected)
    // What is shown is read as the same rule.
    expect(parseRule(formatRule(parseRule(text)))).toEqual(expected)
  })

  it.each([
    '',
    'num_results<=5',
    'web_search:num_results',
    'web_search:num_results<=',
    'web_search:<=5',
    ':a<=5',
    'web_search:num_results~5',
    'web_search:num_results==',
    'web_search:num_results==5',
    'web_search:num_results=>5',
    'web_search:num_results<>5',
    'web_search:num results<=5',
    'web_search:num_results<=five',
    'web_search:num_results<="5"',
    'web_search:num_results<=1e999',
    'web_search:num_results<=9007199254740993',
    'web_search:a..b=1',
    'web_search:a=null',
    'web_search:a=[1]',
    'web_search:a={"b":1}',
    'web_search:a in []',
    'web_search:a in [[1]]',
    'web_search:a prefix',
    'web_search:a prefix ""',
    '*:a=1',
    'web search:a=1',
  ])('refuses %s, saying what is expected', (text) => {
    try {
      expect(parseRule(text)).toBe('refused')
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      expect(error.code).toBe('USAGE')
      expect(error.message).toMatch(/^cannot read --arg: /)
      expect(error.hints.length).toBeGreaterThan(0)
    }
  })
})
