import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cut,
  drawAges,
  drawBar,
  drawPicture,
  type Frame,
  type Line,
  showsUnicode,
  type View,
  widthOf,
  wrapText,
} from '../../src/cli/picture.js'
import { dueState } from '../../src/rotation/due.js'
import { type AgedCredential, compareUrgency, findNextDue } from '../../src/rotation/overview.js'

const DAY = 86_400
const NOW = Date.UTC(2026, 10, 22, 12)
const FRAME: Frame = { columns: 80, lines: 23, isUnicode: true }

function aged(name: string, days: number | undefined, limitDays = 30): AgedCredential {
  const maxAgeSeconds = limitDays * DAY
  const sinceMs = days === undefined ? undefined : NOW - days * DAY * 1000
  return { name, ...dueState({ sinceMs, maxAgeSeconds, nowMs: NOW }) }
}

function view(changes: Partial<View> = {}): View {
  return {
    path: '/srv/mcp/mcp_credentials.enc',
    facts: 'native format, verified',
    credentials: [aged('a_key', 10)],
    summary: { before: 'nothing is due; next: ', name: 'a_key', after: ' in 20d (2026-12-12)' },
    tokens: [],
    changes: [],
    nowMs: NOW,
    ...changes,
  }
}

const textOf = (line: Line): string => line.map(({ text }) => text).join('')
const barOf = (credential: AgedCredential, width = 30, isUnicode = true): string =>
  textOf(drawBar(credential, width, isUnicode))

describe('a bar', () => {
  it('has one cell a day for a limit of thirty days', () => {
    expect(barOf(aged('a', 0))).toBe('░'.repeat(30))
    expect(barOf(aged('a', 1))).toBe(`█${'░'.repeat(29)}`)
    expect(barOf(aged('a', 29.9))).toBe(`${'█'.repeat(29)}░`)
    expect(barOf(aged('a', 30))).toBe('█'.repeat(30))
    expect(barOf(aged('a', 400))).toBe('█'.repeat(30))
  })

  it('is full exactly when the credential is due, whatever its age and limit', () => {
    fc.assert(
      fc.property(
        fc.option(fc.double({ min: 0, max: 5000, noNaN: true }), { nil: undefined }),
        fc.integer({ min: 0, max: 4000 }),
        fc.integer({ min: 1, max: 60 }),
        (days, limit, width) => {
          const credential = aged('a', days, limit)
          const bar = barOf(credential, width)
          expect(widthOf(bar)).toBe(width)
          expect(bar === '█'.repeat(width)).toBe(credential.isDue)
        },
      ),
    )
  })

  it('turns from green over yellow to red, and says so in words too', () => {
    const tones = [10, 22, 23, 30].map((days) => drawBar(aged('a', days), 30, true)[0]?.tone)
    expect(tones).toEqual(['good', 'good', 'warn', 'bad'])
    const lines = drawAges([aged('a', undefined), aged('b', 31), aged('c', 5)], { ...FRAME, nowMs: NOW })
    expect(lines.map(textOf).map((line) => line.replace(/[█░]+/, '|'))).toEqual([
      'a  |    ? of 30d  due (no record)',
      'b  |  31d of 30d  due',
      'c  |   5d of 30d  due in 25d',
    ])
  })

  it('is drawn in ASCII where there is no more', () => {
    expect(barOf(aged('a', 3), 10, false)).toBe('#.........')
    expect(textOf(drawAges([aged('a', 3)], { ...FRAME, isUnicode: false, nowMs: NOW })[0] ?? [])).toMatch(
      /^[\x20-\x7e]+$/,
    )
  })
})

describe('many credentials', () => {
  const many = Array.from({ length: 100 }, (_, index) => aged(`key_${index}`, index / 4)).sort(compareUrgency)

  it('are cut to what fits, the most urgent first, with how many more there are', () => {
    const lines = drawPicture(view({ credentials: many }), FRAME).map(textOf)
    expect(lines).toHaveLength(23)
    expect(lines[3]).toContain('key_99')
    expect(lines).toContain('and 88 more: mcpvault list')
    expect(lines.filter((line) => line.includes(' of 30d'))).toHaveLength(12)
  })

  it('all stand there on a tall terminal', () => {
    const lines = drawPicture(view({ credentials: many }), { ...FRAME, lines: 200 }).map(textOf)
    expect(lines.filter((line) => line.includes(' of 30d'))).toHaveLength(100)
  })

  it('are ordered by the part of their limit that is used up, unknown ages first', () => {
    const ranked = [
      aged('b', 40, 100),
      aged('a', 20, 30),
      aged('z', undefined),
      aged('y', undefined),
      aged('c', 30, 30),
    ]
    expect(ranked.sort(compareUrgency).map(({ name }) => name)).toEqual(['y', 'z', 'c', 'a', 'b'])
    // By date: the one with the longer limit may be due sooner.
    expect(findNextDue([aged('a', 10, 30), aged('b', 90, 100)])?.name).toBe('b')
    expect(findNextDue([aged('a', 31), aged('b', undefined)])).toBeUndefined()
  })
})

