import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { appendMember, codecOf, parseTutorial, removeMember, replaceValue } from '../../src/vault/tutorial-format.js'

const RUNS = { numRuns: 500 }

const space = fc.stringMatching(/^[ \t\r\n]{0,4}$/)
const name = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '7', '', '"', '\\', 'a\nb', '\ud800', '{', '}', ','),
  fc.string({ unit: 'binary', maxLength: 12 }),
)

/** As JSON gives it back: without -0. */
const jsonValue = fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value)))

/** Writes JSON with white space wherever it may stand, and some characters as escapes nobody needs. */
function spell(value: unknown, draw: () => string, quote: (text: string) => string): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const gap = draw
  if (Array.isArray(value)) {
    return `[${gap()}${value.map((item) => spell(item, draw, quote)).join(`${gap()},${gap()}`)}${gap()}]`
  }
  const members = Object.entries(value).map(
    ([key, item]) => `${quote(key)}${gap()}:${gap()}${spell(item, draw, quote)}`,
  )
  return `{${gap()}${members.join(`${gap()},${gap()}`)}${gap()}}`
}

const file = fc
  .record({
    entries: fc.uniqueArray(fc.tuple(name, fc.oneof({ weight: 3, arbitrary: fc.string() }, jsonValue)), {
      selector: ([key]) => key,
      maxLength: 6,
    }),
    spaces: fc.array(space, { minLength: 40, maxLength: 40 }),
    escapes: fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }),
    mark: fc.boolean(),
  })
  .map(({ entries, spaces, escapes, mark }) => {
    let at = 0
    let character = 0
    const draw = (): string => spaces[at++ % spaces.length] ?? ''
    const quote = (text: string): string => {
      const units = Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
      const spelled = units.map((unit) => {
        // Half of a surrogate pair has no bytes of its own, and a pair must be spelled in one way.
        const isOdd = unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit >= 0xd800 && unit < 0xe000)
        const isEscaped = isOdd || escapes[character++ % escapes.length] === true
        return isEscaped ? `\\u${unit.toString(16).padStart(4, '0')}` : String.fromCharCode(unit)
      })
      return `"${spelled.join('')}"`
    }
    const body = `${draw()}${spell(Object.fromEntries(entries), draw, quote)}${draw()}`
    return { entries: new Map(Object.entries(Object.fromEntries(entries))), text: `${mark ? '\uFEFF' : ''}${body}` }
  })

describe('a tutorial file', () => {
  it('is taken apart into the members that JSON has', () => {
    fc.assert(
      fc.property(file, ({ entries, text }) => {
        const { members } = parseTutorial(Buffer.from(text))
        expect([...members.keys()]).toHaveLength(entries.size)
        for (const [key, member] of members) {
          expect(JSON.parse(text.slice(member.keyStart, member.keyEnd))).toBe(key)
          const value = entries.get(key)
          expect(JSON.parse(text.slice(member.valueStart, member.valueEnd))).toEqual(value)
          expect(member.text).toBe(typeof value === 'string' ? value : undefined)
        }
      }),
      RUNS,
    )
  })

  it('changes in one member alone when a value is replaced', () => {
    fc.assert(
      fc.property(file, fc.nat(), fc.string(), ({ text }, choice, value) => {
        const parsed = parseTutorial(Buffer.from(text))
        const member = [...parsed.members.values()].at(choice % Math.max(1, parsed.members.size))
        fc.pre(member !== undefined)
        const changed = replaceValue(parsed, member, value)
        expect(changed.startsWith(text.slice(0, member.valueStart))).toBe(true)
        expect(changed.endsWith(text.slice(member.valueEnd))).toBe(true)
        const after = withoutMark(changed)
        expect(Object.hasOwn(after, member.name) && after[member.name]).toBe(value)
        expectOthersKept(text, changed, member.name)
      }),
      RUNS,
    )
  })

  it('gains one member at its end and keeps every byte before', () => {
    fc.assert(
      fc.property(file, name, fc.string(), ({ text }, added, value) => {
        const parsed = parseTutorial(Buffer.from(text))
        fc.pre(!parsed.members.has(added))
        const changed = appendMember(parsed, added, value)
        const last = [...parsed.members.values()].at(-1)
        expect([...parseTutorial(Buffer.from(changed)).members.keys()]).toEqual([...parsed.members.keys(), added])
        expect(withoutMark(changed)[added]).toBe(value)
        expectOthersKept(text, changed, added)
        if (last === undefined) return
        expect(changed.startsWith(text.slice(0, last.valueEnd))).toBe(true)
        expect(removedFrom(changed, added)).toBe(text)
      }),
      RUNS,
    )
  })

  it('loses one member alone, and the others keep their order and spelling', () => {
    fc.assert(
      fc.property(file, fc.nat(), ({ text }, choice) => {
        const parsed = parseTutorial(Buffer.from(text))
        const member = [...parsed.members.values()].at(choice % Math.max(1, parsed.members.size))
        fc.pre(member !== undefined)
        const changed = removeMember(parsed, member)
        const after = parseTutorial(Buffer.from(changed))
        expect([...after.members.keys()]).toEqual([...parsed.members.keys()].filter((key) => key !== member.name))
        for (const [key, other] of after.members) {
          const before = parsed.members.get(key)
          expect(changed.slice(other.keyStart, other.valueEnd)).toBe(text.slice(before?.keyStart, before?.valueEnd))
        }
        expectOthersKept(text, changed, member.name)
      }),
      RUNS,
    )
  })

  it('of any bytes is taken apart or refused as damage, and nothing else', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0a1 \n'), maxLength: 30 }).map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(bytes, (input) => {
        try {
          for (const member of parseTutorial(Buffer.from(input)).members.values()) codecOf(member.text)
        } catch (error) {
          expect(error instanceof VaultError && error.code).toBe('DAMAGED')
        }
      }),
      { numRuns: 5000 },
    )
  })
})

function withoutMark(text: string): Record<string, unknown> {
  return JSON.parse(text.replace(/^\uFEFF/, ''))
}

function expectOthersKept(before: string, after: string, changed: string): void {
  const others = (text: string): readonly (readonly [string, unknown])[] =>
    Object.entries(withoutMark(text)).filter(([key]) => key !== changed)
  expect(others(after)).toEqual(others(before))
  expect(after.startsWith('\uFEFF')).toBe(before.startsWith('\uFEFF'))
}

function removedFrom(text: string, removed: string): string {
  const parsed = parseTutorial(Buffer.from(text))
  const member = parsed.members.get(removed)
  return member === undefined ? text : removeMember(parsed, member)
}
