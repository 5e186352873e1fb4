import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coversTool, intersectTools, isToolEntry } from '../../src/tokens/tool-name.js'

describe('what a token may allow', () => {
  it.each(['web_search', 'notes/read', 'notes/a/b', 'notes/*', '*'])('is %s', (entry) => {
    expect(isToolEntry(entry)).toBe(true)
  })

  it.each([
    '',
    'notes/',
    '/*',
    '*/*',
    '**',
    'not*',
    'notes/r*',
    'notes/*/x',
    'notes/a/*',
    'Notes/*',
    `${'n'.repeat(127)}/*`,
    7,
  ])('is never %s', (entry) => {
    expect(isToolEntry(entry)).toBe(false)
  })

  it('is all tools of one server and of no other, where it ends in a star', () => {
    expect(['notes/read', 'notes/a/b', 'notes/*'].every((tool) => coversTool(['notes/*'], tool))).toBe(true)
    expect(['read', 'notes', 'notes2/read', 'note/read', '*', ''].some((tool) => coversTool(['notes/*'], tool))).toBe(
      false,
    )
  })

  it('is after narrowing just what both lists allow, in whichever order', () => {
    const entry = fc.constantFrom('*', 'a/*', 'b/*', 'a/x', 'a/y', 'b/x', 'bare')
    const lists = fc.array(entry, { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(
        lists,
        lists,
        fc.constantFrom('a/x', 'a/y', 'a/z', 'b/x', 'c/x', 'bare', 'other'),
        (one, two, tool) => {
          const isInBoth = coversTool(one, tool) && coversTool(two, tool)
          expect(coversTool(intersectTools(one, two), tool)).toBe(isInBoth)
          expect(coversTool(intersectTools(two, one), tool)).toBe(isInBoth)
        },
      ),
    )
  })
})