describe('a picture', () => {
  it('is no wider than its frame and no taller than its lines, whatever the names are', () => {
    const name = fc.oneof(
      fc.string({ maxLength: 300 }),
      fc.string({ unit: 'grapheme', maxLength: 100 }),
      fc.constant('日本語の鍵'.repeat(20)),
      fc.constant('\u001b[2J\u202e\n'),
    )
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, fc.option(fc.integer({ min: 0, max: 90 }), { nil: undefined })), { maxLength: 30 }),
        fc.array(name, { maxLength: 6 }),
        fc.record({
          columns: fc.integer({ min: 1, max: 200 }),
          lines: fc.integer({ min: 18, max: 60 }),
          isUnicode: fc.boolean(),
        }),
        (credentials, others, frame) => {
          const drawn = drawPicture(
            view({
              path: others[0] ?? '',
              credentials: credentials.map(([text, days]) => aged(text, days)),
              summary: { before: 'next: ', name: others[1] ?? '', after: ' in 3d' },
              tokens: others.map((text) => ({ name: text, tools: [text, text], secondsLeft: 60 })),
              changes: others
                .slice(0, 5)
                .map((text) => ({ when: '3d ago', action: 'rotated', name: text, version: 3, by: text })),
            }),
            frame,
          )
          for (const line of drawn.map(textOf)) {
            expect(widthOf(line)).toBeLessThanOrEqual(Math.min(frame.columns, 120))
            expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
          }
          expect(drawn.length).toBeLessThanOrEqual(Math.max(frame.lines, 20))
        },
      ),
    )
  })

  it('says instead of a part why it is not there', () => {
    const lines = drawPicture(view({ credentials: [], tokens: 'not shown', changes: 'not readable' }), FRAME).map(
      textOf,
    )
    expect(lines).toEqual(
      expect.arrayContaining(['no credentials yet: mcpvault store NAME', '  not shown', '  not readable']),
    )
  })

  it('shows the first few tokens and how many more there are', () => {
    const tokens = Array.from({ length: 5 }, (_, index) => ({
      name: `t${index}`,
      tools: ['a', 'b'],
      secondsLeft: undefined,
    }))
    const lines = drawPicture(view({ tokens }), FRAME).map(textOf)
    expect(lines).toEqual(expect.arrayContaining(['  t0  no end  a, b', '  and 2 more: mcpvault token list']))
  })
})

describe('text', () => {
  it('is cut in its middle, so that names that differ at their ends stay apart', () => {
    expect(cut('prod/eu-west-1/key_1', 12, true)).toBe('prod/e…key_1')
    expect(cut('prod/eu-west-1/key_2', 12, false)).toBe('prod/..key_2')
    expect(cut('short', 5, true)).toBe('short')
    expect(cut('日本語の鍵', 6, true)).toBe('日…鍵')
    expect(cut('abcdef', 2, false)).toBe('..')
    expect(cut('abcdef', 0, true)).toBe('')
  })

  it('has a width in columns', () => {
    expect([widthOf('abc'), widthOf('é'), widthOf('e\u0301'), widthOf('日本'), widthOf('🔑'), widthOf('█░…')]).toEqual([
      3, 1, 1, 4, 2, 3,
    ])
  })

  it('is wrapped at spaces, and a longer word is left whole', () => {
    expect(wrapText('one two three', 7)).toEqual(['one two', 'three'])
    expect(wrapText('see /a/very/long/path now', 8)).toEqual(['see', '/a/very/long/path', 'now'])
    expect(wrapText('', 8)).toEqual([''])
  })

  it.each([
    [{ LANG: 'C.UTF-8' }, true],
    [{ LANG: 'en_US.utf8' }, true],
    [{ LANG: 'de_DE.ISO-8859-1' }, false],
    [{ LC_ALL: 'C', LANG: 'C.UTF-8' }, false],
    [{ LC_ALL: '', LC_CTYPE: 'C.UTF-8', LANG: 'C' }, true],
    [{ LANG: 'C.UTF-8', TERM: 'dumb' }, false],
    [{}, false],
  ])('goes beyond ASCII by the locale: %j', (env, expected) => {
    expect(showsUnicode(env)).toBe(expected)
  })
})
